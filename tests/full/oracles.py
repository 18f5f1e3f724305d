"""Two oracles for the days on which clocks change, and what they are asked.

`cronsim_slots` asks cronsim, another implementation of Debian's rule. `scanned_slots` goes by the
words of our rule, over every minute of a few days, and shares no code with streamq: cronsim reads
the fields for it, `zoneinfo` tells the time. It judges where cronsim's rule is not ours.

Both see the days around one change of the clock. What they say depends on nothing but the moment
and the two offsets, as no zone changes its clock twice within a week (`changes_of` holds that); so
the changes of all zones are looked at once for each such triple.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from streamq.cron import parse
from streamq.dst import Fold, Gap, Rule, landings
from streamq.zones import zone_of

YEARS: Final = range(2000, 2041)
AROUND_S: Final = 36 * 3_600  # either side of a change; in the Pacific a whole day was skipped
TICKS_MAX: Final = 50_000  # each of the minutes takes cronsim a few

_MINUTES: Final = ("0", "30", "59", "15,45", "*/20", "*")
_HOURS: Final = ("*", "*/2", "*/6", "0", "1", "2", "3", "23", "0-3", "22-23,0-1")
_DAYS: Final = ("* * *", "* * SUN", "1-15 * 0", "*/2 * 6,0")
_DENSE: Final = (("*", "*"), ("*", "*/2"))  # a slot a minute takes as long as all the others
SEED: Final = (
    "0 9 * * *",
    "0 0 * * *",
    "0 2 * * *",
    "0 8 * * 1",
    "0 3 * * 0",
    "0 * * * *",
    "0 */6 * * *",
    "0 8 1 * *",
)
"""The expressions of the application's nine schedules: two are every six hours."""
_ODD: Final = (
    "* * * * *",
    "* */2 * * SUN",
    "0 0 L * *",
    "30 2 * * 0#1",
    "30 2 * * SUN#2",
    "0 0,12 1 */3 *",
    "0 0-23 * * *",
    "30 0-23/2 * * *",
    "45 1 29 2 *",
    "0 0 31 12 *",
    "0 12 30 12 *",
    "0 0 * OCT-NOV 0",
    "5-55/10 2 * MAR,APR,SEP,OCT *",
    "30 */24 * * *",
    "0 */3 * * 7",
    "0 0 4 11 *",
    "0 */6 4 11 *",
    "*/7 */5 1-7 * SAT",
)
EXPRESSIONS: Final = tuple(
    dict.fromkeys(
        [
            *SEED,
            *(
                f"{m} {h} {d}"
                for m in _MINUTES
                for h in _HOURS
                for d in _DAYS
                if (m, h) not in _DENSE
            ),
            *_ODD,
        ]
    )
)


class Change(NamedTuple):
    """A clock is put from one offset to another, all in seconds."""

    at_s: int
    before_s: int
    after_s: int


def changes_of(zone: ZoneInfo, years: range = YEARS) -> tuple[Change, ...]:
    """Every change of a zone's clock in those years, by looking at each hour."""
    found = []
    at = datetime(years.start, 1, 1, tzinfo=UTC)
    end, hour = datetime(years.stop, 1, 1, tzinfo=UTC), timedelta(hours=1)
    before = _offset(zone, at)
    while at < end:
        after = _offset(zone, at + hour)
        if after != before:
            minute = next(m for m in range(1, 61) if _offset(zone, at + m * hour / 60) == after)
            changed = at + minute * hour / 60
            found.append(Change(int(changed.timestamp()), _seconds(before), _seconds(after)))
        at, before = at + hour, after
    for one, other in pairwise(found):
        assert other.at_s - one.at_s > 2 * AROUND_S, f"{zone}: {one} and {other} are too near"
    return tuple(found)


def our_slots(rule: Rule, change: Change) -> list[int]:
    found = landings(rule, change.at_s - AROUND_S, change.at_s + AROUND_S)
    return [landing.at_s for landing in found if landing.fires]


class Simulated(NamedTuple):
    """What cronsim gives. `imaginary`: it gave a time of the wall that does not exist.

    `endless`: it went to and fro without coming to a time, and was stopped.
    """

    slots: list[int]
    imaginary: bool
    endless: bool


class _Endless(Exception):
    pass


class _Stoppable(CronSim):
    """At 00:01, when St. John's put its clock until 2011, it may go to and fro for ever."""

    ticks_left = TICKS_MAX

    def tick(self, seconds: int = 1) -> None:
        self.ticks_left -= 1
        if not self.ticks_left:
            raise _Endless
        super().tick(seconds)


def cronsim_slots(expression: str, zone: ZoneInfo, change: Change) -> Simulated:
    end_s = change.at_s + AROUND_S
    slots, imaginary = [], False
    try:
        for at in _Stoppable(expression, datetime.fromtimestamp(change.at_s - AROUND_S, zone)):
            if at.timestamp() > end_s:
                break
            slots.append(int(at.timestamp()))
            imaginary |= at != at.astimezone(UTC).astimezone(zone)
    except _Endless:
        return Simulated(slots, imaginary, endless=True)
    return Simulated(slots, imaginary, endless=False)


class Minutes:
    """The minutes around a change: at which instants the clock on the wall shows which time."""

    def __init__(self, zone: ZoneInfo, change: Change) -> None:
        self.start_s, self.end_s = change.at_s - AROUND_S, change.at_s + AROUND_S
        self.shown: dict[datetime, list[int]] = {}
        # A day more on both sides, for wall times whose instant is still inside.
        for at_s in range(self.start_s - 86_400, self.end_s + 86_401, 60):
            wall = datetime.fromtimestamp(at_s, zone).replace(tzinfo=None)
            self.shown.setdefault(wall, []).append(at_s)
        self.first, self.last = min(self.shown), max(self.shown)

    def within(self, instants: Sequence[int]) -> list[int]:
        return sorted({at_s for at_s in instants if self.start_s < at_s <= self.end_s})

    def after_gap(self, wall: datetime) -> int:
        while wall not in self.shown:
            wall += timedelta(minutes=1)
        return self.shown[wall][0]


def scanned_slots(expression: str, minutes: Minutes, gap: Gap, fold: Fold) -> list[int]:
    """By the words of the rule, minute by minute of what the wall shows, or would have shown."""
    any_hour = expression.split()[1].startswith("*")
    found: list[int] = []
    for wall in _named(expression, minutes.first, minutes.last):
        instants = minutes.shown.get(wall, [])
        if any_hour or fold is Fold.BOTH:
            found += instants
        elif instants:
            found.append(instants[-1 if fold is Fold.SECOND else 0])
        if not instants and not any_hour and gap is Gap.FIRST_INSTANT_AFTER:
            found.append(minutes.after_gap(wall))
    return minutes.within(found)


def _named(expression: str, first: datetime, last: datetime) -> Iterator[datetime]:
    read = _read(expression)
    day = first.replace(hour=0, minute=0)
    while day <= last:
        if day.month in read.months and read.match_day(day.date()):
            for hour in read.hours:
                for minute in read.minutes:
                    wall = day.replace(hour=hour, minute=minute)
                    if first <= wall <= last:
                        yield wall
        day += timedelta(days=1)


@lru_cache(1_024)
def _read(expression: str) -> CronSim:
    return CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))


class Verdict(NamedTuple):
    """What one expression came to around one change. `wrong` is empty if nothing is."""

    slots: int
    why_cronsim_differs: str
    wrong: str


CRONSIM_MINUTE: Final = "with a star in the minutes it counts real time, hours named or not"
CRONSIM_IMAGINARY: Final = "it gives a time of the wall that does not exist"
CRONSIM_STRIDE: Final = "it strides over a change that is not by, or not at, a whole hour"
CRONSIM_ENDLESS: Final = "it never comes to an end, at such a change"

_DEFAULT: Final = (Gap.FIRST_INSTANT_AFTER, Fold.FIRST)
_OPTIONS: Final = tuple((gap, fold) for gap in Gap for fold in Fold if (gap, fold) != _DEFAULT)
_NO_MATTER: Final = ((Gap.SKIP, Fold.SECOND),)  # of no effect where the hours begin with a star


def judged(expression: str, zone_name: str, change: Change, minutes: Minutes) -> Verdict:
    """Ours against both oracles, and against the scan alone under each `Gap` and `Fold`."""
    zone, cron = zone_of(zone_name), parse(expression)
    ours = our_slots(Rule(cron, zone, *_DEFAULT), change)
    simulated = cronsim_slots(expression, zone, change)
    where = f"{expression} in {zone_name} at {datetime.fromtimestamp(change.at_s, UTC)}"
    why = "" if ours == simulated.slots else _why_cronsim_differs(expression, change, simulated)
    if ours != simulated.slots and not why:
        return Verdict(len(ours), "", f"{where}: {ours}, cronsim {simulated.slots}")
    for gap, fold in (_DEFAULT, *(_NO_MATTER if cron.any_hour else _OPTIONS)):
        got = our_slots(Rule(cron, zone, gap, fold), change)
        scanned = scanned_slots(expression, minutes, gap, fold)
        if got != scanned:
            return Verdict(len(ours), why, f"{where}, {gap} {fold}: {got}, scan {scanned}")
    return Verdict(len(ours), why, "")


def _why_cronsim_differs(expression: str, change: Change, simulated: Simulated) -> str:
    any_hour = expression.split()[1].startswith("*")
    if expression.startswith("*") and not any_hour:
        return CRONSIM_MINUTE
    if simulated.imaginary:
        return CRONSIM_IMAGINARY
    moved_s, wall_s = change.after_s - change.before_s, change.at_s + change.before_s
    if any_hour and (moved_s % 3_600 or wall_s % 3_600):
        return CRONSIM_ENDLESS if simulated.endless else CRONSIM_STRIDE
    return ""


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _seconds(offset: timedelta) -> int:
    return int(offset.total_seconds())
