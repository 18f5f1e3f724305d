"""What a batch adds to the counters, and how they are read back."""

from collections.abc import Iterator, Mapping

import pytest

from streamq import stats
from streamq.job import Claim, End, JobId, Line, Outcome, WorkerId
from streamq.stats import COUNTERS, HISTOGRAMS, TOTAL_BOUNDS_MS, WAIT_BOUNDS_MS, read, tally


@pytest.fixture(autouse=True)
def no_error_seen_before() -> Iterator[None]:
    """The classes of errors that are counted by name are the process's."""
    stats._error_classes.clear()
    stats._error_fields.clear()
    yield
    stats._error_classes.clear()
    stats._error_fields.clear()


def _outcome(end: End, word: str, *, error: str = "", ms: int = 0) -> Outcome:
    claim = Claim(
        JobId("a"), b"", None, b"1-0", Line("3"), "n", b"ticket", b"|3|1|w", WorkerId("w"), 1
    )
    return Outcome(
        claim, end, name="welcome", count=word, error=error, wait_ms=ms, run_ms=ms, total_ms=ms
    )


def _sums(*outcomes: Outcome) -> Mapping[str, int]:
    return tally(outcomes)


def test_a_completed_job_counts_once_in_each_place() -> None:
    sums = _sums(_outcome(End.COMPLETED, "completed", ms=7))

    assert sums == {
        "completed": 1,
        "finished:welcome:completed": 1,
        "attempts:welcome:completed": 1,
        "wait:1": 1,
        "wait_ms": 7,
        "run:welcome:1": 1,
        "run_ms:welcome": 7,
        "total:0": 1,
        "total_ms": 7,
    }


@pytest.mark.parametrize(
    ("end", "word", "there", "not_there"),
    [
        (End.RETRY, "retried", {"retried", "attempts:welcome:retried"}, {"failed", "total:0"}),
        (End.RETRY, "timeout", {"retried", "attempts:welcome:timeout"}, {"failed"}),
        (End.RETRY, "snoozed", {"attempts:welcome:snoozed", "run:welcome:0"}, {"retried"}),
        (End.RETRY, "unknown", {"attempts:welcome:unknown"}, {"retried", "wait:0"}),
        (End.FAILED, "timeout", {"failed", "finished:welcome:failed", "total:0"}, {"retried"}),
        (End.FAILED, "cancelled", {"failed", "finished:welcome:cancelled"}, set()),
        (End.FAILED, "expired", {"failed", "finished:welcome:expired"}, {"run:welcome:0"}),
        (End.RELEASED, "released", {"released", "attempts:welcome:released"}, {"wait:0"}),
        (End.PARKED, "parked", {"parked"}, {"failed", "total:0", "wait:0"}),
    ],
)
def test_each_end_is_counted_under_its_own_word(
    end: End, word: str, there: set[str], not_there: set[str]
) -> None:
    sums = _sums(_outcome(end, word))

    assert there <= sums.keys()
    assert not not_there & sums.keys()


def test_a_bucket_holds_what_is_at_most_its_bound() -> None:
    at_bounds = _sums(*(_outcome(End.COMPLETED, "completed", ms=ms) for ms in WAIT_BOUNDS_MS))
    above = _sums(_outcome(End.COMPLETED, "completed", ms=TOTAL_BOUNDS_MS[-1] + 1))

    assert all(at_bounds[f"wait:{i}"] == 1 for i in range(len(WAIT_BOUNDS_MS)))
    assert f"wait:{len(WAIT_BOUNDS_MS)}" not in at_bounds
    assert above[f"wait:{len(WAIT_BOUNDS_MS)}"] == above[f"total:{len(TOTAL_BOUNDS_MS)}"] == 1


def test_only_the_first_classes_of_errors_are_counted_by_name() -> None:
    many = [_outcome(End.RETRY, "retried", error=f"Error{n}") for n in range(80)]

    sums = _sums(*many, *many)

    assert sums["errors:welcome:Error0"] == 2
    assert sums["errors:welcome:other"] == 60
    assert sum(f.startswith("errors:") for f in sums) == stats.ERROR_CLASSES_MAX + 1


def test_what_was_counted_is_read_back_with_its_labels() -> None:
    counted = dict(
        _sums(
            _outcome(End.COMPLETED, "completed", ms=7),
            _outcome(End.RETRY, "retried", error="a:b"),
        )
    )

    found = read(counted | {"added": 2, "added:welcome": 2, "of a later version": 1, "wait:99": 1})

    assert found.value("added") == found.value("added", "welcome") == 2
    assert found.value("completed") == found.value("finished", "welcome", "completed") == 1
    assert found.value("errors", "welcome", "a:b") == 1
    assert found.value("failed") == 0
    run = next(d for d in found.distributions if d.histogram.field == "run")
    assert run.labels == ("welcome",)
    assert run.counts[:3] == (1, 1, 0)
    assert (run.count, run.sum_ms) == (2, 7)


def test_every_metric_has_a_name_of_its_own() -> None:
    names = [row.metric for row in (*COUNTERS, *HISTOGRAMS)]

    assert len(set(names)) == len(names)
    assert all(name.startswith("streamq_") for name in names)
