"""What a handler may ask and say while it runs: its job, progress, log lines, whether to stop.

Nothing here touches the wire: what is said rides in the worker's next turn, under the job's lease.
"""

from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from streamq.errors import OutOfRange
from streamq.job import Claim, JobId, Run
from streamq.run.folders import JobFolder

LOG_LINE_CHARS = 4_000
LOG_LINES_PENDING_MAX = 1_000  # said between two turns; further lines are counted and not kept
PROGRESS_BYTES_MAX = 64 * 1024  # it is written anew each second
HEADERS_NONE: Mapping[str, str] = {}


class _Done:
    """Lets `job.progress(…)` be called with `await` and, in a plain function, without."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE = _Done()


def _nothing() -> None:
    """Nobody listens yet."""


def whole_text(text: str) -> str:
    """Without half surrogate pairs, which no bytes can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


class Context:
    """One attempt, as its handler sees it. Usable from the handler's thread as well."""

    __slots__ = (
        "_claim",
        "_dropped",
        "_folder",
        "_lines",
        "_progress",
        "_run",
        "_said",
        "_taken",
        "attempt",
        "attempts",
        "cancelled",
        "headers",
        "id",
        "name",
        "queue",
        "state",
    )

    def __init__(
        self,
        claim: Claim,
        run: Run,
        *,
        queue: str,
        name: str,
        attempt: int,
        attempts: int,
        headers: Mapping[str, str] | None,
        state: object,
    ) -> None:
        self.id: JobId = claim.id
        self.queue = queue
        self.name = name
        self.attempt = attempt
        """1 is the first try."""
        self.attempts = attempts
        """How many tries there are in all."""
        self.headers = headers or HEADERS_NONE
        self.state = state
        """What the App's lifespan gave: shared by all handlers of this process."""
        self.cancelled = False
        """True once the job was cancelled, timed out or lost: a plain function should then end."""
        self._claim = claim
        self._run = run
        # Written by the handler, on whatever thread it runs; `_taken` is the worker's.
        self._progress: bytes | None = None
        self._taken: bytes | None = None
        self._lines: list[str] = []
        self._dropped = 0
        self._folder: JobFolder | None = None
        self._said: Callable[[], None] = _nothing

    @property
    def added_at(self) -> datetime:
        return _moment(self._claim.added_at_ms)

    @property
    def claimed_at(self) -> datetime:
        return _moment(self._claim.claimed_at_ms)

    @property
    def due_at(self) -> datetime:
        """When it came to its line: when it was added, or when its delay or back-off ended."""
        return _moment(int(self._claim.entry.partition(b"-")[0]))

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of this job, and for no other job: act once for each."""
        return f"{self.queue}/{self.id}"

    @property
    def tempdir(self) -> Path:
        """A folder of its own, made when first asked for, gone when the attempt ends.

        Of a process that was killed it goes within an hour of the next daemon on this machine.
        """
        if self._folder is None:
            self._folder = JobFolder()
        return self._folder.path

    def progress(self, value: float | msgspec.Struct) -> _Done:
        """How far it is: 0 to 1, or a Struct of yours. Shown within a second; `await` is optional.

        Raises OutOfRange for a number outside, and for a Struct of more than 64 KiB.
        """
        if isinstance(value, msgspec.Struct):
            raw = msgspec.msgpack.encode(value)
            if len(raw) > PROGRESS_BYTES_MAX:
                raise OutOfRange("bytes of progress", len(raw), 0, PROGRESS_BYTES_MAX)
        else:
            if not 0 <= value <= 1:
                raise OutOfRange("progress", value, 0, 1)
            raw = msgspec.msgpack.encode(round(value * 100))
        self._progress = raw
        self._said()
        return _DONE

    def log(self, text: str) -> None:
        """A line in the job's own log (64 KiB are kept of a job, the newest)."""
        if len(self._lines) >= LOG_LINES_PENDING_MAX:
            self._dropped += 1
            return
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._lines.append(f"{stamp} {whole_text(text[:LOG_LINE_CHARS])}\n")
        self._said()


class Notes:
    """The worker's side of a Context: takes what was said, and puts it back if a turn failed."""

    @staticmethod
    def pending(context: Context) -> bool:
        return context._progress is not context._taken or bool(context._lines)

    @staticmethod
    def listen(context: Context, said: Callable[[], None]) -> None:
        """Calls `said` when there is something new, from whatever thread says it."""
        context._said = said

    @staticmethod
    def take(context: Context) -> tuple[Run | None, str]:
        """The run with new progress (None: no news) and the new log lines."""
        # A thread may say more at any moment: so nothing is swapped for an empty one here.
        progress = context._progress
        news = progress is not context._taken
        if news:
            context._taken = progress
            context._run = msgspec.structs.replace(context._run, progress=progress)
        lines = context._lines[:]
        del context._lines[: len(lines)]
        if context._dropped:
            lines.append(f"{context._dropped} more lines were not kept\n")
            context._dropped = 0
        return (context._run if news else None), "".join(lines)

    @staticmethod
    def put_back(context: Context, run: Run | None, text: str) -> None:
        if run is not None and context._taken is run.progress:
            context._taken = None
        if text:
            context._lines.insert(0, text)

    @staticmethod
    def close(context: Context) -> None:
        """Nobody uses its folder any more."""
        if context._folder is not None:
            context._folder.close()
