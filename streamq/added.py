"""What `add` gives back: the job's id, whether it existed, and a way to wait for its result."""

from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import msgspec

from streamq import blocking
from streamq.durations import Duration, to_ms
from streamq.errors import OutOfRange
from streamq.events import WAIT_MAX_S
from streamq.job import JobId
from streamq.session import Session

R = TypeVar("R")

Timeout = Duration | float
"""How long a call waits: a duration, or a number of seconds."""


class Opens(Protocol):
    """What opens the session of the running loop."""

    def session(self) -> Session: ...


class Added(Generic[R]):
    """A job that was added, or that had been: then `existed` is True and nothing was changed."""

    __slots__ = ("_at_ms", "_home", "_kind", "existed", "id", "queue")

    def __init__(
        self,
        job: JobId,
        existed: bool,
        queue: str,
        home: Opens,
        at_ms: int | None,
        kind: type[R],
    ) -> None:
        self.id = job
        self.existed = existed
        self.queue = queue
        self._home = home
        self._at_ms = at_ms
        self._kind = kind

    def __repr__(self) -> str:
        return f"Added(id={self.id!r}, existed={self.existed})"

    async def result(
        self,
        timeout: Timeout | None = None,  # noqa: ASYNC109 - the public word
    ) -> R:
        """What the handler returned, once the job is completed.

        `timeout`: seconds or a duration; a day if not given. Raises JobFailed, ResultTimeout (the
        job goes on), ResultGone (it is done, and its result was not kept).
        """
        # An id that existed may be much older than this call: its events are no proof of anything.
        since_ms = None if self.existed else self._at_ms
        results = self._home.session().results(self.queue)
        raw = await results.of(self.id, limit_s=seconds_of(timeout), since_ms=since_ms)
        return unpacked(raw, self._kind)

    def result_sync(self, timeout: Timeout | None = None) -> R:
        """`result` for code without an event loop. Raises SyncInLoop where one runs."""
        return blocking.run(lambda: self.result(timeout), called="result_sync", instead="result")


def seconds_of(timeout: Timeout | None) -> float:
    """Raises OutOfRange, or what a duration raises."""
    if timeout is None:
        return WAIT_MAX_S
    if isinstance(timeout, str | timedelta):
        return to_ms(timeout, "timeout") / 1000
    if isinstance(timeout, bool) or not 0 <= timeout <= WAIT_MAX_S:
        raise OutOfRange("timeout", timeout, 0, WAIT_MAX_S)
    return float(timeout)


def unpacked(raw: bytes | None, kind: type[R]) -> R:
    """A packed result as what the handler said that it returns.

    A result that is not of that type comes as plain values: the annotation of a handler is its
    author's word, and nothing checked it when the result was packed.
    """
    packed = b"\xc0" if raw is None else raw
    try:
        return msgspec.msgpack.decode(packed, type=kind)
    except msgspec.ValidationError:
        plain: R = msgspec.msgpack.decode(packed)
        return plain
