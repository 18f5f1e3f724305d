"""A job as it travels: added (`Job`), given out (`Claim`), settled (`Outcome`), remembered (`Run`).

Owns the bytes that stand in Redis: the record (written once, by `add`) and the run (written by
whoever settles). Lua carries both and never decodes them. Hands on plain, frozen data.
"""

import os
import time
from enum import StrEnum
from typing import NewType

import msgspec

from streamq.durations import Ms

__all__ = [
    "AttemptError",
    "Claim",
    "Counts",
    "End",
    "Job",
    "JobId",
    "JobState",
    "Line",
    "Ms",
    "NewJob",
    "Options",
    "Outcome",
    "Run",
    "WorkerId",
    "line_of",
    "new_id",
]

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)
Line = NewType("Line", str)
"""Where a waiting job stands: one sign, chr(48 + n). "0" given back by a crash or a shutdown,
"1" to ":" the priorities 1 to 10, ";" alone (suspects)."""

GIVEN_BACK = Line("0")
ALONE = Line(";")
LINES = "0123456789:;"
PRIORITY_DEFAULT = 3
PRIORITY_MAX = 10

ERRORS_KEPT = 20
ERROR_MESSAGE_CHARS = 2_000
TRACEBACK_CHARS = 8_000

HEAD_BYTES = 12  # ticket (6) and time of adding in ms (6), big-endian, in front of every record
TICKET_BYTES = 6

TAILS_AT_ONCE = 256  # ids whose random end is drawn in one system call
_SEQUENCE_MAX = 0xFFF
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))

MARK_NEW = "n"  # never run: there is no run to fetch
MARK_RUN = "r"  # has a run: given back, or waiting for a retry
MARK_FRESH = "f"  # has a run, and an operator's retry gave it fresh attempts


class JobState(StrEnum):
    """Where a job stands. Exactly one at a time."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    PARKED = "parked"


class End(StrEnum):
    """What an attempt came to."""

    COMPLETED = "completed"
    RETRY = "retry"
    FAILED = "failed"
    RELEASED = "released"  # handed back unrun: no attempt used
    PARKED = "parked"


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the producer decided. None: the handler's, else the queue's, else the default holds."""

    attempts: int | None = msgspec.field(default=None, name="a")
    backoff: bytes | None = msgspec.field(default=None, name="b")
    priority: int | None = msgspec.field(default=None, name="p")
    timeout_ms: int | None = msgspec.field(default=None, name="t")
    expires_at_ms: int | None = msgspec.field(default=None, name="e")
    headers: dict[str, str] | None = msgspec.field(default=None, name="h")
    keep: bool | None = msgspec.field(default=None, name="k")
    """False: nothing is kept of the job once it completed."""


NO_OPTIONS = Options()


# gc=False: many are made at a time, and there is nothing in them that could lead back to them.
class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job on its way to `add`: everything decided, data already packed as msgpack.

    At most one of `delay_ms` (relative to Redis's clock) and `at_ms` (epoch) is set.
    """

    id: JobId
    name: str
    data: bytes
    options: Options = NO_OPTIONS
    delay_ms: int | None = None
    at_ms: int | None = None

    @property
    def line(self) -> Line:
        return line_of(self.options.priority)


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The bytes of a job in `jobs`, behind their head. Never changed but by an operator's edit."""

    name: str
    data: msgspec.Raw
    options: Options = NO_OPTIONS


class AttemptError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One failed attempt, as an operator reads it."""

    attempt: int
    type: str
    message: str
    traceback: str = ""
    at_ms: int = 0
    worker: str = ""


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has happened to a job so far. Times are Redis's clock in ms; absent until they happened.

    `attempts` counts finished attempts that used one (released, parked and snoozed use none).
    """

    attempts: int = msgspec.field(default=0, name="a")
    claimed_at_ms: int = msgspec.field(default=0, name="c")
    finished_at_ms: int = msgspec.field(default=0, name="f")
    worker: str = msgspec.field(default="", name="w")
    reason: str = msgspec.field(default="", name="x")
    result: bytes | None = msgspec.field(default=None, name="r")
    """What the handler returned, as msgpack; None: nothing, or nothing that can be kept."""
    progress: bytes | None = msgspec.field(default=None, name="p")
    """As msgpack: whole percent, or what the handler's own Struct holds."""
    errors: tuple[AttemptError, ...] = msgspec.field(default=(), name="e")


NO_RUN = Run()


class Claim(msgspec.Struct, frozen=True):
    """A job given to a worker, with the lease that lets it be settled.

    `entry`, `line`, `mark`, `ticket` and `tail` are the store's: hand them back as they came.
    `record` is None when the claim was past the byte budget of its turn (fetch it by id), and
    undecoded here: a job that cannot be decoded is parked alone, its neighbours run.
    """

    id: JobId
    record: bytes | None
    run: bytes | None
    entry: bytes
    line: Line
    mark: str
    ticket: bytes
    tail: bytes
    worker: WorkerId
    claimed_at_ms: int
    cancelled: bool = False

    @property
    def lease(self) -> bytes:
        """The opaque right to settle: equal to what stands in `leases`, or it is refused.

        Entry and tail; the tail is |line|fence|worker, the same for all claims of a turn and line.
        """
        return self.entry + self.tail

    @property
    def fence(self) -> int:
        """Rises with every claim of the job, on whatever server: what a commit guard compares."""
        return int(self.tail.split(b"|")[2])

    @property
    def added_at_ms(self) -> int:
        return 0 if self.record is None else added_at_ms(self.record)


class Outcome(msgspec.Struct, frozen=True):
    """What one attempt came to; the worker hands it to the next `step`.

    `run` is the run as it shall stand from now on (None: leave what stands). `delay_ms` is set
    only when `end` is RETRY and counts from the moment Redis settles it. `keep` False: the job
    leaves nothing behind, however it ended. `name` and the three times feed the counters.
    """

    claim: Claim
    end: End
    run: Run | None = None
    delay_ms: int | None = None
    line: Line = Line(chr(48 + PRIORITY_DEFAULT))
    """Where a retry will wait."""
    keep: bool = True
    name: str = "unknown"
    log: str = ""
    """Lines of the job's own log that no turn carried yet."""
    count: str = ""
    """The outcome's word in the counters: completed, retried, failed, timeout, released, expired,
    cancelled, parked, snoozed, unknown."""
    error: str = ""
    wait_ms: int = 0
    run_ms: int = 0
    total_ms: int = 0


class Counts(msgspec.Struct, frozen=True):
    """How many jobs of a queue stand where."""

    waiting: int = 0
    delayed: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    parked: int = 0
    paused: bool = False


class Job(msgspec.Struct, frozen=True):
    """A job as it is read back: what was added, where it stands, what has happened so far.

    `data` is msgpack; `due_at_ms` is set only while DELAYED.
    """

    id: JobId
    queue: str
    name: str
    state: JobState
    data: bytes
    options: Options
    added_at_ms: int
    run: Run = NO_RUN
    due_at_ms: int | None = None

    def value(self) -> object:
        """The payload as plain Python values."""
        return msgspec.msgpack.decode(self.data)


_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(Record)
_run_decoder = msgspec.msgpack.Decoder(Run)


def pack(job: NewJob) -> bytes:
    """The record of `job`; the script puts its head in front."""
    return _encoder.encode(Record(job.name, msgspec.Raw(job.data), job.options))


def unpack(value: bytes) -> Record:
    """The record in a value of `jobs`. Raises msgspec.DecodeError or ValidationError."""
    return _record_decoder.decode(memoryview(value)[HEAD_BYTES:])


def added_at_ms(value: bytes) -> int:
    """When the job was added, from the head of its value in `jobs`."""
    return int.from_bytes(value[TICKET_BYTES:HEAD_BYTES], "big")


def pack_run(run: Run) -> bytes:
    return _encoder.encode(run)


def unpack_run(value: bytes | None) -> Run:
    """The run in a value of `runs`; an absent one is an empty run. Raises msgspec.DecodeError."""
    return NO_RUN if value is None else _run_decoder.decode(value)


def value_of(data: bytes) -> object:
    """A stored value as plain Python; of bytes that cannot be read, what they are."""
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {"undecodable": data[:64].hex(), "bytes": len(data)}


def line_of(priority: int | None) -> Line:
    """The line of a priority, 1 (first) to 10."""
    return Line(chr(48 + (priority or PRIORITY_DEFAULT)))


_last_ms = 0
_head = ""
"""The first 48 bits of an id, of `_last_ms`: made once for all ids of that millisecond."""
_sequence = 0
_tails: list[str] = []
"""The last 64 bits of the next ids. A fork drops them: they would be those of two processes."""

os.register_at_fork(after_in_child=_tails.clear)


def new_id() -> JobId:
    """A UUIDv7 (RFC 9562, 5.7): sorts by time of making, and strictly so within one process.

    The 12 bits behind the time are a counter: ids made in one millisecond keep their order.
    """
    global _last_ms, _head, _sequence
    now_ms = time.time_ns() // 1_000_000
    if now_ms > _last_ms or _sequence == _SEQUENCE_MAX:
        # A counter that is full borrows the next millisecond.
        _last_ms, _sequence = max(now_ms, _last_ms + 1), os.urandom(1)[0]
        high = f"{_last_ms:012x}"
        _head = f"{high[:8]}-{high[8:]}"
    else:
        # Same millisecond, or the clock went back: count on.
        _sequence += 1
    try:
        tail = _tails.pop()
    except IndexError:
        tail, *others = _new_tails()
        _tails.extend(others)
    return JobId(f"{_head}-{0x7000 | _sequence:x}-{tail}")


def _new_tails() -> list[str]:
    """Two bits that name the variant, 62 random ones; many of them for one system call."""
    drawn = bytearray(os.urandom(8 * TAILS_AT_ONCE))
    drawn[::8] = drawn[::8].translate(_VARIANT)
    return [f"{tail[:4]}-{tail[4:]}" for tail in drawn.hex(" ", 8).split()]
