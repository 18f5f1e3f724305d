"""The application cannot start as it is configured: exit 2, or 4 where it cannot be imported."""

from collections.abc import Sequence

from streamq.errors.root import StreamqError
from streamq.errors.wording import did_you_mean, listed, shown


class ConfigError(StreamqError):
    """The application cannot start as it is configured."""

    exit_code = 2


class UnknownSetting(ConfigError):
    """`table` is where `name` stands, as `queues.email`; `origin` the file or variable."""

    code = "SQ310"

    def __init__(self, name: str, origin: str, known: Sequence[str], table: str = "") -> None:
        self.key = f"{table}.{name}" if table else name
        self.origin, self.known = origin, tuple(known)
        super().__init__(
            f"No setting {shown(self.key)} (from {origin}).{did_you_mean(name, known)}"
            f" Known: {listed(known)}"
        )


class InvalidSetting(ConfigError):
    code = "SQ311"

    def __init__(self, key: str, value: object, origin: str, why: str) -> None:
        self.key, self.value, self.origin, self.why = key, value, origin, why
        super().__init__(f"Setting {key} = {shown(value)} (from {origin}): {why}")


class UnreadableSettings(ConfigError):
    code = "SQ312"

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"Cannot read settings from {path}: {why}")


class DuplicateHandler(ConfigError):
    """Two functions for one (queue, job name): which of them runs would be chance."""

    code = "SQ302"

    def __init__(self, queue: str, name: str, first: str, second: str) -> None:
        self.queue, self.name, self.first, self.second = queue, name, first, second
        super().__init__(
            f"Two handlers for {queue}/{name}: {first} and {second}."
            " Remove one, or give it another name=."
        )


class UnfitPayloadType(ConfigError):
    """A handler's data is annotated with a type that cannot be stored."""

    code = "SQ303"

    def __init__(self, kind: object, why: str) -> None:
        self.kind, self.why = getattr(kind, "__qualname__", str(kind)), why
        super().__init__(
            f"{self.kind} cannot be a payload: {why}."
            " Use a Payload with fields of text, numbers, lists, tables or other Payloads."
        )


class AppNotImportable(ConfigError):
    """`found` lists the App objects that the module has, when only the attribute is missing."""

    code = "SQ301"
    exit_code = 4

    def __init__(self, target: str, why: str, found: Sequence[str] = ()) -> None:
        self.target, self.why, self.found = target, why, tuple(found)
        there = f" App objects found there: {listed(found)}." if found else ""
        super().__init__(
            f"Cannot import {target}: {why} (looked in . and src).{there}"
            " Run from the project's root or set app in streamq.toml."
        )


class MissingExtra(ConfigError, ImportError):
    """`what` needs `package`, which comes with an extra that is not installed."""

    code = "SQ601"

    def __init__(self, what: str, package: str, extra: str) -> None:
        self.what, self.package, self.extra = what, package, extra
        super().__init__(f'{what} need {package}:  pip install "streamq[{extra}]"')


class PortInUse(ConfigError):
    code = "SQ602"

    def __init__(self, port: int, holder: str = "") -> None:
        self.port, self.holder = port, holder
        by = f" ({holder})" if holder else ""
        super().__init__(f"Port {port} is in use{by}. --port 0 picks a free one.")
