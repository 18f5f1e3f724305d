"""One attempt: decode, call, time out, judge. Hands the worker an `Outcome`, and never raises.

A pipe of small steps: `open` (what is to run, or why nothing is), `call` (the handler, under its
time limit, and what its end came to: `judge`), and the application's hooks for a failure.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from streamq.backoff import Backoff, Exponential, from_wire
from streamq.handlers import Handler, Registry
from streamq.job import (
    ALONE,
    NO_RUN,
    PRIORITY_MAX,
    Claim,
    End,
    Line,
    Options,
    Outcome,
    Record,
    Run,
    line_of,
    unpack,
    unpack_run,
)
from streamq.run.context import Context, Notes
from streamq.run.judge import Attempt, Terms, completed, ended, own_line, run_of, unrun
from streamq.settings import JobDefaults
from streamq.verdicts import Fail

log = logging.getLogger("streamq.worker")

UNKNOWN_DELAY_MS = 1_000  # a name that another worker knows comes again after this
HOOKS_LIMIT_S = 30.0  # for all of the hooks of one failure: the job keeps its slot meanwhile
LAST_RESORT = Exponential(5_000)
"""The backoff of a job when its own raised, and its queue's too: this one cannot."""

CallNext = Callable[[], Awaitable[object]]
Middleware = Callable[[Context, CallNext], Awaitable[object]]
OnFailed = Callable[[Context, BaseException], Awaitable[None]]


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

    def renew(self, defaults: JobDefaults) -> None:
        """The queue's terms, for attempts that begin from now on."""
        self._defaults = defaults
        self._terms.clear()

    # -- before the handler

    def open(self, claim: Claim) -> Attempt | Outcome:
        """What is to run; or the outcome of a claim that is not to run, with its reason."""
        run = NO_RUN
        try:
            run = unpack_run(claim.run)
            record = _read(claim)
            options = record.options
            handler = self._handlers.find(self._queue, record.name)
            terms = None if handler is None else self._terms_of(handler, options, claim.line)
        except (msgspec.MsgspecError, ValueError) as error:
            return unrun(claim, End.PARKED, run, f"undecodable: {error}", "parked")
        if claim.mark == "f":
            run = msgspec.structs.replace(run, attempts=0, reason="")
        if options.expires_at_ms is not None and options.expires_at_ms <= self._now_ms():
            label = "unknown" if handler is None else handler.label
            return unrun(claim, End.FAILED, run, "expired", "expired", label)
        if handler is None or terms is None:
            reason = str(self._handlers.missing(self._queue, record.name))
            return unrun(claim, End.PARKED, run, reason, "unknown", record.name)
        context = self._context(claim, run, record, terms.attempts)
        return Attempt(claim, record, run, handler, terms, context)

    def _context(self, claim: Claim, run: Run, record: Record, attempts: int) -> Context:
        return Context(
            claim,
            run,
            queue=self._queue,
            name=record.name,
            attempt=run.attempts + 1,
            attempts=attempts,
            headers=record.options.headers,
            state=self._state,
        )

    async def settle_unknown(self, outcome: Outcome) -> Outcome:
        """A name without a handler here: delayed if a live worker lists it, else parked."""
        if not await self._known_elsewhere(outcome.name):
            return msgspec.structs.replace(outcome, name="unknown", count="parked")
        return msgspec.structs.replace(
            outcome,
            end=End.RETRY,
            run=None,
            delay_ms=UNKNOWN_DELAY_MS,
            line=own_line(outcome.claim),
            name="unknown",
            count="unknown",
        )

    def _terms_of(self, handler: Handler, options: Options, line: Line) -> Terms:
        """Raises InvalidBackoff for a stored policy that nobody can read."""
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

    # -- the handler

    async def call(self, attempt: Attempt) -> Outcome | None:
        """Runs the handler and judges its end; None if the lease was lost."""
        context, handler = attempt.context, attempt.handler
        backoffs: Iterator[Backoff] | None = None
        backoff: Backoff | None = None
        outcome: Outcome | None = None
        while True:
            try:
                if backoff is None:
                    attempt.begin()
                    payload = handler.codec.decode(attempt.record.data, self._queue, context.name)
                    run = handler.coroutine
                    if run is None or self._middleware or attempt.terms.timeout_ms is not None:
                        result = await self._timed(attempt, payload)
                    # The plain case has no frame: at 50,000 jobs/s each layer of calls would show.
                    elif handler.takes_context:
                        result = await run(payload, context)
                    else:
                        result = await run(payload)
                    attempt.in_handler = False
                    outcome = completed(attempt, result, self._now_ms())
                else:
                    outcome = ended(attempt, backoff, self._now_ms())
                break
            except (KeyboardInterrupt, GeneratorExit):
                raise  # the process ends, or the loop: nobody would hand in what it came to
            # The first of the three places: whatever a handler raises is an outcome. SystemExit
            # too: a handler must not stop the process that runs its neighbours. And so is what
            # its backoff raises; then its queue's holds.
            except BaseException as raised:
                attempt.in_handler = False
                if backoffs is None:
                    attempt.error, backoffs = raised, self._backoffs(attempt)
                else:
                    context.log(f"the backoff raised {type(raised).__name__}; another is used")
                backoff = next(backoffs)
        if outcome is not None and outcome.end is End.FAILED and self._on_failed:
            # Of one that was told to end, the error is only how it did.
            error = None if attempt.why else attempt.error
            await self._call_hooks(context, error or _reason_of(outcome))
        if context._folder is not None:
            self._clear_up(attempt)
        return outcome

    def _backoffs(self, attempt: Attempt) -> Iterator[Backoff]:
        """The job's own; and, as one may raise, those in its stead."""
        yield attempt.terms.backoff
        yield self._defaults.backoff
        yield LAST_RESORT

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
            self._threads, lambda: frame.run(_called, handler.function, args)
        )
        # A thread that outlives its attempt has nobody who asks for its error.
        attempt.thread.add_done_callback(lambda f: f.cancelled() or f.exception())
        # Shielded: a thread cannot be cancelled, and its slot stays taken until it ends.
        result = await asyncio.shield(attempt.thread)
        # An async function behind a decorator that is not: all it did so far is to be called.
        return await result if inspect.isawaitable(result) else result

    # -- after it

    async def tell_failed(self, outcome: Outcome) -> Outcome:
        """Calls the hooks for a job that no attempt ended: it had expired, or a flag met it."""
        if not self._on_failed:
            return outcome
        claim = outcome.claim
        try:
            record = _read(claim)
        except (msgspec.MsgspecError, ValueError):
            return outcome  # there is nothing to tell of it
        handler = self._handlers.find(self._queue, record.name)
        own = None if handler is None else handler.attempts
        attempts = record.options.attempts or own or self._defaults.attempts
        context = self._context(claim, run_of(claim), record, attempts)
        await self._call_hooks(context, _reason_of(outcome))
        Notes.close(context)
        return outcome

    async def _call_hooks(self, context: Context, error: BaseException) -> None:
        """One that raises is told in the log, no more."""
        hooks = [asyncio.create_task(_hooked(h, context, error)) for h in self._on_failed]
        ends_at = time.monotonic() + HOOKS_LIMIT_S
        late = set(hooks)
        while late and (left_s := ends_at - time.monotonic()) > 0:
            # A cancel that comes now comes too late; the hooks are not to suffer from it.
            with contextlib.suppress(asyncio.CancelledError):
                _, late = await asyncio.wait(late, timeout=left_s)
        for hook in hooks:
            if hook in late:
                hook.cancel()
                log.error("on_failed of job %s took over %g s", context.id, HOOKS_LIMIT_S)
            elif not hook.cancelled() and (raised := hook.exception()) is not None:
                log.error(
                    "on_failed of job %s raised %s", context.id, type(raised).__name__,
                    exc_info=raised,
                )  # fmt: skip

    def _clear_up(self, attempt: Attempt) -> None:
        """The attempt's folder goes; if a thread goes on in it, with the thread."""
        if attempt.thread is None or attempt.thread.done():
            Notes.close(attempt.context)
        else:
            attempt.thread.add_done_callback(lambda _: Notes.close(attempt.context))


class _Frame:
    """One middleware around what it is to call."""

    def __init__(self, middleware: Middleware, context: Context, call_next: CallNext) -> None:
        self._middleware, self._context, self._next = middleware, context, call_next

    def __call__(self) -> Awaitable[object]:
        return self._middleware(self._context, self._next)


def _called(function: Callable[..., object], args: tuple[object, ...]) -> object:
    """Calls a plain function, on its thread."""
    try:
        return function(*args)
    except StopIteration as error:
        # A future cannot hold one: whoever waits for it would wait for ever.
        raise RuntimeError("the handler raised StopIteration") from error


async def _hooked(hook: OnFailed, context: Context, error: BaseException) -> None:
    try:
        await hook(context, error)
    except (SystemExit, KeyboardInterrupt) as raised:
        # Out of a task of its own it would stop the loop.
        raise RuntimeError(f"it raised {type(raised).__name__}") from raised


def _reason_of(outcome: Outcome) -> Fail:
    return Fail((outcome.run or NO_RUN).reason or outcome.count)


_PLAIN = Options()


def _read(claim: Claim) -> Record:
    """The record of a claim. Raises MsgspecError or ValueError for one that nobody can read."""
    assert claim.record is not None
    record = unpack(claim.record)
    priority = record.options.priority
    if priority is not None and not 1 <= priority <= PRIORITY_MAX:
        # It would name a line that there is not, and no script could go on.
        raise ValueError(f"priority {priority} is not 1 to {PRIORITY_MAX}")
    return record
