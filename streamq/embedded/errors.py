"""What an embedded server may raise."""

from streamq.errors import StreamqError


class EmbeddedServerError(StreamqError):
    """No server could be found or started; `log_tail` is what it last said, if anything."""

    exit_code = 3

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        self.log_tail = log_tail
        said = f"\nThe end of its log:\n{log_tail}" if log_tail else ""
        super().__init__(message + said)
