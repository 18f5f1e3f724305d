"""What code says of a queue, in the words of the public surface, as a layer of its settings."""

from typing import TypedDict

import msgspec
from msgspec import UNSET, UnsetType

from streamq.adding import checked_attempts, checked_priority, payload_limit_bytes, timeout_ms
from streamq.backoff import Backoff, Choose, as_backoff
from streamq.durations import Duration, Ms, to_ms
from streamq.errors import OutOfRange
from streamq.settings import Keep, QueueSettings, Rate

CONCURRENCY_MAX = 10_000
LIMIT_MAX = 1_000_000
"""Of `max_active`, and of the starts of a rate."""
PERIOD_MS_MAX = 86_400_000
KEPT_MAX = 10_000_000


def keep(*, age: Duration | None = None, count: int | None = None) -> Keep:
    """What retention leaves of ended jobs: those younger than `age`, and the newest `count`."""
    if count is not None:
        _whole("count", count, 0, KEPT_MAX)
    return Keep(None if age is None else to_ms(age, "age"), count)


def checked_limit(value: int) -> int:
    return _whole("max_active", value, 1, LIMIT_MAX)


def rate_of(value: tuple[int, Duration]) -> Rate:
    """`(50, "1s")`: at most 50 starts in any second."""
    count, period = value
    period_ms = to_ms(period, "rate period")
    _whole("rate", count, 1, LIMIT_MAX)
    _whole("rate period in ms", period_ms, 1, PERIOD_MS_MAX)
    return Rate(count, Ms(period_ms))


def _whole(what: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OutOfRange(what, value, low, high)
    return value


class QueueTerms(TypedDict, total=False):
    """What may be said of a queue; what is None, or not said, a weaker layer decides."""

    concurrency: int | None
    """Slots a worker process."""
    attempts: int | None
    backoff: Backoff | list[Duration] | Choose | None
    timeout: Duration | None
    """None is no limit, as it is of `max_active` and `rate`."""
    priority: int | None
    payload_limit: str | None
    keep_completed: Keep | None
    keep_failed: Keep | None
    keep_parked: Keep | None
    max_active: int | None
    """Of the whole fleet."""
    rate: tuple[int, Duration] | None


def declared(
    *,
    concurrency: int | None = None,
    attempts: int | None = None,
    backoff: Backoff | list[Duration] | Choose | None = None,
    timeout: Duration | UnsetType | None = UNSET,
    priority: int | None = None,
    payload_limit: str | None = None,
    keep_completed: Keep | None = None,
    keep_failed: Keep | None = None,
    keep_parked: Keep | None = None,
    max_active: int | UnsetType | None = UNSET,
    rate: tuple[int, Duration] | UnsetType | None = UNSET,
) -> QueueSettings:
    """Raises InvalidInput for a value out of its range."""
    said: dict[str, object] = {
        "keep_completed": keep_completed,
        "keep_failed": keep_failed,
        "keep_parked": keep_parked,
    }
    if concurrency is not None:
        said["concurrency"] = _whole("concurrency", concurrency, 1, CONCURRENCY_MAX)
    if attempts is not None:
        said["attempts"] = checked_attempts(attempts)
    if backoff is not None:
        said["backoff"] = as_backoff(backoff)
    if priority is not None:
        said["priority"] = checked_priority(priority)
    if payload_limit is not None:
        said["payload_limit_bytes"] = payload_limit_bytes(payload_limit)
    said = {field: value for field, value in said.items() if value is not None}
    # None is a word of its own here: no limit, whatever a weaker layer says.
    if timeout is not UNSET:
        said["timeout_ms"] = None if timeout is None else timeout_ms(timeout)
    if max_active is not UNSET:
        said["max_active"] = None if max_active is None else checked_limit(max_active)
    if rate is not UNSET:
        said["rate"] = None if rate is None else rate_of(rate)
    return msgspec.structs.replace(QueueSettings(), **said)
