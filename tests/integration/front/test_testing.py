"""What authors of handlers test with does what a worker and Redis would do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import assert_type

import pytest

from streamq import App, Context, JobState, Queue, Retry, Snooze
from streamq.errors import InvalidPayload, OutOfRange
from streamq.job import Counts, End
from streamq.settings import Settings
from streamq.testing import MovableClock, Performed, capture_adds, perform, run_until_idle
from streamq.testing.idle import NotIdle, working
from tests.integration.front.shop import Shop, Welcome
from tests.support.waiting import soon

pytest_plugins = ["pytester"]


@pytest.fixture
def offline() -> Shop:
    """A shop that can reach no Redis."""
    return Shop(App("shop", settings=Settings(), redis="redis://127.0.0.1:1"))


# ---- one attempt inline


async def test_a_handler_performs_as_in_a_worker(offline: Shop) -> None:
    done = await perform(offline.welcome, Welcome(to="ana"))
    plain = await perform(offline.measure, {"a": 1, "b": 2})

    assert_type(done, Performed[str])
    assert (done.end, done.count, done.result) == (End.COMPLETED, "completed", "sent to ana")
    assert done.log.endswith(" to ana\n")
    assert plain.result == {"sum": 3}


async def test_an_attempt_that_fails_says_when_it_would_come_again(offline: Shop) -> None:
    first = await perform(offline.broken, "x", attempt=1)
    last = await perform(offline.broken, "x", attempt=2)

    assert (first.end, first.delay_ms) == (End.RETRY, 5_000)
    assert (last.end, last.reason) == (End.FAILED, "ValueError: x")
    assert last.error is not None
    assert (last.error.type, last.error.attempt) == ("ValueError", 2)


async def test_what_a_handler_raises_decides_as_in_a_worker(offline: Shop) -> None:
    @offline.app.job("email")
    async def decide(data: str) -> None:
        raise {"later": Snooze("2h"), "again": Retry(after="9s")}[data]

    later, again = await perform(decide, "later"), await perform(decide, "again")

    assert (later.count, later.delay_ms) == ("snoozed", 7_200_000)
    assert (again.count, again.delay_ms) == ("retried", 9_000)


async def test_a_payload_is_checked_before_a_handler_performs(offline: Shop) -> None:
    with pytest.raises(InvalidPayload):
        await perform(offline.welcome, {"to": 1})  # type: ignore[misc]  # what the type checker tells as well


async def test_options_hold_for_an_inline_attempt(offline: Shop) -> None:
    @offline.app.job("email")
    async def headers(data: None, job: Context) -> dict[str, str]:
        return dict(job.headers)

    seen = await perform(headers, None, headers={"tenant": "sol"})
    last = await perform(offline.broken, "x", attempt=1, attempts=1)
    named = await perform(offline.sync, {}, name="sync-zapier")

    assert seen.result == {"tenant": "sol"}
    assert last.end is End.FAILED
    assert named.result == "sync-zapier"


async def test_middleware_hooks_and_lifespan_frame_an_inline_attempt() -> None:
    said: list[str] = []

    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[str]:
        said.append("opened")
        yield "shared"
        said.append("closed")

    app = App("shop", settings=Settings(), lifespan=lifespan)

    @app.middleware
    async def around(job: Context, call_next: Callable[[], Awaitable[object]]) -> object:
        said.append(f"before {job.name}")
        try:
            return await call_next()
        finally:
            said.append("after")

    @app.on_failed
    async def told(job: Context, error: BaseException) -> None:
        said.append(f"failed: {job.state}")

    @app.job("email", attempts=1)
    async def greet(data: str, job: Context) -> str:
        if not data:
            raise ValueError
        return str(job.state)

    done = await perform(greet, "x")
    failed = await perform(greet, "", state="mine")

    assert done.result == "shared"
    assert failed.end is End.FAILED
    assert said == [
        "opened", "before greet", "after", "closed", "before greet", "after", "failed: mine",
    ]  # fmt: skip


# ---- adds that are caught


async def test_captured_adds_are_checked_and_not_sent(offline: Shop) -> None:
    queue = offline.app.queue("email")

    with capture_adds(offline.app) as captured:
        first = await offline.welcome.add(Welcome(to="x"), id="a", delay="5m", priority=2)
        again = await offline.welcome.add(Welcome(to="y"), id="a")
        await queue.add_many([offline.measure.new({"a": 1}), offline.sync.new({}, name="sync-b")])
        await asyncio.to_thread(lambda: offline.measure.add_sync({}))
        with pytest.raises(InvalidPayload):
            await queue.add("welcome", {})

    job = captured.one("email", "welcome")
    assert (first.existed, again.existed) == (False, True)
    assert (job.data, job.delay_ms, job.options.priority) == (
        {"to": "x", "name": "friend"}, 300_000, 2,
    )  # fmt: skip
    assert [each.name for each in captured] == ["welcome", "measure", "sync-b", "measure"]
    assert len(captured.of("email")) == len(captured) == 4
    captured.none("report")
    with pytest.raises(AssertionError, match="2 jobs of email/measure were added, of all: email/w"):
        captured.one("email", "measure")
    with pytest.raises(AssertionError, match="nothing was to be added"):
        captured.none("email")


async def test_captures_can_stand_in_one_another(offline: Shop) -> None:
    with capture_adds(offline.app) as outer:
        with capture_adds(offline.app) as inner:
            await offline.measure.add({})
        await offline.measure.add({})

    assert (len(outer), len(inner)) == (1, 1)


# ---- time that is moved


async def test_a_moved_clock_makes_delayed_jobs_and_retries_due(
    app: App, shop: Shop, queue: Queue
) -> None:
    app.clock = clock = MovableClock(app)
    await shop.welcome.add(Welcome(to="x"), delay="3h")
    await shop.broken.add("no luck")

    await run_until_idle(app)
    soon_ = await queue.counts()
    await clock.advance(seconds=10)
    await run_until_idle(app)
    later = await queue.counts()
    await clock.advance(hours=3)
    await run_until_idle(app)

    assert soon_ == Counts(delayed=2)
    assert later == Counts(delayed=1, failed=1)
    assert await queue.counts() == Counts(completed=1, failed=1)


async def test_a_moved_clock_wakes_workers_that_sleep(app: App, shop: Shop, queue: Queue) -> None:
    app.clock = clock = MovableClock(app)
    await shop.welcome.add(Welcome(to="x"), delay="1h", id="a")
    async with working(app, ["email"], None, 1) as (hosted,):
        await soon(lambda: hosted.worker.turned_at > 0, "it has looked, and sleeps")

        await clock.advance(minutes=61)

        await soon(lambda: _completed(queue), "it was woken", limit_s=5)


async def _completed(queue: Queue) -> bool:
    return (await queue.counts()).completed == 1


async def test_a_job_that_expired_before_it_ran_fails(app: App, shop: Shop, queue: Queue) -> None:
    app.clock = clock = MovableClock(app)
    await shop.welcome.add(Welcome(to="x"), expires="1h", id="late")
    await shop.welcome.add(Welcome(to="x"), expires="3h", id="early")

    await clock.advance(hours=2)
    await run_until_idle(app)

    late, early = await queue.get("late"), await queue.get("early")
    assert late is not None
    assert early is not None
    assert (late.state, late.run.reason) == (JobState.FAILED, "expired")
    assert early.state is JobState.COMPLETED


def test_a_clock_does_not_go_back() -> None:
    clock = MovableClock()
    before = clock.now()

    clock.advance(days=1)

    assert clock.now() - before >= timedelta(days=1)
    with pytest.raises(OutOfRange):
        clock.advance(hours=-1)


# ---- until idle


async def test_jobs_that_jobs_add_are_run_as_well(app: App, queue: Queue) -> None:
    @app.job("email", name="chain")
    async def chain(data: int) -> None:
        if data:
            await chain.add(data - 1)

    await chain.add(20)
    await run_until_idle(app)

    assert await queue.counts() == Counts(completed=21)


async def test_jobs_that_a_limit_holds_back_are_waited_for(
    app: App, shop: Shop, queue: Queue
) -> None:
    await queue.limit(rate=(1, "200ms"))
    for _ in range(3):
        await shop.measure.add({})

    await run_until_idle(app)

    assert await queue.counts() == Counts(completed=3)


async def test_only_the_queues_that_are_named_are_worked_on(app: App, shop: Shop) -> None:
    @app.job("report")
    async def build(data: None) -> None: ...

    await build.add(None)
    await shop.measure.add({})
    await run_until_idle(app, "report")

    assert await app.queue("report").counts() == Counts(completed=1)
    assert await app.queue("email").counts() == Counts(waiting=1)


async def test_a_run_that_does_not_end_says_what_was_left(shop: Shop, queue: Queue) -> None:
    await shop.slow.add(None)

    with pytest.raises(NotIdle, match=r"not idle within 0\.1 s: email: Counts\(.*active=1"):
        asyncio.get_running_loop().call_later(0.2, shop.may_end.set)
        await run_until_idle(shop.app, limit_s=0.1)


async def test_an_error_of_the_lifespan_comes_out(app: App, tmp_path: Path) -> None:
    @asynccontextmanager
    async def broken(_: App) -> AsyncIterator[None]:
        (tmp_path / "nothing").read_text()
        yield

    app.lifespan = broken
    app.declare_queue("email")

    with pytest.raises(FileNotFoundError):
        await run_until_idle(app)


# ---- the pytest plugin

TESTS = """
import pytest
from streamq import App, JobState

app = App("shop")

@app.job("email")
async def greet(data: str) -> str:
    return f"hello {data}"

@pytest.fixture
def streamq_app(streamq_bind):
    return streamq_bind(app)

async def test_it_runs(streamq_worker):
    added = await greet.add("ana")
    await streamq_worker.run_until_idle()
    assert await added.result(timeout=5) == "hello ana"

async def test_it_runs_later(streamq_clock, streamq_worker):
    added = await greet.add("bo", delay="3h")
    await streamq_worker.run_until_idle("email")
    assert (await app.queue("email").get(added.id)).state is JobState.DELAYED
    await streamq_clock.advance(hours=3)
    await streamq_worker.run_until_idle()
    assert (await app.queue("email").counts()).completed == 1

async def test_each_test_has_its_own_keys(streamq_app):
    assert streamq_app is app
    assert (await app.queue("email").counts()).completed == 0

def test_the_app_is_as_it_was():
    assert app.settings.origins.of("redis") != "--redis"
"""


INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.mark.slow
def test_the_plugin_gives_a_server_an_app_a_clock_and_workers(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(TESTS)
    pytester.makeini(INI)

    result = pytester.runpytest_subprocess("-p", "streamq.testing.plugin", "-p", "no:anyio")

    result.assert_outcomes(passed=4)
