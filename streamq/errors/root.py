"""The root of the tree of errors."""

from typing import ClassVar


class StreamqError(Exception):
    """Any trouble that streamq reports; `str()` begins with its code, if it has one."""

    code: ClassVar[str | None] = None
    exit_code: ClassVar[int] = 1
    """What the command line ends with: see `streamq --help`."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{self.code} {message}" if self.code else message)

    def __reduce__(self) -> tuple[object, ...]:
        # Else a copy or an unpickle calls the class with the message alone: not its signature.
        return _restored, (type(self), self.args), self.__dict__

    @property
    def cli_text(self) -> str:
        """The message as the command line prints it."""
        return str(self)


def _restored(cls: type[StreamqError], args: tuple[object, ...]) -> StreamqError:
    error = cls.__new__(cls)
    error.args = args
    return error
