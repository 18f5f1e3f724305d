"""Runs one handler here and now, as a worker would: its payload checked, its end judged."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Generic, TypeVar, Unpack

import msgspec
from msgspec import UNSET

from streamq.adding import AddOptions, checked_attempts, sealed, terms_of
from streamq.app import App
from streamq.handle import Handle
from streamq.job import MARK_RUN, AttemptError, Claim, End, Outcome, Run, WorkerId, pack, pack_run
from streamq.run.execute import Executor

P = TypeVar("P")
R = TypeVar("R")

INLINE = WorkerId("inline")
_TICKET = b"inline"


class Performed(msgspec.Struct, Generic[R], frozen=True):
    """What an attempt came to, as the worker would hand it in.

    `count` is its word in the counters (completed, retried, failed, timeout, snoozed, ...);
    `delay_ms` is set if the job would come again; `reason` if it would not.
    """

    outcome: Outcome
    end: End
    count: str
    result: R | None
    error: AttemptError | None
    reason: str
    delay_ms: int | None
    log: str
    progress: object


async def perform(
    handle: Handle[P, R],
    data: P,
    *,
    attempt: int = 1,
    name: str | None = None,
    state: object = UNSET,
    **options: Unpack[AddOptions],
) -> Performed[R]:
    """Runs one attempt of a handler with this payload, within the app's middleware and hooks.

    `attempt`: as if that many less one had failed before. `state`: what `job.state` is; else the
    app's lifespan is entered. `options`: as of `add`. Raises what `add` raises, and nothing that
    the handler raises: that is in what comes back.
    """
    app, queue, handler = handle.queue.home, handle.queue.name, handle.handler
    assert isinstance(app, App)
    now_ms = app.clock.now_ms() or time.time_ns() // 1_000_000
    new = handle.new(data, name=name, **options)
    defaults = app.queue_settings(queue)
    job = sealed(new, terms_of(queue, new.name, handler, defaults), now_ms)
    before = Run(attempts=checked_attempts(attempt) - 1)
    claim = Claim(
        id=job.id,
        record=_TICKET + now_ms.to_bytes(6, "big") + pack(job),
        run=pack_run(before),
        entry=b"%d-0" % now_ms,
        line=job.line,
        mark=MARK_RUN,
        ticket=_TICKET,
        tail=b"|%b|1|%b" % (job.line.encode(), INLINE.encode()),
        worker=INLINE,
        claimed_at_ms=now_ms,
    )
    async with AsyncExitStack() as stack:
        if state is UNSET:
            state = await stack.enter_async_context(app.living())
        threads = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="streamq-inline"))
        executor = Executor(
            queue,
            app.handlers,
            defaults,
            state=state,
            middleware=app.middlewares,
            on_failed=app.failed_hooks,
            threads=threads,
            now_ms=lambda: app.clock.now_ms() or time.time_ns() // 1_000_000,
            known_elsewhere=_nobody_else,
        )
        opened = executor.open(claim)
        # Opened, and not run: it has expired.
        outcome = opened if isinstance(opened, Outcome) else await executor.call(opened)
    assert outcome is not None, "nobody took the lease of a job that Redis does not know"
    return _performed(handle, outcome)


async def _nobody_else(_: str) -> bool:
    return False


def _performed(handle: Handle[P, R], outcome: Outcome) -> Performed[R]:
    run = outcome.run or Run()
    done = outcome.end is End.COMPLETED
    progress = None if run.progress is None else msgspec.msgpack.decode(run.progress)
    return Performed(
        outcome=outcome,
        end=outcome.end,
        count=outcome.count,
        result=handle.unpacked(run.result) if done else None,
        error=run.errors[-1] if run.errors else None,
        reason=run.reason,
        delay_ms=outcome.delay_ms,
        log=outcome.log,
        progress=progress,
    )
