"""Schedules to test with: one by hand, and any at all."""

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from streamq.dst import Fold, Gap
from streamq.durations import Duration
from streamq.schedule import Schedule, recurring
from streamq.zones import zone_names
from tests.full.oracles import EXPRESSIONS

DAY_MS: Final = 86_400_000


def at_ms(text: str) -> int:
    """Of a moment in UTC, unless it has an offset."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def schedule(
    cron: str | None = None,
    *,
    every: Duration | None = None,
    timezone: str | None = "America/Sao_Paulo",
    name: str = "nightly",
    spread: Duration | None = None,
    gap: Gap = Gap.FIRST_INSTANT_AFTER,
    fold: Fold = Fold.FIRST,
) -> Schedule:
    return recurring(
        name,
        queue="backup",
        job="back-up",
        cron=cron,
        every=every,
        timezone=timezone,
        spread=spread,
        gap=gap,
        fold=fold,
    )


NOW_MS = at_ms("2026-11-24T12:00")

SCHEDULES = st.builds(
    lambda cron, zone, gap, fold: schedule(cron, timezone=zone, gap=gap, fold=fold),
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(zone_names()),
    st.sampled_from(Gap),
    st.sampled_from(Fold),
) | st.builds(
    lambda every_ms: schedule(every=timedelta(milliseconds=every_ms)), st.integers(1_000, DAY_MS)
)
MOMENTS = st.integers(at_ms("2000-01-01"), at_ms("2040-01-01"))
