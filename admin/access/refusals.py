"""What access refuses beside 401 and 403: too often, not now, not from there."""

from http import HTTPStatus

from admin.errors import Refused


class TooOften(Refused):
    """429. `retry_after_s` is when the next try may be a good one."""

    def __init__(self, error: str, message: str, *, retry_after_s: int) -> None:
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            error,
            message,
            headers={"Retry-After": str(retry_after_s)},
        )


class NotNow(Refused):
    """503: something that it takes to tell who somebody is does not answer, or is at its limit."""

    def __init__(self, error: str, message: str, *, retry_after_s: int) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            error,
            message,
            headers={"Retry-After": str(retry_after_s)},
        )


class FromElsewhere(Refused):
    """403: a browser sent it, and not from a page of ours."""

    def __init__(self, message: str) -> None:
        super().__init__(HTTPStatus.FORBIDDEN, "Forbidden: cross-site request", message)
