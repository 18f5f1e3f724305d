"""An attempt, and what its end means: completed, later again, failed, parked, or handed back.

Decides and waits for nothing. Of all this only an application's own backoff can raise.
"""

import asyncio
import traceback

import msgspec

from streamq.backoff import Backoff
from streamq.errors import Undecodable
from streamq.handlers import Handler
from streamq.job import (
    ERROR_MESSAGE_CHARS,
    ERRORS_KEPT,
    NO_RUN,
    TRACEBACK_CHARS,
    AttemptError,
    Claim,
    End,
    Line,
    Outcome,
    Record,
    Run,
    added_at_ms,
    line_of,
    unpack,
    unpack_run,
)
from streamq.run.context import Context, Notes, whole_text
from streamq.store.replies import Turn
from streamq.verdicts import Fail, Snooze

RESULT_BYTES_MAX = 64 * 1024  # a larger result is not kept, and the job's log says so

_encode = msgspec.msgpack.Encoder().encode


class Terms(msgspec.Struct, frozen=True):
    """What holds for one job: its own word, else its handler's, else its queue's."""

    attempts: int
    backoff: Backoff
    timeout_ms: int | None
    line: Line
    keep: bool


class Attempt:
    """A claim that runs: what it is, and why it was told to end (`why`), if it was.

    `why`: cancelled, removed, released (handed back), lost (the lease is not ours any more).
    """

    __slots__ = (
        "claim", "context", "error", "handler", "in_handler", "record", "run", "task", "terms",
        "thread", "why",
    )  # fmt: skip

    def __init__(
        self,
        claim: Claim,
        record: Record,
        run: Run,
        handler: Handler,
        terms: Terms,
        context: Context,
    ) -> None:
        self.claim = claim
        self.record = record
        self.run = run
        self.handler = handler
        self.terms = terms
        self.context = context
        self.task: asyncio.Task[None] | None = None
        self.thread: asyncio.Future[object] | None = None
        self.error: BaseException | None = None
        """What its handler raised."""
        self.in_handler = False
        self.why = ""

    def begin(self) -> None:
        """Its first step. Raises CancelledError if it was told to end before."""
        if self.why:
            raise asyncio.CancelledError(self.why)
        self.in_handler = True

    def end(self, why: str) -> None:
        """Tells the attempt to end; the first reason stays, but for a lost lease, which wins."""
        if not self.why or why == "lost":
            self.why = why
        self.context.cancelled = True
        # Not before its first step, for then nothing of it would ever run, and not after its
        # handler's last: nobody would hand in what it came to.
        if self.in_handler and self.task is not None:
            self.task.cancel()


# -- what a handler's end comes to


def completed(attempt: Attempt, result: object, now_ms: int) -> Outcome | None:
    """The handler returned. None: the lease was lost, so it is not ours to say."""
    if attempt.why == "lost":
        return None
    packed = None if result is None else _packed_result(attempt, result)
    return _outcome(attempt, End.COMPLETED, "completed", now_ms, result=packed)


def ended(attempt: Attempt, backoff: Backoff, now_ms: int) -> Outcome | None:
    """The handler raised `attempt.error`, or was told to end. None: the lease was lost."""
    error = attempt.error
    assert error is not None
    if attempt.why:
        # Whatever it raised at that: an error on its way out does not make it a failed attempt.
        return _told_to_end(attempt, now_ms)
    if isinstance(error, asyncio.CancelledError):
        error = RuntimeError(f"the handler was cancelled from within: {error}")
    if isinstance(error, Snooze):
        run, lines = Notes.take(attempt.context)
        return Outcome(
            attempt.claim, End.RETRY, run or attempt.run, delay_ms=error.after_ms,
            line=attempt.terms.line, name=attempt.handler.label, log=lines, count="snoozed",
        )  # fmt: skip
    if isinstance(error, Undecodable):
        return _outcome(attempt, End.PARKED, "parked", now_ms, reason=str(error), used=False)
    said = _error_of(error, attempt.context.attempt, now_ms, attempt.claim.worker)
    count = "timeout" if isinstance(error, TimeoutError) else "retried"
    if isinstance(error, Fail):
        return _outcome(attempt, End.FAILED, "failed", now_ms, said, reason=said.message)
    delay_ms = None
    if attempt.context.attempt < attempt.terms.attempts:
        plain = error if isinstance(error, Exception) else RuntimeError(said.message)
        delay_ms = backoff.delay_ms(attempt.context.attempt, plain)
    if delay_ms is not None:
        return _outcome(attempt, End.RETRY, count, now_ms, said, delay_ms=delay_ms)
    return _outcome(
        attempt, End.FAILED, "timeout" if count == "timeout" else "failed", now_ms, said,
        reason=f"{said.type}: {said.message}",
    )  # fmt: skip


def _told_to_end(attempt: Attempt, now_ms: int) -> Outcome | None:
    """By whom it was told decides what the attempt came to."""
    if attempt.why == "lost":
        return None
    if attempt.why == "released":
        run, lines = Notes.take(attempt.context)
        return Outcome(
            attempt.claim, End.RELEASED, run, name=attempt.handler.label, log=lines,
            count="released",
        )  # fmt: skip
    return _outcome(attempt, End.FAILED, "cancelled", now_ms, reason="cancelled")


def _outcome(
    attempt: Attempt,
    end: End,
    count: str,
    now_ms: int,
    error: AttemptError | None = None,
    *,
    reason: str = "",
    result: bytes | None = None,
    delay_ms: int | None = None,
    used: bool = True,
) -> Outcome:
    claim, before = attempt.claim, attempt.run
    lines = Notes.take(attempt.context)[1] if Notes.pending(attempt.context) else ""
    errors = before.errors if error is None else (*before.errors, error)
    run = Run(
        before.attempts + used,
        claim.claimed_at_ms,
        now_ms if end is not End.RETRY else 0,
        claim.worker,
        whole_text(reason)[:ERROR_MESSAGE_CHARS] if reason else reason,
        result,
        attempt.context._run.progress,
        errors[-ERRORS_KEPT:] if errors else errors,
    )
    due_ms = int(claim.entry.partition(b"-")[0])
    return Outcome(
        claim,
        end,
        run,
        delay_ms,
        attempt.terms.line,
        attempt.why != "removed" and (attempt.terms.keep or end is not End.COMPLETED),
        attempt.handler.label,
        lines,
        count,
        "" if error is None else error.type,
        max(0, claim.claimed_at_ms - due_ms),
        max(0, now_ms - claim.claimed_at_ms),
        max(0, now_ms - added_at_ms(claim.record)) if claim.record else 0,
    )


def _packed_result(attempt: Attempt, result: object) -> bytes | None:
    """The result as bytes; one that cannot be kept is said in the job's log; the work was done."""
    try:
        packed = _encode(result)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError) as e:
        attempt.context.log(f"the result was not kept: {e}")
        return None
    if len(packed) > RESULT_BYTES_MAX:
        attempt.context.log(
            f"the result was not kept: {len(packed)} bytes, at most {RESULT_BYTES_MAX} are"
        )
        return None
    return packed


def _error_of(error: BaseException, attempt: int, at_ms: int, worker: str) -> AttemptError:
    """An error as the job's run keeps it: its end is where the cause stands, so the head is cut."""
    # Not str(): what an application raises may raise when it is asked for its text.
    told = traceback.TracebackException.from_exception(error)
    return AttemptError(
        attempt=attempt,
        type=type(error).__name__,
        message=whole_text(str(told))[:ERROR_MESSAGE_CHARS],
        traceback=whole_text("".join(told.format()))[-TRACEBACK_CHARS:],
        at_ms=at_ms,
        worker=worker,
    )


# -- what a claim comes to without its handler


def unrun(
    claim: Claim, end: End, run: Run, reason: str, count: str, label: str = "unknown"
) -> Outcome:
    """The outcome of a claim that no handler saw: no attempt is used."""
    kept = msgspec.structs.replace(
        run,
        claimed_at_ms=claim.claimed_at_ms,
        finished_at_ms=claim.claimed_at_ms if end is End.FAILED else 0,
        worker=claim.worker,
        reason=whole_text(reason)[:ERROR_MESSAGE_CHARS],
    )
    return Outcome(claim, end, kept, name=label, count=count)


def released(claim: Claim, label: str = "unknown") -> Outcome:
    """A claim handed back as it came."""
    return Outcome(claim, End.RELEASED, name=label, count="released")


def own_line(claim: Claim) -> Line:
    """Where a job that did not run goes again: a given-back one has lost its line's name."""
    if claim.line != "0":
        return claim.line
    try:
        assert claim.record is not None
        return line_of(unpack(claim.record).options.priority)
    except (msgspec.MsgspecError, ValueError):
        return line_of(None)


def flagged(outcome: Outcome, flag: str, now_ms: int) -> Outcome:
    """The outcome of a job that an operator cancelled ("c") or removed ("r") while it ran."""
    if flag == "r":
        return msgspec.structs.replace(outcome, end=End.FAILED, keep=False, count="cancelled")
    if outcome.end in (End.COMPLETED, End.FAILED):
        return outcome  # too late: it has ended
    run = msgspec.structs.replace(
        outcome.run or run_of(outcome.claim), reason="cancelled", finished_at_ms=now_ms
    )
    return msgspec.structs.replace(outcome, end=End.FAILED, run=run, count="cancelled")


def marked(turn: Turn) -> list[Claim]:
    """The turn's claims; those that an operator cancelled or removed meanwhile are marked."""
    return [
        msgspec.structs.replace(claim, cancelled=True) if claim.id in turn.flagged else claim
        for claim in turn.claims
    ]


def run_of(claim: Claim) -> Run:
    """What had happened to the job when it was claimed; nothing, if nobody can read it."""
    try:
        return unpack_run(claim.run)
    except (msgspec.MsgspecError, ValueError):
        return NO_RUN
