"""What exporters read of a real server: the same all of them, once a second, and never for long."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from streamq import Context, Fail, JobState, NewJob
from streamq.embedded import EmbeddedServer
from streamq.errors import InvalidMetric
from streamq.metrics import Exporter, Process, counter, gauge, known_metrics, metrics_text
from streamq.metrics.bounds import SERIES_MAX
from streamq.metrics.seen import QUEUES_MAX
from streamq.scale import Scale, scale_of
from streamq.store import calls, measures
from streamq.store.address import Address
from streamq.store.client import Redis
from tests.support.waiting import soon
from tests.support.workers import QUEUE, Floor, Watched

pytestmark = [pytest.mark.one_server, pytest.mark.slow]
AT_ONCE_S: Final = 1.0
"""A scrape answers within a second, whatever Redis does."""


@pytest.fixture(autouse=True)
def _queue_and_no_own_values_left(floor: Floor) -> Iterator[None]:
    floor.app.declare_queue(QUEUE)
    yield
    floor.raw.delete(measures.own_key(floor.prefix))


class Answer:
    """A scrape, as Prometheus understands it."""

    def __init__(self, text: bytes) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(text.decode()))

    def value(self, metric: str, **labels: str) -> float:
        found = [v for n, ls, v in self.samples() if n == metric and ls == labels]
        assert len(found) == 1, f"{metric}{labels}: {found}"
        return found[0]

    def labels(self, metric: str, label: str) -> set[str]:
        return {labels[label] for name, labels, _ in self.samples() if name == metric}

    def samples(self) -> Iterable[tuple[str, dict[str, str], float]]:
        for family in self.families:
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value


def _exporter(floor: Floor, url: str | None = None) -> Exporter:
    return Exporter(Address(url or floor.url, "the test"), floor.prefix)


async def _scrape(exporter: Exporter) -> Answer:
    return Answer((await exporter.text())[1])


async def _look(floor: Floor) -> Answer:
    """With an exporter of its own, so that nothing it says is from a second ago."""
    return await _scrape(_exporter(floor))


# -- what it says


async def test_it_tells_what_the_queue_has_done(floor: Floor) -> None:
    @floor.job()
    async def welcome(data: object, job: Context) -> None: ...

    @floor.job(attempts=1)
    async def bounce(data: object) -> None:
        raise Fail("no such mailbox")

    hired = await floor.hire()
    for _ in range(3):
        await floor.reaches(await floor.add("welcome"), JobState.COMPLETED)
    await floor.reaches(await floor.add("bounce"), JobState.FAILED)
    await floor.reaches(await floor.add("nobody-knows"), JobState.PARKED)

    told = await _look(floor)

    at = {"queue": QUEUE}
    assert told.value("streamq_jobs", **at, state="completed") == 3
    assert told.value("streamq_jobs", **at, state="parked") == 1
    assert told.value("streamq_jobs_added_total", **at, job="welcome") == 3
    assert told.value("streamq_jobs_added_total", **at, job="unknown") == 1
    finished = "streamq_jobs_finished_total"
    assert told.value(finished, **at, job="welcome", outcome="completed") == 3
    assert told.value(finished, **at, job="bounce", outcome="failed") == 1
    assert told.value("streamq_job_errors_total", **at, job="bounce", error="Fail") == 1
    assert told.value("streamq_job_run_seconds_count", **at, job="welcome") == 3
    assert told.value("streamq_job_wait_seconds_count", **at) == 4
    assert told.value("streamq_queue_workers", **at) == 1
    assert told.value("streamq_queue_slots", **at) == hired.worker.slots
    assert told.value("streamq_redis_up") == 1
    assert told.value("streamq_redis_used_memory_bytes") > 0
    assert {f.name for f in told.families} <= {n.removesuffix("_total") for n in known_metrics()}


async def test_the_ages_are_of_the_first_in_line_the_first_overdue_and_the_longest_run(
    floor: Floor,
) -> None:
    held, release = asyncio.Event(), asyncio.Event()

    @floor.job()
    async def lasting(data: object) -> None:
        held.set()
        await release.wait()

    none_yet = await _ages(floor)
    first = await floor.add("lasting", priority=7)
    hired = await floor.hire(concurrency=1)
    await held.wait()
    hired.worker.quiet()
    await floor.add("lasting", priority=9)
    await floor.add("lasting", priority=1)
    await floor.add("lasting", delay=timedelta(hours=1))

    async def all_have_aged() -> bool:
        return all(age > 0.02 for age in (await _ages(floor))[:2])

    await soon(all_have_aged, "the first in line and the one that runs are older")
    waiting, active, due = await _ages(floor)
    release.set()
    await floor.reaches(first, JobState.COMPLETED)

    assert max(none_yet) == 0
    assert active > waiting
    assert due == 0
    await soon(lambda: _is_idle(floor), "nothing runs any more")
    hired.worker.quiet(False)
    await floor.all_reach(JobState.COMPLETED, 3)


async def _is_idle(floor: Floor) -> bool:
    return (await _ages(floor))[1] == 0


async def _ages(floor: Floor) -> tuple[float, float, float]:
    """waiting, active, delayed_due"""
    told = await _look(floor)
    name = "streamq_queue_oldest_age_seconds"
    if QUEUE not in told.labels(name, "queue"):
        return 0, 0, 0
    waiting, active, due = (
        told.value(name, queue=QUEUE, state=state) for state in ("waiting", "active", "delayed_due")
    )
    return waiting, active, due


async def test_a_delayed_job_that_nobody_fetches_is_overdue(floor: Floor) -> None:
    await floor.add("x", delay=timedelta(milliseconds=20))

    async def overdue() -> bool:
        return (await _ages(floor))[2] > 0.02

    await soon(overdue, "it is overdue")
    assert (await _ages(floor))[0] == 0


async def test_pause_and_limits_are_seen(floor: Floor) -> None:
    await floor.add("x")
    before = await _look(floor)
    await floor.queue.limit(max_active=4)
    await floor.queue.pause()

    after = await _look(floor)

    assert before.value("streamq_queue_paused", queue=QUEUE) == 0
    assert "streamq_queue_max_active" not in {name for name, _, _ in before.samples()}
    assert after.value("streamq_queue_paused", queue=QUEUE) == 1
    assert after.value("streamq_queue_max_active", queue=QUEUE) == 4


async def test_every_exporter_says_the_same(floor: Floor) -> None:
    @floor.job()
    async def welcome(data: object) -> None: ...

    hired = await floor.hire()
    jobs = [await floor.add("welcome") for _ in range(20)]
    for job in jobs:
        await floor.settles_and_frees(hired, job, JobState.COMPLETED)

    one, other = await _look(floor), Answer((await metrics_text(floor.app))[1])

    assert _lasting(one) == _lasting(other)


def _lasting(told: Answer) -> list[tuple[str, dict[str, str], float]]:
    """All that does not change by itself from one moment to the next."""
    moving = ("_age_seconds", "streamq_exporter_", "streamq_redis_")
    return [each for each in told.samples() if not any(part in each[0] for part in moving)]


async def test_a_route_may_ask_for_open_metrics(floor: Floor) -> None:
    plain, _ = await metrics_text(floor.app)
    kind, body = await metrics_text(
        floor.app, "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.1"
    )

    assert plain.startswith("text/plain; version=0.0.4")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


async def test_what_only_a_daemon_knows_of_its_processes_comes_from_it(floor: Floor) -> None:
    exporter = Exporter(
        Address(floor.url, "the test"),
        floor.prefix,
        processes=lambda: [Process("host:7", busy=2, stuck=1, rss_bytes=9, loop_lag_s=0.5)],
    )

    told = await _scrape(exporter)

    assert told.value("streamq_worker_busy", worker="host:7") == 2
    assert told.value("streamq_worker_loop_lag_seconds", worker="host:7") == 0.5


# -- bounds


async def test_a_hundred_thousand_invented_names_change_nothing(floor: Floor) -> None:
    @floor.job()
    async def welcome(data: object) -> None: ...

    await floor.add("welcome")
    before = await _look(floor)

    for first in range(0, 100_000, 10_000):
        few = [NewJob(f"job{n}", None) for n in range(first, first + 10_000)]
        await floor.queue.add_many(few, force=True)

    after = await _look(floor)
    new = {(n, str(ls)) for n, ls, _ in after.samples()} - {
        (n, str(ls)) for n, ls, _ in before.samples()
    }
    assert {name for name, _ in new} == {"streamq_jobs_added_total"}
    assert after.labels("streamq_jobs_added_total", "job") == {"welcome", "unknown"}
    assert after.value("streamq_jobs_added_total", queue=QUEUE, job="unknown") == 100_000
    await floor.queue.drain()
    while (await floor.queue.drain()).count:
        pass


async def test_a_queue_with_workers_is_told_of_whatever_queues_are_invented(floor: Floor) -> None:
    await floor.hire()
    for n in range(QUEUES_MAX + 10):
        await floor.app.queue(f"a{n:03}").add("x", None, create=True)

    told = await _look(floor)

    queues = told.labels("streamq_queue_workers", "queue")
    assert QUEUE in queues
    assert len(queues) <= QUEUES_MAX
    shown = told.labels("streamq_jobs", "queue")
    assert told.value("streamq_exporter_left_out", what="queues") == QUEUES_MAX + 11 - len(shown)


async def test_names_that_somebody_writes_into_the_counters_change_little(floor: Floor) -> None:
    await floor.add("x")
    key = floor.keys.names["stats"]
    floor.raw.hset(key, mapping={f"added:job{n}": 1 for n in range(20_000)})
    floor.raw.hset(key, mapping={f"errors:job1:E{n}": 1 for n in range(20_000)})

    told = await _look(floor)

    assert sum(1 for _ in told.samples()) <= SERIES_MAX
    floor.raw.hdel(key, *[f"added:job{n}" for n in range(20_000)])


# -- load and trouble


async def test_redis_is_read_once_a_second_however_many_ask(floor: Floor) -> None:
    await floor.add("x")
    async with floor.proxy() as proxy:
        exporter = _exporter(floor, proxy.url)
        await _scrape(exporter)
        began, count = time.monotonic(), proxy.seen.count("INFO")

        while time.monotonic() - began < 0.5:
            await asyncio.gather(*(exporter.text() for _ in range(50)))

        assert proxy.seen.count("INFO") == count == 1
        assert len(proxy.seen) < 60
        await soon(lambda: _read_again(exporter, proxy), "it is read again, later")
        assert proxy.seen.count("INFO") == 2


async def _read_again(exporter: Exporter, proxy: Watched) -> bool:
    await exporter.text()
    return proxy.seen.count("INFO") > 1


async def _timed(exporter: Exporter) -> tuple[Answer, float]:
    began = time.monotonic()
    told = await _scrape(exporter)
    return told, time.monotonic() - began


async def test_with_redis_hung_an_answer_comes_within_a_second_and_says_so(floor: Floor) -> None:
    await floor.add("x")
    async with floor.proxy() as proxy:
        exporter = _exporter(floor, proxy.url)
        well = await _scrape(exporter)
        await soon(lambda: _is_stale(exporter), "the next scrape reads", limit_s=3)
        proxy.blackhole(b"INFO")

        answers = [await _timed(exporter) for _ in range(3)]
        proxy.heal()
        await soon(lambda: _is_up(exporter), "it is back")

    assert well.value("streamq_redis_up") == 1
    for told, took_s in answers:
        assert took_s < AT_ONCE_S
        assert told.value("streamq_redis_up") == 0
        assert told.value("streamq_exporter_up") == 1
        # What was seen last.
        assert told.value("streamq_jobs", queue=QUEUE, state="waiting") == 1
        assert told.value("streamq_exporter_age_seconds") > 0


async def _is_stale(exporter: Exporter) -> bool:
    assert exporter._began_at is not None
    return time.monotonic() - exporter._began_at > 1.0


async def _is_up(exporter: Exporter) -> bool:
    return (await _scrape(exporter)).value("streamq_redis_up") == 1


async def test_a_redis_that_was_never_there_is_told_too(server: EmbeddedServer) -> None:
    exporter = Exporter(Address("redis://127.0.0.1:1", "the test"), "p", calls=calls.Calls)

    told, took_s = await _timed(exporter)

    assert took_s < AT_ONCE_S
    assert told.value("streamq_redis_up") == 0
    names = {name.removeprefix("streamq_") for name, _, _ in told.samples()}
    assert names == {"redis_up", "redis_reconnects_total", "exporter_up", "exporter_scrape_seconds"}


async def test_a_scrape_that_was_given_up_disturbs_no_other(floor: Floor) -> None:
    await floor.add("x")
    exporter = _exporter(floor)
    impatient = asyncio.create_task(exporter.text())
    await asyncio.sleep(0)
    impatient.cancel()

    told = await _scrape(exporter)

    assert told.value("streamq_redis_up") == 1
    await asyncio.wait([impatient])


async def test_a_reading_leaves_no_connection_behind(floor: Floor) -> None:
    await floor.add("x")
    exporter = _exporter(floor)
    for _ in range(3):
        exporter._began_at = None
        await exporter.text()

    names = [client["name"] for client in floor.raw.client_list()]

    assert not [name for name in names if "streamq-metrics" in name]


# -- the application's own


async def test_what_handlers_count_is_told_by_every_exporter(floor: Floor) -> None:
    sent = counter(floor.app, "shop_mails_total", "Mails.", labels=("template", "provider"))
    size = gauge(floor.app, "shop_backup_bytes", "The last one.")

    @floor.job()
    async def mail(data: str) -> None:
        await sent.inc(template=data, provider="smtp")
        await sent.inc(2, template=data, provider="smtp")
        await size.set(1_024)
        await size.set(512.5)

    await floor.hire()
    await floor.reaches(await floor.add("mail", "welcome"), JobState.COMPLETED)

    told = await _look(floor)

    assert told.value("shop_mails_total", template="welcome", provider="smtp") == 3
    assert told.value("shop_backup_bytes") == 512.5
    helps = {f.name: f.documentation for f in told.families}
    assert helps["shop_mails"] == "Mails."


async def test_a_plain_function_counts_too(floor: Floor) -> None:
    made = counter(floor.app, "shop_made_total", "Made.")

    @floor.job()
    def make(data: object) -> None:
        made.inc_sync()

    await floor.hire()
    await floor.reaches(await floor.add("make"), JobState.COMPLETED)

    assert (await _look(floor)).value("shop_made_total") == 1


async def test_label_values_are_bounded_and_harmless(floor: Floor) -> None:
    seen = counter(floor.app, "shop_seen_total", "Seen.", labels=("name",))
    await seen.inc(name='a"\n\x1b' + "x" * 500)
    for n in range(150):
        await seen.inc(name=f"n{n}")

    told = await _look(floor)

    names = told.labels("shop_seen_total", "name")
    assert len(names) == 101
    assert told.value("shop_seen_total", name="other") == 51
    assert all(name.isprintable() and len(name) <= 64 for name in names)


async def test_a_counter_that_redis_did_not_take_is_not_forgotten(floor: Floor) -> None:
    async with floor.proxy() as proxy:
        app = floor.another_app(proxy.url)
        made = counter(app, "shop_made_total", "Made.")
        await made.inc()
        proxy.down()
        await made.inc()
        await made.inc()
        proxy.heal()
        await made.inc()
        await app.close()

    assert (await _look(floor)).value("shop_made_total") >= 3


@pytest.mark.parametrize("by", [0, -1, float("nan"), float("inf"), True])
async def test_what_is_no_count_is_refused(floor: Floor, by: float) -> None:
    made = counter(floor.app, "shop_made_total", "Made.")

    with pytest.raises(InvalidMetric, match="it cannot grow by"):
        await made.inc(by)


async def test_other_labels_than_it_has_are_refused(floor: Floor) -> None:
    made = counter(floor.app, "shop_made_total", "Made.", labels=("kind",))

    with pytest.raises(InvalidMetric, match="its labels are kind; given were none"):
        await made.inc()
    with pytest.raises(InvalidMetric, match="streamq's own"):
        gauge(floor.app, "streamq_jobs", "Mine.")


# -- how many workers


async def _scale(floor: Floor, *, slots: int = 10) -> Scale:
    redis = Redis(Address(floor.url, "the test"))
    try:
        return await scale_of(floor.link(), slots=slots)
    finally:
        await redis.close()


async def test_a_queue_wants_as_many_workers_as_work_it_off_in_a_minute(floor: Floor) -> None:
    @floor.job()
    async def brief(data: object) -> None: ...

    empty = await _scale(floor)
    await floor.queue.add_many([NewJob("brief", None) for _ in range(95)])
    without_a_pace = await _scale(floor)
    await floor.queue.limit(max_active=20)
    limited = await _scale(floor)
    await floor.queue.pause()
    paused = await _scale(floor)
    await floor.queue.resume()
    await floor.hire(concurrency=5)
    await floor.all_reach(JobState.COMPLETED, 95)
    await floor.queue.add_many([NewJob("brief", None, delay=timedelta(hours=1))] * 1)

    assert (empty.backlog, empty.wanted, empty.wait_seconds) == (0, 0, 0)
    assert (without_a_pace.backlog, without_a_pace.wanted) == (95, 10)
    assert without_a_pace.wait_seconds >= 0
    assert limited.wanted == 2
    assert (paused.backlog, paused.wanted) == (0, 0)
    # Nothing waits but for later.
    assert (await _scale(floor)).wanted == 0


async def test_time_in_redis_is_told_in_ms(floor: Floor) -> None:
    before = floor.redis_ms()

    assert before <= await measures.server_ms(floor.link()) <= floor.redis_ms()
