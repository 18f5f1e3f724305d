"""What becomes of a job or an attempt that cannot go its way, and what `result()` raises."""

from collections.abc import Sequence

from streamq.errors.root import StreamqError
from streamq.errors.wording import did_you_mean, shown


class LeaseLost(StreamqError):
    """Another attempt has the job, or it is settled: this one stops and its outcome is dropped.

    `current` is None if nobody holds the job now.
    """

    code = "SQ127"

    def __init__(self, job_id: str, held: int, current: int | None = None) -> None:
        self.job_id, self.held, self.current = job_id, held, current
        now = "nobody holds it" if current is None else f"the lease is at {current}"
        other = "it was settled or taken away" if current is None else "another worker has the job"
        super().__init__(f"job {job_id}: fence {held} is stale, {now}. Stop this attempt; {other}.")


class Undecodable(StreamqError):
    """Stored bytes that do not fit the handler's type; the job is parked, not failed."""

    code = "SQ213"

    def __init__(self, queue: str, name: str, reason: str) -> None:
        self.queue, self.name, self.reason = queue, name, reason
        super().__init__(
            f"{queue}/{name} parked: {reason}. It runs when a build that can read it starts; see"
            f"  streamq jobs {queue} --state parked"
        )


class NoHandler(StreamqError):
    code = "SQ202"

    def __init__(self, queue: str, name: str, known: Sequence[str] = ()) -> None:
        self.queue, self.name, self.known = queue, name, tuple(known)
        super().__init__(
            f"{queue}/{name} parked: no handler.{did_you_mean(name, known, quote='')}"
            f" It runs when a worker that knows it starts; see  streamq jobs {queue} --state parked"
        )


class PlainFunction(StreamqError):
    """Logged once a handler: not async, so it runs in a thread, which nothing can stop."""

    code = "SQ210"

    def __init__(self, function: str, timeout_ms: int | None = None) -> None:
        self.function, self.timeout_ms = function, timeout_ms
        limit = "no timeout" if timeout_ms is None else f"max {timeout_ms / 1000:g} s"
        super().__init__(
            f"{function} is a plain function: it runs in a thread ({limit})."
            " For CPU work start more processes:  streamq run -p N"
        )


class LoopStoodStill(StreamqError):
    """Logged with the stack when a handler has held the event loop for over a second."""

    code = "SQ211"

    def __init__(
        self, stood_ms: int, queue: str, name: str, where: str, function: str = ""
    ) -> None:
        self.stood_ms, self.queue, self.name, self.where, self.function = (
            stood_ms,
            queue,
            name,
            where,
            function,
        )
        called = f" ({function})" if function else ""
        super().__init__(
            f"the event loop stood still for {stood_ms / 1000:.1f} s in {queue}/{name}"
            f" at {where}{called}"
        )


class ResultError(StreamqError):
    """`result()` has no value to give."""


class JobFailed(ResultError):
    """The job is failed for good; `errors` are its attempts' errors, the last 20, oldest first."""

    code = "SQ251"
    exit_code = 5

    def __init__(self, job_id: str, reason: str, errors: Sequence[object] = ()) -> None:
        self.job_id, self.reason, self.errors = job_id, reason, tuple(errors)
        super().__init__(f"job {job_id} failed: {reason}")


class ResultTimeout(ResultError, TimeoutError):
    """The job goes on; only the waiting ended."""

    code = "SQ252"

    def __init__(self, job_id: str, waited_ms: int) -> None:
        self.job_id, self.waited_ms = job_id, waited_ms
        super().__init__(
            f"job {job_id} has no result after {waited_ms / 1000:g} s. It goes on; ask again later."
        )


class ResultGone(ResultError):
    """The job is done, and its record is gone: by retention, "keep nothing" or an operator."""

    code = "SQ253"

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(
            f"job {job_id}: its result is gone, removed or kept for less time (keep_completed)."
        )


class JobNotFound(ResultError, LookupError):
    code = "SQ254"

    def __init__(self, job_id: str, queue: str = "") -> None:
        self.job_id, self.queue = job_id, queue
        where = f" in queue {queue}" if queue else ""
        super().__init__(f"No job {shown(job_id)}{where}: never added, or removed.")
