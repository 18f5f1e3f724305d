"""What an answer to a scrape says, and how many series it may have, whatever was counted."""

import sys
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_plain

from streamq import stats
from streamq.errors import MissingExtra
from streamq.job import Counts
from streamq.metrics import Exporter, Process, families
from streamq.metrics.bounds import OWN_MAX, SERIES_MAX, Shown, shown
from streamq.metrics.naming import why_not
from streamq.metrics.rows import known_metrics
from streamq.metrics.seen import (
    OwnSeen,
    QueueSeen,
    RedisSeen,
    ScheduleSeen,
    Seen,
    WorkerSeen,
)
from streamq.metrics.seen import _schedule as seen_schedule
from streamq.schedule import recurring
from streamq.stats import COUNTERS, HISTOGRAMS, TOTAL_BOUNDS_MS, WAIT_BOUNDS_MS
from streamq.store.address import Address
from streamq.store.calls import Calls, ScriptTimes, total
from streamq.store.measures import Ages, OwnKind, ScheduleRow
from streamq.store.reads import ServerInfo
from streamq.store.replies import ScheduleState

REDIS = RedisSeen(
    ServerInfo(
        "redis", "7.0.15", "standalone", "noeviction", 5, 0, 2, 9, 0, False, False, "m", "", 1
    ),
    0.0004,
)  # fmt: skip
PROCESS = Process("host:7", busy=3, stuck=0, rss_bytes=1 << 20, loop_lag_s=0.0)


def _worker(n: int = 7, *, names: Sequence[str] = (), heard_ms: int = 10) -> WorkerSeen:
    return WorkerSeen(
        f"host:{n}", "email", f"id{n}-{heard_ms}", "host", "v1", "process", "", 10, tuple(names),
        heard_ms,
    )  # fmt: skip


def _queue(
    counted: dict[str, int],
    *,
    name: str = "email",
    workers: Iterable[WorkerSeen] = (),
    schedules: Iterable[ScheduleSeen] = (),
) -> QueueSeen:
    at_work = tuple(workers)
    return QueueSeen(
        name=name,
        counts=Counts(waiting=4, active=1, paused=True),
        max_active=5,
        ages=Ages(waiting=1_500),
        stats=stats.read(counted),
        workers=at_work,
        names=frozenset(name for worker in at_work for name in worker.names),
        schedules=tuple(schedules),
    )


def _seen(*queues: QueueSeen, own: Iterable[OwnSeen] = ()) -> Seen:
    return Seen(REDIS, queues, tuple(own), 0)


CALLS = Calls(2, {"step": ScriptTimes((1, 2, *(0,) * 9, 3), 6_500_000)})


def _reading(
    seen: Seen, processes: Sequence[Process] = (), calls: Calls = CALLS
) -> families.Reading:
    told = shown(seen, processes)
    return families.Reading(seen.redis, told, calls, up=True, scrape_s=0.01, age_s=0.2)


def _answer(seen: Seen, processes: Sequence[Process] = ()) -> dict[str, Metric]:
    """The families of an answer, by name; each of the two formats is read by its own parser."""
    reading = _reading(seen, processes)
    plain = list(read_plain(families.plain(reading)[1].decode()))
    text = families.open_metrics(reading)[1].decode()
    open_ones = list(read_open_metrics(text))  # type: ignore[no-untyped-call]  # it has no types
    assert _samples(plain) == _samples(open_ones)
    return {family.name: family for family in plain}


def _samples(found: Iterable[Metric]) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    return {
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in found
        for sample in family.samples
    }


def _value(found: dict[str, Metric], name: str, **labels: str) -> float:
    values = [
        sample.value
        for family in found.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(values) == 1, f"{name}{labels}: {values}"
    return values[0]


def _series(seen: Seen, processes: Sequence[Process] = ()) -> int:
    return sum(len(family.samples) for family in _reading(seen, processes).collect())


def test_every_row_of_the_tables_is_a_family_with_its_help() -> None:
    found = _answer(_seen(_queue({"added": 1})), [PROCESS])

    assert _names(found) == known_metrics()
    assert all(family.documentation for family in found.values())


def _names(found: dict[str, Metric]) -> set[str]:
    # The text format of a counter has its name with _total, its parser's family has it without.
    return {name + "_total" if f.type == "counter" else name for name, f in found.items()}


def test_a_queue_says_where_its_jobs_stand() -> None:
    found = _answer(_seen(_queue({}, workers=[_worker(), _worker(8, heard_ms=90_000)])))

    assert _value(found, "streamq_jobs", queue="email", state="waiting") == 4
    assert _value(found, "streamq_jobs", queue="email", state="parked") == 0
    oldest = "streamq_queue_oldest_age_seconds"
    assert _value(found, oldest, queue="email", state="waiting") == 1.5
    assert _value(found, oldest, queue="email", state="active") == 0
    assert _value(found, "streamq_queue_paused", queue="email") == 1
    assert _value(found, "streamq_queue_max_active", queue="email") == 5
    # One of the two was not heard of for a minute and a half.
    assert _value(found, "streamq_queue_workers", queue="email") == 1
    assert _value(found, "streamq_queue_slots", queue="email") == 10


def test_counters_have_their_labels_and_those_without_begin_with_zero() -> None:
    counted = {
        "added": 7,
        "added:welcome": 7,
        "finished:welcome:completed": 5,
        "attempts:welcome:timeout": 2,
        "errors:welcome:TimeoutError": 2,
    }

    found = _answer(_seen(_queue(counted)))

    at = {"queue": "email", "job": "welcome"}
    assert _value(found, "streamq_jobs_added_total", **at) == 7
    assert _value(found, "streamq_jobs_finished_total", **at, outcome="completed") == 5
    assert _value(found, "streamq_attempts_total", **at, outcome="timeout") == 2
    assert _value(found, "streamq_job_errors_total", **at, error="TimeoutError") == 2
    assert _value(found, "streamq_stalls_total", queue="email") == 0


def test_buckets_are_cumulative_and_in_seconds() -> None:
    counted = {"run:welcome:0": 2, "run:welcome:1": 1, "run:welcome:16": 1, "run_ms:welcome": 4_017}

    found = _answer(_seen(_queue(counted)))

    name, at = "streamq_job_run_seconds", {"queue": "email", "job": "welcome"}
    assert _value(found, f"{name}_bucket", **at, le="0.005") == 2
    assert _value(found, f"{name}_bucket", **at, le="0.01") == 3
    assert _value(found, f"{name}_bucket", **at, le="3600.0") == 3
    assert _value(found, f"{name}_bucket", **at, le="+Inf") == 4
    assert _value(found, f"{name}_count", **at) == 4
    assert _value(found, f"{name}_sum", **at) == 4.017


def test_the_buckets_are_those_that_dashboards_know() -> None:
    found = _answer(_seen(_queue({"wait:0": 1, "total:0": 1})))

    bounds = {
        name: [s.labels["le"] for s in found[name].samples if "le" in s.labels]
        for name in ("streamq_job_wait_seconds", "streamq_job_total_seconds")
    }
    assert [float(b) for b in bounds["streamq_job_wait_seconds"]] == [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600,
        float("inf"),
    ]  # fmt: skip
    assert len(bounds["streamq_job_wait_seconds"]) == len(WAIT_BOUNDS_MS) + 1
    assert len(bounds["streamq_job_total_seconds"]) == len(TOTAL_BOUNDS_MS) + 1


@pytest.mark.parametrize(
    ("paused", "row", "coming_ms", "lag_ms"),
    [
        (False, True, 3_600_000, 400_000),  # the next hour has come, and 400 s ago
        (True, True, None, 0),
        (False, False, None, 0),
    ],
)
def test_a_schedule_tells_what_fires_next_unless_nothing_does(
    paused: bool, row: bool, coming_ms: int | None, lag_ms: int
) -> None:
    hourly = recurring("hourly", queue="email", job="x", cron="0 * * * *")
    state = ScheduleState(1_000_000, fired=3, missed=1, paused=paused, last_id=None)

    seen = seen_schedule(
        ScheduleRow("hourly", state, msgspec.msgpack.encode(hourly) if row else None),
        "email",
        4_000_000,
    )

    assert seen == ScheduleSeen("hourly", "email", 1_000_000, coming_ms, lag_ms, 3, 1, paused)


def test_a_schedule_that_a_later_version_declared_is_told_without_its_next_slot() -> None:
    state = ScheduleState(1_000, fired=0, missed=0, paused=False, last_id=None)

    seen = seen_schedule(ScheduleRow("x", state, b"\x81\xa1a\x01"), "email", 2_000)

    assert (seen.next_slot_ms, seen.lag_ms) == (None, 0)


def test_schedules_workers_and_processes_have_their_rows() -> None:
    schedule = ScheduleSeen("daily", "email", 1_000, 61_000, 500, 3, 1, False)

    found = _answer(_seen(_queue({}, workers=[_worker()], schedules=[schedule])), [PROCESS])

    at = {"schedule": "daily", "queue": "email"}
    assert _value(found, "streamq_schedule_lag_seconds", **at) == 0.5
    assert _value(found, "streamq_schedule_next_fire_timestamp_seconds", **at) == 61
    assert _value(found, "streamq_schedule_fires_total", **at) == 3
    assert _value(found, "streamq_schedule_misses_total", **at) == 1
    worker = {"worker": "host:7", "queue": "email"}
    assert _value(found, "streamq_worker_slots", **worker) == 10
    assert _value(found, "streamq_worker_heartbeat_age_seconds", **worker) == 0.01
    assert _value(found, "streamq_worker_busy", worker="host:7") == 3
    assert _value(found, "streamq_worker_resident_bytes", worker="host:7") == 1 << 20


def test_a_process_id_that_was_given_out_again_is_one_series() -> None:
    found = _answer(_seen(_queue({}, workers=[_worker(heard_ms=50_000), _worker(heard_ms=5)])))

    age = _value(found, "streamq_worker_heartbeat_age_seconds", worker="host:7", queue="email")
    assert age == 0.005


# -- bounds


def _counted(jobs: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for job in jobs:
        counted |= {
            f"added:{job}": 1,
            f"finished:{job}:completed": 1,
            f"attempts:{job}:completed": 1,
            f"errors:{job}:ValueError": 1,
            f"run:{job}:3": 1,
            f"run_ms:{job}": 40,
        }
    return counted


@pytest.mark.slow
def test_a_hundred_thousand_names_are_no_more_series_than_the_limit() -> None:
    real = _worker(names=["welcome", "zebra"])
    counted = _counted(["welcome", "zebra"]) | {f"added:job{n}": 1 for n in range(100_000)}

    seen = _seen(_queue(counted, workers=[real]))

    assert _series(seen) <= SERIES_MAX
    found = {family.name: family for family in _reading(seen).collect()}
    added = {s.labels["job"]: s.value for s in found["streamq_jobs_added"].samples}
    # Those that a worker runs are there, wherever in the alphabet; the rest is summed, not lost.
    assert added["welcome"] == added["zebra"] == 1
    assert added["unknown"] == 100_002 - len(added) + 1
    assert _value(found, "streamq_exporter_left_out", what="jobs") == 100_002 - len(added) + 1


def test_names_that_no_job_can_have_and_words_that_are_none_are_unknown() -> None:
    counted = {
        'added:a"b\n{}': 2,
        "added:" + "x" * 500: 3,
        "finished:welcome:exploded": 1,
        "attempts:welcome:exploded": 1,
    }

    found = _answer(_seen(_queue(counted)))

    assert _value(found, "streamq_jobs_added_total", queue="email", job="unknown") == 5
    at = {"queue": "email", "job": "welcome", "outcome": "unknown"}
    assert _value(found, "streamq_jobs_finished_total", **at) == 1
    assert _value(found, "streamq_attempts_total", **at) == 1


@pytest.mark.slow
def test_very_many_of_everything_stay_below_the_limit_too() -> None:
    errors = {f"errors:job{j}:E{e}": e for j in range(30) for e in range(200)}
    values = tuple(((f"v{n}",), 1.0) for n in range(5_000))
    queues = [
        _queue(
            _counted(f"job{n}" for n in range(30)) | errors,
            name=f"queue-{q:02}",
            workers=[_worker(n) for n in range(40)],
            schedules=[
                ScheduleSeen(f"s{n}", f"queue-{q:02}", 1, 2, 0, 0, 0, False) for n in range(9)
            ],
        )
        for q in range(60)
    ]
    own = OwnSeen("shop_x_total", OwnKind("counter", "x", ("a",)), values)
    processes = [Process(f"host:{n}", 1, 0, 1, 0.0) for n in range(500)]

    seen = _seen(*queues, own=[own])

    assert SERIES_MAX / 2 < _series(seen, processes) <= SERIES_MAX
    left_out = shown(seen, processes).left_out
    assert left_out["queues"] > 0
    assert left_out["jobs"] > 0


def test_a_queue_that_somebody_works_on_goes_before_invented_ones() -> None:
    invented = [_queue({"added": 1}, name=f"a{n:03}") for n in range(200)]
    real = _queue({"added": 1}, name="zebra", workers=[_worker()])

    told = shown(msgspec.structs.replace(_seen(*invented, real), queues_left_out=5), ())

    assert "zebra" in [queue.name for queue in told.queues]
    assert told.left_out["queues"] == 201 + 5 - len(told.queues)


def test_errors_beyond_the_room_are_other_the_rarest_first() -> None:
    counted = {f"errors:welcome:E{n:05}": n + 1 for n in range(6_000)}

    seen = _seen(_queue(counted, workers=[_worker(names=["welcome"])]))

    found = {family.name: family for family in _reading(seen).collect()}
    told = {s.labels["error"]: s.value for s in found["streamq_job_errors"].samples}
    assert told["E05999"] == 6_000
    assert "E00000" not in told
    assert sum(told.values()) == sum(counted.values())


def test_what_was_left_out_is_the_same_wherever_it_is_left_out() -> None:
    counted = _counted(f"job{n}" for n in range(2_000))
    shuffled = dict(sorted(counted.items(), key=lambda item: hash(item[0])))

    one, other = (shown(_seen(_queue(each)), ()) for each in (counted, shuffled))

    assert one.jobs == other.jobs


# -- the application's own


def test_what_the_application_counts_stands_beside_the_rest() -> None:
    sent = OwnSeen(
        "streamq_email_sent_total",
        OwnKind("counter", "Mails.", ("template", "provider")),
        ((("welcome", "smtp"), 3.0),),
    )

    found = _answer(_seen(own=[sent]))

    assert _value(found, sent.name, template="welcome", provider="smtp") == 3
    assert found["streamq_email_sent"].documentation == "Mails."


def test_the_application_cannot_speak_for_the_engine_nor_without_end() -> None:
    forged = OwnSeen("streamq_jobs", OwnKind("gauge", "x", ()), (((), 1.0),))
    many = OwnSeen(
        "shop_x", OwnKind("gauge", "x", ("a",)), tuple(((f"{n}",), 1.0) for n in range(1_000))
    )

    found = _answer(_seen(own=[forged, many]))

    assert found["streamq_jobs"].samples == []
    assert len(found["shop_x"].samples) == OWN_MAX
    assert _value(found, "streamq_exporter_left_out", what="own") == 1_000 - OWN_MAX


@pytest.mark.parametrize(
    ("name", "kind", "labels", "why"),
    [
        ("shop_x_total", "counter", ("a", "b"), ""),
        ("shop_x", "gauge", (), ""),
        ("shop_x", "counter", (), "ends with _total"),
        ("shop_x_total", "gauge", (), "does not end with"),
        ("shop_x_bucket", "gauge", (), "does not end with"),
        ("Shop", "gauge", (), "small letters"),
        ("shop x", "gauge", (), "small letters"),
        ("shop_x", "histogram", (), "no kind"),
        ("shop_x", "gauge", ("a", "a"), "each once"),
        ("shop_x", "gauge", ("a", "b", "c", "d", "e"), "at most 4"),
        ("shop_x", "gauge", ("__a",), "a label is"),
        ("shop_x", "gauge", ("le",), "a label is"),
    ],
)
def test_a_metric_is_called_as_prometheus_wants_it(
    name: str, kind: str, labels: tuple[str, ...], why: str
) -> None:
    said = why_not(name, OwnKind(kind, "x", labels))

    assert (why in said) if why else said == ""


# -- calls


def test_scripts_have_their_times_and_connections_their_number() -> None:
    found = _answer(_seen())

    assert _value(found, "streamq_redis_reconnects_total") == 2
    step = {"script": "step"}
    bucket = "streamq_script_seconds_bucket"
    assert _value(found, bucket, **step, le="0.0005") == 1
    assert _value(found, bucket, **step, le="0.001") == 3
    assert _value(found, bucket, **step, le="1.0") == 3
    assert _value(found, bucket, **step, le="+Inf") == 6
    assert _value(found, "streamq_script_seconds_sum", **step) == 6.5


def test_the_calls_of_several_processes_are_summed() -> None:
    times = ScriptTimes((1,) * 12, 10)

    found = total([CALLS, Calls(1, {"step": times, "add": times})])

    assert found.reconnects == 3
    assert found.scripts["step"] == ScriptTimes((2, 3, *(1,) * 9, 4), 6_500_010)
    assert found.scripts["add"] == times


# -- the rest


def test_without_redis_an_answer_still_says_so() -> None:
    reading = families.Reading(None, None, Calls(), up=False, scrape_s=0, age_s=None)

    found = {f.name: f for f in read_plain(families.plain(reading)[1].decode())}

    assert _value(found, "streamq_redis_up") == 0
    assert _value(found, "streamq_exporter_up") == 1
    assert _names(found) <= known_metrics()


def test_metrics_of_jobs_and_gauges_share_no_name() -> None:
    names = [row.metric for row in (*COUNTERS, *HISTOGRAMS)]

    assert len(known_metrics()) > len(names)
    assert isinstance(shown(_seen(), ()), Shown)


def test_a_missing_library_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(MissingExtra) as refused:
        Exporter(Address("redis://localhost:1", "the test"), "p")

    assert str(refused.value) == (
        'SQ601 Metrics need prometheus-client:  pip install "streamq[metrics]"'
    )
