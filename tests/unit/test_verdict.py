"""What becomes of a dead worker's job that may not run again."""

import pytest

from streamq.job import AttemptError, JobId, Run, WorkerId, pack_run
from streamq.run.verdict import SUSPECT, verdict_of
from streamq.store.replies import Doomed, Verdict

OLD = tuple(AttemptError(n, "ValueError", "x") for n in range(1, 21))


def _verdict(why: str, run: bytes | None) -> Verdict:
    doomed = Doomed(JobId("a"), b"lease", b"3", b"1-0", run, why)
    return verdict_of(doomed, worker=WorkerId("w"), cause="SIGSEGV", now_ms=99)


@pytest.mark.parametrize(
    ("why", "state", "begins"),
    [
        ("poison", "failed", "poison: it ended its process (SIGSEGV) though it ran alone"),
        ("suspect", "parked", SUSPECT),
        ("lost", "failed", "lost: its worker died again and again (SIGSEGV)"),
        ("cancelled", "failed", "cancelled"),
    ],
)
def test_each_reason_has_its_state_and_its_sentence(why: str, state: str, begins: str) -> None:
    verdict = _verdict(why, pack_run(Run(attempts=1)))

    assert verdict.state == state
    assert verdict.run.reason.startswith(begins)
    assert verdict.run.finished_at_ms == 99


def test_a_death_uses_no_attempt_and_stands_behind_the_old_errors() -> None:
    verdict = _verdict("poison", pack_run(Run(attempts=2, errors=OLD[:2])))

    assert verdict.run.attempts == 2
    assert verdict.run.errors[:2] == OLD[:2]
    died = verdict.run.errors[2]
    assert (died.attempt, died.type, died.worker) == (3, "WorkerDied", "w")
    assert died.message == "its process ended by SIGSEGV"


def test_the_last_twenty_errors_are_kept() -> None:
    verdict = _verdict("lost", pack_run(Run(attempts=20, errors=OLD)))

    assert len(verdict.run.errors) == 20
    assert verdict.run.errors[0] == OLD[1]


def test_a_removed_job_keeps_nothing() -> None:
    assert _verdict("removed", None).state == "removed"


def test_a_cancelled_job_has_no_error() -> None:
    assert _verdict("cancelled", pack_run(Run(attempts=1, errors=OLD[:1]))).run.errors == OLD[:1]


@pytest.mark.parametrize("run", [None, b"", b"\xc1"])
def test_a_run_that_nobody_can_read_does_not_keep_the_job(run: bytes | None) -> None:
    verdict = _verdict("poison", run)

    assert verdict.state == "failed"
    assert verdict.run.attempts == 0
