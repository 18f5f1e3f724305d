"""A job on its way in: what a caller says of it, checked and packed.

What the caller leaves open stays open: the worker resolves it (handler, then queue, then default),
so the record of a small job stays small. Hands the producer a job that cannot be refused any more,
and gives it its id only when it is to be sent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypedDict

import msgspec

from streamq.backoff import Backoff, as_backoff, to_wire
from streamq.durations import DURATION_MS_MAX, Duration, Ms, to_bytes, to_ms
from streamq.errors import BareNumber, InvalidDuration, InvalidInput, InvalidName, OutOfRange
from streamq.handlers import Handler
from streamq.job import NO_OPTIONS, PRIORITY_DEFAULT, PRIORITY_MAX, JobId, Options, new_id
from streamq.job import NewJob as SealedJob
from streamq.payload import STORED_BYTES_MAX, Codec, codec_of
from streamq.settings import JobDefaults
from streamq.store.keys import ID, NAME

ATTEMPTS_MAX: Final = 1_000
HEADERS_MAX: Final = 64
HEADERS_BYTES_MAX: Final = 8_192
UNKNOWN_LABEL: Final = "unknown"
"""In counters, of names that no handler of this process takes: labels have to be bounded."""


class AddOptions(TypedDict, total=False):
    """What may be said of one job; None, or not said: the handler's, else the queue's, holds."""

    delay: Duration | None
    """Not before this long from now, by Redis's clock."""
    at: datetime | None
    """Not before this moment (aware). A moment that is past is now."""
    priority: int | None
    """1 is first, 10 last."""
    id: str | None
    """The job's own; adding an id that exists changes nothing. A UUIDv7 if not given."""
    attempts: int | None
    """The first try included, 1 to 1,000."""
    backoff: Backoff | Sequence[Duration] | None
    timeout: Duration | None
    """For one attempt."""
    expires: Duration | datetime | None
    """Not run after this long from now, or after this moment: it fails as expired."""
    headers: Mapping[str, str] | None
    """Seen by the handler: tenant, user, trace. At most 64, and 8 KiB."""
    keep: bool | None
    """False: nothing is kept of the job once it completed."""
    payload_limit: str | None
    """Such as "1MiB", up to 16 MiB."""


class _Named(msgspec.Struct, frozen=True):
    name: str
    data: object


class NewJob(_Named, frozen=True, kw_only=True):
    """A job for `Queue.add_many`; the options are those of `AddOptions`."""

    delay: Duration | None = None
    at: datetime | None = None
    priority: int | None = None
    id: str | None = None
    attempts: int | None = None
    backoff: Backoff | Sequence[Duration] | None = None
    timeout: Duration | None = None
    expires: Duration | datetime | None = None
    headers: Mapping[str, str] | None = None
    keep: bool | None = None
    payload_limit: str | None = None


class Terms(msgspec.Struct, frozen=True):
    """What holds for the jobs of one name, unless they say otherwise."""

    queue: str
    name: str
    codec: Codec[object]
    payload_limit_bytes: int
    priority: int
    label: str
    plain: Options
    """The options of a job that says nothing."""


def terms_of(queue: str, name: str, handler: Handler | None, defaults: JobDefaults) -> Terms:
    """Raises InvalidName for a name that no job may have."""
    if not NAME.fullmatch(name):
        raise InvalidName("job", name)
    limit, priority = defaults.payload_limit_bytes, defaults.priority
    if handler is not None:
        limit = handler.payload_limit_bytes or limit
        priority = handler.priority or priority
    return Terms(
        queue=queue,
        name=name,
        codec=codec_of(object) if handler is None else handler.codec,
        payload_limit_bytes=limit,
        priority=priority,
        label=UNKNOWN_LABEL if handler is None else handler.label,
        plain=NO_OPTIONS if priority == PRIORITY_DEFAULT else Options(priority=priority),
    )


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A job that cannot be refused any more. It has an id only if its caller gave it one."""

    id: JobId | None
    name: str
    label: str
    data: bytes
    options: Options
    delay_ms: int | None
    at_ms: int | None

    def sealed(self) -> SealedJob:
        """The job as it is sent."""
        job = new_id() if self.id is None else self.id
        return SealedJob(job, self.name, self.data, self.options, self.delay_ms, self.at_ms)


def checked(new: NewJob, terms: Terms, now_ms: int) -> Checked:
    """Raises InvalidInput (see errors.py): nothing was sent.

    `now_ms`: Redis's clock as far as this process knows it, for `expires`.
    """
    limit = terms.payload_limit_bytes
    if new.payload_limit is not None:
        limit = payload_limit_bytes(new.payload_limit)
    data = terms.codec.encode(new.data, terms.queue, terms.name, limit)
    job = None if new.id is None else checked_id(new.id)
    delay_ms = at_ms = None
    if new.delay is not None:
        delay_ms = to_ms(new.delay, "delay") or None
    if new.at is not None:
        at_ms = _moment_ms("at", new.at, now_ms)
        if new.delay is not None:
            raise InvalidInput(f"job {job or terms.name}: give delay or at, not both.")
    options = _options(new, terms, now_ms)
    return Checked(job, terms.name, terms.label, data, options, delay_ms, at_ms)


def sealed(new: NewJob, terms: Terms, now_ms: int) -> SealedJob:
    """The job as it is sent. Raises what `checked` raises."""
    return checked(new, terms, now_ms).sealed()


def _options(new: NewJob, terms: Terms, now_ms: int) -> Options:
    if (
        new.priority is None
        and new.attempts is None
        and new.backoff is None
        and new.timeout is None
        and new.expires is None
        and new.headers is None
        and new.keep is None
    ):
        return terms.plain
    priority = terms.plain.priority
    if new.priority is not None:
        priority = checked_priority(new.priority)
    return Options(
        attempts=None if new.attempts is None else checked_attempts(new.attempts),
        backoff=None if new.backoff is None else to_wire(as_backoff(new.backoff)),
        priority=priority,
        timeout_ms=None if new.timeout is None else timeout_ms(new.timeout),
        expires_at_ms=None if new.expires is None else _expires_at_ms(new, new.expires, now_ms),
        headers=dict(_checked_headers(new.headers)) if new.headers else None,
        keep=new.keep,
    )


def checked_id(value: str) -> JobId:
    """Raises InvalidName: an id could otherwise forge a lease."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidName("id", value)
    return JobId(value)


def checked_priority(value: int) -> int:
    return _whole("priority", value, 1, PRIORITY_MAX)


def checked_attempts(value: int) -> int:
    return _whole("attempts", value, 1, ATTEMPTS_MAX)


def timeout_ms(value: Duration) -> Ms:
    """Raises InvalidDuration, for none at all too."""
    if not (found := to_ms(value, "timeout")):
        raise InvalidDuration("timeout", value, "no attempt ends in no time")
    return found


def payload_limit_bytes(value: str) -> int:
    return _whole("payload_limit", to_bytes(value, "payload_limit"), 1, STORED_BYTES_MAX)


def _whole(what: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OutOfRange(what, value, low, high)
    return value


def moment_ms(what: str, moment: datetime) -> int:
    """Epoch ms of an aware datetime. Raises InvalidInput for a naive one: whose midnight is it?"""
    cure = "give an aware datetime, such as datetime.now(UTC) + timedelta(hours=1)."
    if not isinstance(moment, datetime):
        raise BareNumber(what, moment, f"no moment: {cure}")
    if moment.utcoffset() is None:
        raise InvalidInput(f"{what}={moment.isoformat()} has no time zone: {cure}")
    return int(moment.timestamp() * 1000)


def _moment_ms(what: str, moment: datetime, now_ms: int) -> int:
    found = moment_ms(what, moment)
    if found > now_ms + DURATION_MS_MAX:
        raise InvalidInput(f"{what}={moment.isoformat()} is more than ten years from now.")
    return max(0, found)


def _expires_at_ms(new: NewJob, expires: Duration | datetime, now_ms: int) -> int:
    if isinstance(expires, datetime):
        ends = _moment_ms("expires", expires, now_ms)
    else:
        ends = now_ms + to_ms(expires, "expires")
    due = now_ms
    if new.delay is not None:
        due += to_ms(new.delay, "delay")
    elif new.at is not None:
        due = max(due, moment_ms("at", new.at))
    if ends <= due:
        raise InvalidInput(f"expires={expires} is before the job is due: it could never run.")
    return ends


def _checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(headers, Mapping):
        raise InvalidInput(f"headers={headers!r:.80} is no mapping of names to values.")
    size = 0
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInput(f"headers[{name!r}]={value!r}: names and values are text.")
        try:
            size += len(name.encode()) + len(value.encode())
        except UnicodeEncodeError:
            raise InvalidInput(
                f"headers[{name!r}] holds half a surrogate pair: decode it right."
            ) from None
    if len(headers) > HEADERS_MAX or size > HEADERS_BYTES_MAX:
        raise InvalidInput(
            f"{len(headers)} headers of {size:,} bytes: at most {HEADERS_MAX}, and"
            f" {HEADERS_BYTES_MAX:,} bytes."
        )
    return headers
