"""What the caller handed in cannot be right; nothing was sent."""

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, Literal

from streamq.errors.root import StreamqError
from streamq.errors.wording import article, did_you_mean, listed, show_bytes, shown

Named = Literal["app", "queue", "job", "id", "prefix", "schedule"]  # the keys of NAME_SETS

NAME_SETS: Final = MappingProxyType(
    {
        "app": "[A-Za-z0-9._-]{1,64}",
        "queue": "[A-Za-z0-9._-]{1,64}",
        "job": "[A-Za-z0-9._-]{1,64}",
        "id": "[A-Za-z0-9._:@+-]{1,128}",
        "prefix": "[A-Za-z0-9._:-]{1,64}",
        "schedule": "[A-Za-z0-9._-]{1,64}",
    }
)
"""What may stand in a key of Redis: no braces, no spaces, so that nobody forges a key or a slot."""

# Shown as it is: no quotes, as people write it. Anything else is quoted and escaped.
_ZONE_LIKE: Final = re.compile(r"[A-Za-z0-9_+/-]{1,64}")


class InvalidInput(StreamqError, ValueError):
    """The call cannot be right as it stands; nothing was sent."""

    exit_code = 2
    cure: str = ""
    """What is wrong and what to give instead, without option and value: others name them better."""


class UnknownQueue(InvalidInput):
    code = "SQ201"

    def __init__(
        self,
        queue: str,
        app: str,
        known: Sequence[str],
        way_out: str = "add with create=True to allow it",
    ) -> None:
        self.queue, self.app, self.known = queue, app, tuple(known)
        super().__init__(
            f"No queue {shown(queue)} in app {shown(app)}.{did_you_mean(queue, known)}"
            f" Known: {listed(known)} ({way_out})"
        )

    @property
    def cli_text(self) -> str:
        return str(self).replace("add with create=True", "--force")


class UnknownJobName(InvalidInput):
    """This process has handlers for the queue, and none takes that name."""

    code = "SQ206"

    def __init__(self, queue: str, name: str, known: Sequence[str]) -> None:
        self.queue, self.name, self.known = queue, name, tuple(known)
        super().__init__(
            f"No handler for {queue}/{name}.{did_you_mean(name, known)}"
            f" Known: {listed(known)} (add with force=True to send it all the same)"
        )

    @property
    def cli_text(self) -> str:
        return str(self).replace("add with force=True", "--force")


class InvalidPayload(InvalidInput):
    """A payload that its handler's type refuses; `reason` names the field by its path."""

    code = "SQ203"

    def __init__(self, queue: str, name: str, reason: str) -> None:
        self.queue, self.name, self.reason = queue, name, reason
        super().__init__(f"{queue}/{name}: {reason}")


class NotSerialisable(InvalidInput):
    """A value that no payload can carry: an object, NaN, half a surrogate pair, endless nesting."""

    code = "SQ204"

    def __init__(self, path: str, found: str, cure: str) -> None:
        self.path, self.found = path, found
        super().__init__(f"{path} is {found}. {cure}")


class PayloadTooLarge(InvalidInput):
    code = "SQ205"

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        size, limit = show_bytes(size_bytes), show_bytes(limit_bytes)
        if size == limit:
            size = f"{size_bytes:,} B"  # a byte too many must not read as "256 KiB, limit 256 KiB"
        super().__init__(
            f"payload is {size}, limit {limit} (payload_limit). Put it in S3 and pass the key."
        )


class InvalidDuration(InvalidInput):
    """Not a duration, negative, or over ten years."""

    code = "SQ207"

    def __init__(self, what: str, value: object, why: str = "it is not a duration") -> None:
        self.what, self.value, self.why = what, value, why
        self.cure = f'{why}. Give "250ms", "5s", "1m30s", "2h" or "7d", or a timedelta.'
        super().__init__(f"{what}={shown(value)}: {self.cure}")


class BareNumber(InvalidInput, TypeError):
    """A value of a type that says no time, such as a number: a reader could not see its unit."""

    code = "SQ207"

    def __init__(
        self,
        what: str,
        value: object,
        cure: str = 'it has no unit: give "5s" or timedelta(seconds=5).',
    ) -> None:
        self.what, self.value, self.cure = what, value, cure
        super().__init__(f"{what}={shown(value)} is {article(type(value).__name__)}, {self.cure}")


class InvalidSize(InvalidInput):
    code = "SQ214"

    def __init__(self, what: str, value: object) -> None:
        self.what, self.value = what, value
        self.cure = 'it is not a size: give "512B", "64KiB" or "1.5MiB".'
        super().__init__(f"{what}={shown(value)}: {self.cure}")


class InvalidName(InvalidInput):
    """A name outside its set, or no text at all."""

    code = "SQ208"

    def __init__(self, what: Named, value: object) -> None:
        self.what, self.value, self.allowed = what, value, NAME_SETS[what]
        called = what if what in ("id", "prefix") else f"{what} name"
        super().__init__(f"{called} {shown(value)} is not allowed: it must match {self.allowed}")


class OutOfRange(InvalidInput):
    """An option outside its range; both ends are allowed values."""

    code = "SQ209"

    def __init__(self, what: str, value: object, low: int | float, high: int | float) -> None:
        self.what, self.value, self.low, self.high = what, value, low, high
        super().__init__(f"{what}={shown(value)} is out of range: give {low} to {high}.")


class InvalidMetric(InvalidInput):
    """A metric of the application that cannot be, or labels that it does not have."""

    code = "SQ216"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"Metric {shown(name)}: {why}.")


class InvalidBackoff(InvalidInput):
    code = "SQ215"

    def __init__(self, value: object, why: str) -> None:
        self.value = value
        self.cure = why
        super().__init__(f"backoff {shown(value)}: {why}")


class InvalidCron(InvalidInput):
    """A cron expression that says nothing, or names days that never come."""

    code = "SQ401"

    def __init__(self, expression: str, why: str) -> None:
        self.expression, self.why = expression, why
        self.cure = f"it {why}"
        super().__init__(f"{shown(expression)} {why}")


class UnknownTimeZone(InvalidInput):
    """`known` are the names of the IANA database, as the package `tzdata` has them."""

    code = "SQ402"

    def __init__(self, timezone: str, known: Sequence[str]) -> None:
        self.timezone = timezone
        self.cure = f"it is no time zone.{did_you_mean(timezone, known, quote='')}"
        bare = timezone if _ZONE_LIKE.fullmatch(timezone) else shown(timezone)
        super().__init__(f"{bare} {self.cure.removeprefix('it ')}")


class InvalidSchedule(InvalidInput):
    """What it says of itself cannot all be so; a bad expression or zone has its own class."""

    code = "SQ403"

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"schedule {shown(name)}: {why}")


class UnknownSchedule(InvalidInput, LookupError):
    """No schedule of the App has that name."""

    code = "SQ404"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"No schedule {shown(name)}.{did_you_mean(name, known)}"
            f" Known: {', '.join(known) or 'none'}."
        )


class SyncInLoop(InvalidInput, RuntimeError):
    """A blocking call where an event loop runs: it would stop everything else in that loop."""

    code = "SQ212"

    def __init__(self, called: str = "add_sync", instead: str = "add") -> None:
        self.called, self.instead = called, instead
        super().__init__(f"{called}() called inside a running event loop: use await {instead}().")
