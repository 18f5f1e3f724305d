"""What the benchmark tells its worker processes, and what they answer: one JSON line each."""

from enum import StrEnum

import msgspec

from benchmarks.figures import Side


class Work(StrEnum):
    """What a handler does with its payload."""

    NOTHING = "nothing"
    """The payload is text; only the call is counted."""
    SINCE = "since"
    """The payload is when it was added (monotonic ns): the sample is the time since."""
    LATE = "late"
    """The payload is when it was due (epoch ns): the sample is the time since."""


class Open(msgspec.Struct, frozen=True, tag="open"):
    """Make a worker, connected and known to Redis, that takes nothing yet."""

    side: Side
    work: Work
    slots: int
    queue: str


class Go(msgspec.Struct, frozen=True, tag="go"):
    """Take jobs from now on."""


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Say what was done since `Go`."""


class Close(msgspec.Struct, frozen=True, tag="close"):
    """End the worker, and be ready for another."""


Order = Open | Go | Look | Close


class Report(msgspec.Struct, frozen=True):
    """The answer to every order: what stands at that moment."""

    began_ns: int = 0
    """Monotonic time of `Go`; the clock is the same in all processes of a machine."""
    last_ns: int = 0
    """Monotonic time at which the last handler was called."""
    ran: int = 0
    cpu_us: float = 0.0
    """CPU time of the process since `Go`."""
    samples_ms: tuple[float, ...] = ()
