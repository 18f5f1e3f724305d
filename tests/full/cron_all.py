"""Every zone, every change of its clock from 2000 to 2040, every expression: `make cron-check`.

Ours against cronsim and against a scan of minutes; see `oracles`. `make test` takes a sample of it.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from os import cpu_count
from typing import Final, NamedTuple

from streamq.zones import spans, year_start_s, zone_names, zone_of
from tests.full.oracles import EXPRESSIONS, YEARS, Change, Minutes, changes_of, judged

WRONG_SHOWN_MAX: Final = 20
EXPRESSIONS_MIN: Final = 200
CHUNK: Final = 16
SAID_EVERY: Final = 320  # changes; a minute or two


class Looked(NamedTuple):
    """What one zone's clock does, as the scan of hours finds it; `wrong`: we find otherwise."""

    zone: str
    changes: tuple[Change, ...]
    wrong: str


class Around(NamedTuple):
    """What all expressions came to around one change."""

    slots: int
    differs: Counter[str]
    wrong: list[str]


def looked_at(name: str) -> Looked:
    """The zone's changes by the scan, compared with those that streamq's spans show."""
    zone = zone_of(name)
    changes = changes_of(zone)
    found = {
        Change(span.start_s, span.before_s, span.offset_s)
        for year in YEARS
        for span in spans(zone, year)
        if span.before_s != span.offset_s
    }
    first_s, end_s = year_start_s(YEARS.start), year_start_s(YEARS.stop)
    ours = tuple(sorted(change for change in found if first_s <= change.at_s < end_s))
    wrong = "" if ours == changes else f"{name}: {set(ours) ^ set(changes)}"
    return Looked(name, changes, wrong)


def gone_through(case: tuple[str, Change]) -> Around:
    zone_name, change = case
    minutes = Minutes(zone_of(zone_name), change)
    slots, differs, wrong = 0, Counter[str](), []
    for expression in EXPRESSIONS:
        verdict = judged(expression, zone_name, change, minutes)
        slots += verdict.slots
        differs.update([verdict.why_cronsim_differs] if verdict.why_cronsim_differs else [])
        wrong += [verdict.wrong] if verdict.wrong else []
    return Around(slots, differs, wrong)


def told(started_s: float, looked: Iterable[Looked], rounds: Iterable[Around], cases: int) -> bool:
    looked, rounds = list(looked), list(rounds)
    changes = sum(len(each.changes) for each in looked)
    asked = cases * len(EXPRESSIONS)
    print(f"zones                     {len(looked):>10,}")
    print(f"changes of their clocks   {changes:>10,}  {YEARS.start} to {YEARS.stop - 1}")
    print(f"  of different kinds      {cases:>10,}  moment and offsets")
    print(f"expressions               {len(EXPRESSIONS):>10,}")
    print(f"expression and change     {asked:>10,}  named hours: under each gap and fold")
    print(f"slots compared            {sum(each.slots for each in rounds):>10,}  by the default")
    differs = sum((each.differs for each in rounds), Counter[str]())
    print(f"cronsim differs           {differs.total():>10,}  the scan says that ours is the rule")
    for why, count in differs.most_common():
        print(f"                          {count:>10,}  {why}")
    wrong = [each.wrong for each in looked if each.wrong]
    wrong += [line for each in rounds for line in each.wrong]
    print(f"wrong                     {len(wrong):>10,}")
    for line in wrong[:WRONG_SHOWN_MAX]:
        print(f"  {line}")
    print(f"took {time.monotonic() - started_s:,.0f} s")
    return not wrong


def main() -> int:
    started_s = time.monotonic()
    assert len(EXPRESSIONS) >= EXPRESSIONS_MIN
    with ProcessPoolExecutor(cpu_count()) as pool:
        looked = list(pool.map(looked_at, zone_names(), chunksize=CHUNK))
        where = {change: each.zone for each in looked for change in each.changes}
        cases = [(zone, change) for change, zone in sorted(where.items())]
        rounds = []
        for each in pool.map(gone_through, cases, chunksize=CHUNK):
            rounds.append(each)
            if len(rounds) % SAID_EVERY == 0:
                wrong = sum(len(around.wrong) for around in rounds)
                print(f"{len(rounds):,} of {len(cases):,} changes, {wrong:,} wrong", flush=True)
    return 0 if told(started_s, looked, rounds, len(cases)) else 1


if __name__ == "__main__":
    sys.exit(main())
