"""One attempt: decode, call, time out, judge. Hands the worker an `Outcome`, and never raises.

A pipe of small steps: `open` (what is to run, or why nothing is), `call` (the handler, under its
time limit), `_judge` (what its end came to).
"""

import asyncio
import contextvars
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from streamq.backoff import Backoff, from_wire
from streamq.errors import StreamqError, Undecodable
from streamq.handlers import Handler, Registry
from streamq.job import (
    ALONE,
    ERROR_MESSAGE_CHARS,
    ERRORS_KEPT,
    NO_RUN,
    TRACEBACK_CHARS,
    AttemptError,
    Claim,
    End,
    Line,
    Options,
    Outcome,
    Record,
    Run,
    added_at_ms,
    line_of,
    unpack,
    unpack_run,
)
from streamq.run.context import Context, Notes
from streamq.settings import JobDefaults
from streamq.verdicts import Fail, Snooze

log = logging.getLogger("streamq.worker")

RESULT_BYTES_MAX = 64 * 1024  # a larger result is not kept, and the job's log says so
UNKNOWN_DELAY_MS = 1_000  # a name that another worker knows comes again after this

CallNext = Callable[[], Awaitable[object]]
Middleware = Callable[[Context, CallNext], Awaitable[object]]
OnFailed = Callable[[Context, BaseException], Awaitable[None]]


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

    __slots__ = ("claim", "context", "handler", "record", "run", "task", "terms", "thread", "why")

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
        self.why = ""

    def end(self, why: str) -> None:
        """Tells the attempt to end; the first reason stays, but for a lost lease, which wins."""
        if not self.why or why == "lost":
            self.why = why
        self.context.cancelled = True
        if self.task is not None:
            self.task.cancel()


class Executor:
    """Runs the attempts of one worker: which handler, under which terms, within which frame."""

    def __init__(
        self,
        queue: str,
        handlers: Registry,
        defaults: JobDefaults,
        *,
        state: object,
        middleware: Sequence[Middleware],
        on_failed: Sequence[OnFailed],
        threads: ThreadPoolExecutor,
        now_ms: Callable[[], int],
        known_elsewhere: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._queue = queue
        self._handlers = handlers
        self._defaults = defaults
        self._state = state
        self._middleware = tuple(middleware)
        self._on_failed = tuple(on_failed)
        self._threads = threads
        self._now_ms = now_ms
        self._known_elsewhere = known_elsewhere
        self._terms: dict[str, Terms] = {}

    def open(self, claim: Claim) -> Attempt | Outcome:
        """What is to run; or the outcome of a claim that is not to run, with its reason."""
        try:
            assert claim.record is not None
            record, run = unpack(claim.record), unpack_run(claim.run)
        except (msgspec.MsgspecError, ValueError) as error:
            return _unrun(claim, End.PARKED, NO_RUN, f"undecodable: {error}", "parked")
        if claim.mark == "f":
            run = msgspec.structs.replace(run, attempts=0, reason="")
        options = record.options
        if options.expires_at_ms is not None and options.expires_at_ms <= self._now_ms():
            return _unrun(claim, End.FAILED, run, "expired", "expired", record.name)
        handler = self._handlers.find(self._queue, record.name)
        if handler is None:
            reason = str(self._handlers.missing(self._queue, record.name))
            return _unrun(claim, End.PARKED, run, reason, "unknown", record.name)
        terms = self._terms_of(handler, options, claim.line)
        context = Context(
            claim,
            run,
            queue=self._queue,
            name=record.name,
            attempt=run.attempts + 1,
            attempts=terms.attempts,
            headers=options.headers,
            state=self._state,
        )
        return Attempt(claim, record, run, handler, terms, context)

    async def settle_unknown(self, outcome: Outcome) -> Outcome:
        """A name without a handler here: delayed if a live worker lists it, else parked."""
        if not await self._known_elsewhere(outcome.name):
            return msgspec.structs.replace(outcome, name="unknown", count="parked")
        return msgspec.structs.replace(
            outcome,
            end=End.RETRY,
            run=None,
            delay_ms=UNKNOWN_DELAY_MS,
            line=_own_line(outcome.claim),
            name="unknown",
            count="unknown",
        )

    def _terms_of(self, handler: Handler, options: Options, line: Line) -> Terms:
        plain = self._terms.get(handler.name)
        if plain is None:
            plain = self._terms[handler.name] = self._plain_terms(handler)
        if options == _PLAIN and line != ALONE:
            return plain
        wanted = options.priority
        return Terms(
            attempts=options.attempts or plain.attempts,
            backoff=plain.backoff if options.backoff is None else from_wire(options.backoff),
            timeout_ms=plain.timeout_ms if options.timeout_ms is None else options.timeout_ms,
            # A suspect stays alone, however its attempt ends.
            line=ALONE if line == ALONE else plain.line if wanted is None else line_of(wanted),
            keep=plain.keep if options.keep is None else options.keep,
        )

    def _plain_terms(self, handler: Handler) -> Terms:
        d = self._defaults
        return Terms(
            attempts=handler.attempts or d.attempts,
            backoff=handler.backoff or d.backoff,
            timeout_ms=d.timeout_ms if handler.timeout_ms is None else handler.timeout_ms,
            line=line_of(handler.priority or d.priority),
            keep=True if handler.keep is None else handler.keep,
        )

    async def call(self, attempt: Attempt) -> Outcome | None:
        """Runs the handler and judges its end; None if the lease was lost."""
        handler, context = attempt.handler, attempt.context
        outcome: Outcome | None
        try:
            payload = handler.codec.decode(attempt.record.data, self._queue, context.name)
            run = handler.coroutine
            if run is None or self._middleware or attempt.terms.timeout_ms is not None:
                result = await self._timed(attempt, payload)
            # The plain case has no frame: at 50,000 jobs/s each layer of calls would show.
            elif handler.takes_context:
                result = await run(payload, context)
            else:
                result = await run(payload)
            outcome = self._completed(attempt, result)
        except asyncio.CancelledError as error:
            outcome = self._ended(attempt, error)
        # The first of the three places: whatever a handler raises is an outcome. SystemExit too:
        # a handler must not stop the process that runs its neighbours.
        except (Exception, SystemExit) as error:
            # Told to end, and ended by an error of its own making: it was told all the same.
            outcome = self._ended(attempt, error) if attempt.why else self._judge(attempt, error)
        Notes.close(context)
        if outcome is not None and outcome.end is End.FAILED:
            await self._tell_failed(attempt, outcome)
        return outcome

    async def _timed(self, attempt: Attempt, payload: object) -> object:
        """The handler in its frame, within its time."""
        timeout_ms = attempt.terms.timeout_ms
        if timeout_ms is None:
            return await self._framed(attempt, payload)
        limit = asyncio.timeout(timeout_ms / 1000)
        try:
            async with limit:
                return await self._framed(attempt, payload)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the handler's own
            attempt.context.cancelled = True  # for a thread, which is not stopped by this
            raise TimeoutError(f"it took longer than its timeout of {timeout_ms} ms") from error

    async def _framed(self, attempt: Attempt, payload: object) -> object:
        """The handler within its middleware, the first registered outermost."""
        if not self._middleware:
            return await self._handled(attempt, payload)

        async def innermost() -> object:
            return await self._handled(attempt, payload)

        call_next: CallNext = innermost
        for middleware in reversed(self._middleware):
            call_next = _Frame(middleware, attempt.context, call_next)
        return await call_next()

    async def _handled(self, attempt: Attempt, payload: object) -> object:
        handler = attempt.handler
        args = (payload, attempt.context) if handler.takes_context else (payload,)
        if handler.coroutine is not None:
            return await handler.coroutine(*args)
        loop, frame = asyncio.get_running_loop(), contextvars.copy_context()
        attempt.thread = loop.run_in_executor(
            self._threads, lambda: frame.run(handler.function, *args)
        )
        # A thread that outlives its attempt has nobody who asks for its error.
        attempt.thread.add_done_callback(lambda f: f.cancelled() or f.exception())
        # Shielded: a thread cannot be cancelled, and its slot stays taken until it ends.
        return await asyncio.shield(attempt.thread)

    def _completed(self, attempt: Attempt, result: object) -> Outcome | None:
        if attempt.why == "lost":
            return None
        packed = None if result is None else _packed_result(attempt, result)
        return self._outcome(attempt, End.COMPLETED, "completed", result=packed)

    def _ended(self, attempt: Attempt, error: BaseException) -> Outcome | None:
        """It was told to end, or cancelled: by whom decides what the attempt came to."""
        if attempt.why == "lost":
            return None
        if attempt.why == "released":
            run, lines = Notes.take(attempt.context)
            return Outcome(
                attempt.claim, End.RELEASED, run, name=attempt.handler.label, log=lines,
                count="released",
            )  # fmt: skip
        if attempt.why in ("cancelled", "removed"):
            return self._outcome(attempt, End.FAILED, "cancelled", reason="cancelled")
        # The handler cancelled itself: an error like any other.
        return self._judge(attempt, RuntimeError(f"the handler was cancelled from within: {error}"))

    def _judge(self, attempt: Attempt, error: BaseException) -> Outcome:
        """What an error means: later without counting, parked, failed now, again, or given up."""
        if isinstance(error, Snooze):
            run, lines = Notes.take(attempt.context)
            return Outcome(
                attempt.claim, End.RETRY, run or attempt.run, delay_ms=error.after_ms,
                line=attempt.terms.line, name=attempt.handler.label, log=lines, count="snoozed",
            )  # fmt: skip
        if isinstance(error, Undecodable):
            return self._outcome(attempt, End.PARKED, "parked", reason=str(error), used=False)
        count = "timeout" if isinstance(error, TimeoutError) else "retried"
        if isinstance(error, Fail):
            return self._outcome(attempt, End.FAILED, "failed", error=error, reason=error.reason)
        delay_ms: int | None = None
        if attempt.context.attempt < attempt.terms.attempts:
            delay_ms = self._delay_ms(attempt, error)
        if delay_ms is not None:
            return self._outcome(attempt, End.RETRY, count, error=error, delay_ms=delay_ms)
        return self._outcome(
            attempt, End.FAILED, "timeout" if count == "timeout" else "failed", error=error,
            reason=f"{type(error).__name__}: {error}",
        )  # fmt: skip

    def _delay_ms(self, attempt: Attempt, error: BaseException) -> int | None:
        try:
            plain = error if isinstance(error, Exception) else RuntimeError(str(error))
            return attempt.terms.backoff.delay_ms(attempt.context.attempt, plain)
        except (StreamqError, ArithmeticError, TypeError, ValueError, LookupError) as fault:
            # A faulty callable must not lose the job: the queue's own policy holds.
            attempt.context.log(f"the backoff raised {fault!r}; the queue's policy is used")
            return self._defaults.backoff.delay_ms(
                attempt.context.attempt, RuntimeError(str(error))
            )

    def _outcome(
        self,
        attempt: Attempt,
        end: End,
        count: str,
        *,
        error: BaseException | None = None,
        reason: str = "",
        result: bytes | None = None,
        delay_ms: int | None = None,
        used: bool = True,
    ) -> Outcome:
        claim, before, now = attempt.claim, attempt.run, self._now_ms()
        lines = Notes.take(attempt.context)[1] if Notes.pending(attempt.context) else ""
        errors = before.errors
        if error is not None:
            errors = (*errors, error_of(error, attempt.context.attempt, now, claim.worker))
        run = Run(
            before.attempts + used,
            claim.claimed_at_ms,
            now if end is not End.RETRY else 0,
            claim.worker,
            reason[:ERROR_MESSAGE_CHARS] if reason else reason,
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
            "" if error is None else type(error).__name__,
            max(0, claim.claimed_at_ms - due_ms),
            max(0, now - claim.claimed_at_ms),
            max(0, now - added_at_ms(claim.record)) if claim.record else 0,
        )

    async def _tell_failed(self, attempt: Attempt, outcome: Outcome) -> None:
        """Calls the application's hooks; one that raises is told in the job's log, no more."""
        run = outcome.run or NO_RUN
        cause = Fail(run.errors[-1].message if run.errors else run.reason)
        hooks = (hook(attempt.context, cause) for hook in self._on_failed)
        for raised in await asyncio.gather(*hooks, return_exceptions=True):
            if isinstance(raised, BaseException):
                log.error("on_failed of job %s raised %r", attempt.claim.id, raised)


class _Frame:
    """One middleware around what it is to call."""

    def __init__(self, middleware: Middleware, context: Context, call_next: CallNext) -> None:
        self._middleware, self._context, self._next = middleware, context, call_next

    def __call__(self) -> Awaitable[object]:
        return self._middleware(self._context, self._next)


_PLAIN = Options()
_encode = msgspec.msgpack.Encoder().encode


def _packed_result(attempt: Attempt, result: object) -> bytes | None:
    """The result as bytes; one that cannot be kept is said in the job's log; the work was done."""
    try:
        packed = _encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        attempt.context.log(f"the result was not kept: {error}")
        return None
    if len(packed) > RESULT_BYTES_MAX:
        attempt.context.log(
            f"the result was not kept: {len(packed)} bytes, at most {RESULT_BYTES_MAX} are"
        )
        return None
    return packed


def error_of(error: BaseException, attempt: int, at_ms: int, worker: str) -> AttemptError:
    """An error as the job's run keeps it: its end is where the cause stands, so the head is cut."""
    text = "".join(traceback.format_exception(error))
    return AttemptError(
        attempt=attempt,
        type=type(error).__name__,
        message=_clean(str(error))[:ERROR_MESSAGE_CHARS],
        traceback=_clean(text)[-TRACEBACK_CHARS:],
        at_ms=at_ms,
        worker=worker,
    )


def _clean(text: str) -> str:
    """Without half surrogate pairs, which msgpack cannot carry."""
    return text.encode("utf-8", "replace").decode()


def _own_line(claim: Claim) -> Line:
    """Where a job that did not run goes again: a given-back one has lost its line's name."""
    if claim.line != "0":
        return claim.line
    try:
        assert claim.record is not None
        return line_of(unpack(claim.record).options.priority)
    except (msgspec.MsgspecError, ValueError):
        return line_of(None)


def _unrun(
    claim: Claim, end: End, run: Run, reason: str, count: str, name: str = "unknown"
) -> Outcome:
    """The outcome of a claim that no handler saw: no attempt is used."""
    kept = msgspec.structs.replace(
        run,
        claimed_at_ms=claim.claimed_at_ms,
        finished_at_ms=claim.claimed_at_ms if end is End.FAILED else 0,
        reason=reason[:ERROR_MESSAGE_CHARS],
    )
    return Outcome(claim, end, kept, name=name, count=count)


def flagged(outcome: Outcome, flag: str) -> Outcome:
    """The outcome of a job that an operator cancelled ("c") or removed ("r") while it ran."""
    if flag == "r":
        return msgspec.structs.replace(outcome, end=End.FAILED, keep=False, count="cancelled")
    if outcome.end is End.COMPLETED:
        return outcome  # too late: it is done
    run = msgspec.structs.replace(outcome.run or NO_RUN, reason="cancelled")
    return msgspec.structs.replace(outcome, end=End.FAILED, run=run, count="cancelled")
