"""A report over 100,000 payments takes no more memory than one over a few, whatever its format."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from benchmarks.processors import MONTHS, fill, run, stand_ins
from processors.reports.kinds import ReportFormat

PAYMENTS = 100_000
MORE_MIB_MAX = 48
"""Parts of eight MiB go up from memory; a list of all payments would take 100 MiB and more."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def variables() -> Iterator[Mapping[str, str]]:
    with stand_ins() as standing:
        fill(standing["DATABASE_URL"], PAYMENTS)
        yield standing


@pytest.mark.parametrize("form", [ReportFormat.CSV, ReportFormat.EXCEL])
def test_memory_does_not_grow_with_the_list(
    variables: Mapping[str, str], form: ReportFormat
) -> None:
    day = asyncio.run(run(variables, "report", form, "1"))
    whole = asyncio.run(run(variables, "report", form, str(MONTHS * 31)))

    assert whole.made > 50 * day.made
    assert whole.peak_mib - day.peak_mib < MORE_MIB_MAX
