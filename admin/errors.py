"""What the API refuses, and how it says so: `{error, message, code, requestId}`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

_NO_HEADERS: Final[Mapping[str, str]] = {}


class Refused(Exception):
    """An answer that is not a success, raised wherever that is known.

    `error` is a short text that programs compare, `message` a sentence for people that says what to
    do. Both go out as they are: no secret and nothing of somebody else's may stand in them.
    """

    def __init__(
        self,
        status: HTTPStatus,
        error: str,
        message: str = "",
        *,
        code: str = "",
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        super().__init__(f"{status.value} {error}: {message}")
        self.status = status
        self.error = error
        self.message = message
        self.code = code or status.name.lower()
        self.headers = headers


class Unauthorized(Refused):
    """Nobody that we know. The header is what RFC 9110 asks for with a 401."""

    def __init__(self, message: str = "Log in, or send a token: Authorization: Bearer ...") -> None:
        super().__init__(
            HTTPStatus.UNAUTHORIZED,
            "Unauthorized",
            message,
            headers={"WWW-Authenticate": 'Bearer realm="streamq"'},
        )


class Forbidden(Refused):
    """Somebody we know, who may not. `needs` is the role that may."""

    def __init__(self, needs: str, message: str) -> None:
        super().__init__(HTTPStatus.FORBIDDEN, f"Forbidden: {needs} access required", message)


class BadRequest(Refused):
    def __init__(self, error: str, message: str, *, code: str = "") -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, error, message, code=code)


class NotFound(Refused):
    def __init__(self, error: str, message: str, *, code: str = "") -> None:
        super().__init__(HTTPStatus.NOT_FOUND, error, message, code=code)


class Conflict(Refused):
    """What was asked for does not fit the state that it found; nothing was done."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(HTTPStatus.CONFLICT, "Conflict", message, code=code)


class Unfit(Refused):
    """What was sent is right by its types, and cannot be meant here; nothing was done."""

    def __init__(self, error: str, message: str, *, code: str = "") -> None:
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, error, message, code=code)
