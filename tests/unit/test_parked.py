"""Which parked job may wait again, now that these workers are known."""

import pytest

from streamq.job import ALONE, Job, JobId, JobState, Line, Options, Run, WorkerId
from streamq.run.parked import line_for
from streamq.run.verdict import SUSPECT
from streamq.store.reads import WorkerRow, WorkerSeen

PARKED_AT_MS = 1_000


def _job(name: str, reason: str, *, worker: str = "old") -> Job:
    return Job(
        JobId("a"),
        "q",
        name,
        JobState.PARKED,
        b"\xc0",
        Options(priority=5),
        0,
        Run(reason=reason, worker=worker),
    )


def _seen(
    *names: str,
    id: str = "w",
    kind: str = "e",
    live: bool = True,
    build: str = "",
    started_at_ms: int = 0,
) -> WorkerSeen:
    row = WorkerRow("h", 1, "q", 1, names, "p", build=build, started_at_ms=started_at_ms)
    return WorkerSeen(WorkerId(id), kind, live, row, 0)


UNKNOWN = _job("sync-orders", "SQ202 q/sync-orders parked: no handler.")


@pytest.mark.parametrize("names", [["sync-orders"], ["other", "sync-*"], ["*"]])
def test_a_job_whose_name_a_live_worker_lists_waits_in_its_own_line(names: list[str]) -> None:
    assert line_for(UNKNOWN, PARKED_AT_MS, [_seen(*names)]) == Line("5")


@pytest.mark.parametrize(
    "workers", [[], [_seen("other")], [_seen("sync-orders", live=False)]], ids=str
)
def test_one_that_nobody_knows_stays(workers: list[WorkerSeen]) -> None:
    assert line_for(UNKNOWN, PARKED_AT_MS, workers) is None


@pytest.mark.parametrize("reason", ["SQ213 q/a parked: Expected int", "undecodable: bad"])
def test_one_that_could_not_be_read_waits_for_another_build(reason: str) -> None:
    job = _job("a", reason)
    parker = _seen("a", id="old", build="1", live=False)

    def line(build: str, started_at_ms: int) -> Line | None:
        now = _seen("a", build=build, started_at_ms=started_at_ms)
        return line_for(job, PARKED_AT_MS, [parker, now])

    assert line("1", PARKED_AT_MS + 1) is None
    assert line("2", PARKED_AT_MS - 1) is None  # it ran then already, and left it parked
    assert line("2", PARKED_AT_MS + 1) == Line("5")
    assert line("", PARKED_AT_MS + 1) == Line("5")  # nobody says which build: once per start


def test_one_whose_record_nobody_can_read_has_no_name_to_ask_for() -> None:
    job = _job("", "undecodable: bad")

    fresh = _seen("a", build="2", started_at_ms=PARKED_AT_MS + 1)

    assert line_for(job, PARKED_AT_MS, [fresh]) is not None


def test_a_suspect_waits_for_a_daemon_and_then_alone() -> None:
    job = _job("a", SUSPECT + "twice")

    assert line_for(job, PARKED_AT_MS, [_seen("a", kind="e")]) is None
    assert line_for(job, PARKED_AT_MS, [_seen("a", kind="d")]) == ALONE
