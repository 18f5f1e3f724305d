"""Schedules: when something recurs, as slots; and which slots to fire after time was missed.

A slot is one UTC instant of a schedule and fires once; its job's id is made of the two. Everything
here is computed from what is handed in: no clock, no Redis, so that all processes agree.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final, NewType, TypedDict, assert_never
from zoneinfo import ZoneInfo

import msgspec

from streamq.cron import WAIT_YEARS_MAX, parse
from streamq.dst import Effect, Fold, Gap, Landing, Rule, landings
from streamq.durations import Duration, Ms, show_ms, to_ms
from streamq.errors import NAME_SETS, InvalidName, InvalidSchedule, Named, OutOfRange
from streamq.job import JobId
from streamq.payload import codec_of
from streamq.zones import DAY_S, zone_of

Slot = NewType("Slot", int)
"""A UTC instant in ms since 1970: when a schedule is to fire, after the rule for clock changes."""

EVERY_MS_MIN: Final = Ms(1_000)  # what a worker that looks for due slots can keep up with
SPREAD_MS_MAX: Final = Ms(DAY_S * 1_000)
DATA_BYTES_MAX: Final = 64 << 10
SLOTS_MAX: Final = 10_000
"""Slots that one call gives, or counts: some 10 ms."""

LATE_MS: Final = Ms(60_000)
"""A slot seen later than this was missed.

Above the time in which another worker takes over from one that died: what comes due meanwhile is on
time, and fires whatever the misfire policy is.
"""

FIRE_ALL_MAX: Final = 1_000
EXPLAINED_MAX: Final = 500
_EXPLAINED_ROWS_MAX: Final = 2_000  # rows that fire nothing are told too: a skipped day has 1,440
_WAIT_S_MAX: Final = (WAIT_YEARS_MAX + 1) * 366 * DAY_S
_NO_DATA: Final = msgspec.msgpack.encode({})
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class SkipMissed(msgspec.Struct, frozen=True, tag_field="kind", tag="skip"):
    """After a standstill: what was missed stays missed."""


class FireOnce(msgspec.Struct, frozen=True, tag_field="kind", tag="once"):
    """After a standstill: the newest slot alone, for all that were missed."""


class FireAll(msgspec.Struct, frozen=True, tag_field="kind", tag="all"):
    """After a standstill: each missed slot, at most the newest `max`, within `within_ms`."""

    max: int
    within_ms: int

    def __post_init__(self) -> None:
        if not 1 <= self.max <= FIRE_ALL_MAX:
            raise OutOfRange("misfire max", self.max, 1, FIRE_ALL_MAX)


Misfire = SkipMissed | FireOnce | FireAll

SKIP_MISSED: Final = SkipMissed()
FIRE_ONCE: Final = FireOnce()


def fire_all(*, max: int, within: Duration) -> FireAll:
    """Misfire policy: up to `max` missed slots (1 to 1,000), none older than `within`."""
    return FireAll(max, to_ms(within, "misfire within"))


class Overlap(StrEnum):
    """What a slot does while the job of an earlier one is not finished."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE_ONE = "queue_one"


class Due(msgspec.Struct, frozen=True):
    """What is to be done now: `slots` fire, oldest first; `missed` more were due and do not.

    `missed` counts up to 10,000. `last_ms` is the newest slot that was looked at, fired or not: the
    `last_fired_ms` of the next look.
    """

    slots: tuple[Slot, ...]
    missed: int
    last_ms: int


class Explained(msgspec.Struct, frozen=True):
    """One line of `explain`. `wall` is naive: the time that the expression names, existing or not.

    `at` is the instant, in the schedule's zone; for a time that does not exist, the end of the gap.
    `slot` is None for one that does not fire.
    """

    wall: datetime
    at: datetime
    effect: Effect
    slot: Slot | None

    @property
    def utc(self) -> datetime:
        return self.at.astimezone(UTC)

    @property
    def note(self) -> str:
        """What the change of clocks does to it, for people; empty if nothing."""
        match self.effect:
            case Effect.NONE:
                return ""
            case Effect.MOVED:
                return f"does not exist: moved to {self._there}"
            case Effect.SKIPPED:
                return "does not exist: skipped"
            case Effect.JOINED:
                return f"fires once, with the one moved to {self._there}"
            case Effect.FIRST | Effect.SECOND:
                return f"{self.effect} of two" + ("" if self.slot is not None else ": skipped")
            case _:
                assert_never(self.effect)

    @property
    def _there(self) -> str:
        # A whole day may be jumped over.
        return (
            f"{self.at:%H:%M}"
            if self.at.date() == self.wall.date()
            else f"{self.at:%Y-%m-%d %H:%M}"
        )


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """When jobs of a name are added to a queue, over and over: a cron expression or an interval.

    Exactly one of `cron` (five fields, see `cron.parse`) and `every_ms` is set. Slots of an
    interval are its multiples since 1970 in UTC, wherever the clock hangs: every day is at 00:00Z.
    `timezone` None: the application's, see `in_zone`; UTC until that is said. `gap` and `fold`
    matter to expressions that name hours, see `dst`. `data` is the payload as msgpack.

    Raises `InvalidSchedule`, `InvalidCron`, `UnknownTimeZone`, `InvalidName`, `OutOfRange`.
    """

    name: str
    queue: str
    job: str
    cron: str | None = None
    every_ms: int | None = None
    timezone: str | None = None
    data: bytes = _NO_DATA
    misfire: Misfire = FIRE_ONCE
    overlap: Overlap = Overlap.ALLOW
    spread_ms: int = 0
    """A slot's job may start up to this much later: see `delay_ms`."""
    gap: Gap = Gap.FIRST_INSTANT_AFTER
    fold: Fold = Fold.FIRST

    def __post_init__(self) -> None:
        _check(self)

    def in_zone(self, default: str) -> "Schedule":
        """The schedule as it is if it names a zone, else in that one."""
        if self.timezone is not None:
            return self
        return msgspec.structs.replace(self, timezone=default)

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.timezone or "UTC")

    @property
    def timing(self) -> str:
        """In hex: schedules of the same have the same slots."""
        said = (self.cron, self.every_ms, self.zone.key, self.gap.value, self.fold.value)
        return hashlib.blake2b(msgspec.json.encode(said), digest_size=8).hexdigest()

    def slot_id(self, slot: Slot) -> JobId:
        """The id of a slot's job: another process that fires the slot too adds nothing."""
        return JobId(f"sched:{self.name}:{slot}")

    def delay_ms(self, slot: Slot) -> Ms:
        """How long after its slot the job may start: by chance within `spread_ms`.

        The same for all processes and all times: a slot's job is one.
        """
        if not self.spread_ms:
            return Ms(0)
        drawn = hashlib.blake2b(self.slot_id(slot).encode(), digest_size=8).digest()
        return Ms(int.from_bytes(drawn, "big") % self.spread_ms)

    def slots(self, after_ms: int, until_ms: int, limit: int = SLOTS_MAX) -> list[Slot]:
        """The first `limit` slots (1 to 10,000) behind `after_ms`, up to and with `until_ms`."""
        if not 1 <= limit <= SLOTS_MAX:
            raise OutOfRange("limit", limit, 1, SLOTS_MAX)
        return list(islice(self._rising(after_ms, until_ms), limit))

    def next_slots(self, after_ms: int, n: int = 1) -> list[Slot]:
        """The first `n` (1 to 10,000) slots behind `after_ms`."""
        return self.slots(after_ms, after_ms + n * self._wait_ms_max(), n)

    def due_slots(self, last_fired_ms: int, now_ms: int, policy: Misfire | None = None) -> Due:
        """What to fire at `now_ms`, when all up to `last_fired_ms` was seen to.

        If no slot is late by more than `LATE_MS`, all of them fire. Else the policy (the schedule's
        own, if none is given) decides: `SkipMissed` leaves those that are not late, `FireOnce` the
        newest, `FireAll` the newest `max` of its window.
        """
        oldest = next(self._rising(last_fired_ms, now_ms), None)
        if oldest is None:
            return Due((), 0, last_fired_ms)
        policy = self.misfire if policy is None else policy
        on_time_ms = max(last_fired_ms, now_ms - LATE_MS - 1)
        if oldest > on_time_ms or isinstance(policy, SkipMissed):
            chosen = self._newest(on_time_ms, now_ms, SLOTS_MAX)
        elif isinstance(policy, FireOnce):
            chosen = self._newest(last_fired_ms, now_ms, 1)
        else:
            window_ms = max(last_fired_ms, now_ms - policy.within_ms - 1)
            chosen = self._newest(window_ms, now_ms, policy.max)
        last = (chosen or self._newest(last_fired_ms, now_ms, 1))[-1]
        missed = self._count(last_fired_ms, now_ms, SLOTS_MAX) - len(chosen)
        return Due(tuple(chosen), max(0, missed), last)

    def explain(self, after_ms: int, n: int = 10) -> list[Explained]:
        """The next `n` (1 to 500) fires, and between them what does not fire, and why."""
        if not 1 <= n <= EXPLAINED_MAX:
            raise OutOfRange("n", n, 1, EXPLAINED_MAX)
        if self.every_ms is not None:
            return [_explained(slot, self.zone) for slot in self.next_slots(after_ms, n)]
        until_s = (after_ms + n * self._wait_ms_max()) // 1_000
        told = landings(self._rule(), after_ms // 1_000, until_s)
        rows: list[Explained] = []
        fires = 0
        for landing in islice(told, _EXPLAINED_ROWS_MAX):
            rows.append(_landed(landing, self.zone))
            fires += landing.fires
            if fires == n:
                break
        return rows

    def _rule(self) -> Rule:
        assert self.cron is not None, f"schedule {self.name} is an interval"
        return Rule(parse(self.cron), self.zone, self.gap, self.fold)

    def _rising(self, after_ms: int, until_ms: int) -> Iterator[Slot]:
        if self.every_ms is not None:
            return map(Slot, _multiples(self.every_ms, after_ms, until_ms))
        found = landings(self._rule(), after_ms // 1_000, until_ms // 1_000)
        return (Slot(landing.at_s * 1_000) for landing in found if landing.fires)

    def _newest(self, after_ms: int, until_ms: int, n: int) -> list[Slot]:
        """The last `n` of a time: by halving it, as after a long standstill it holds very many."""
        if self.every_ms is not None:
            return [Slot(ms) for ms in _multiples(self.every_ms, after_ms, until_ms)[-n:]]
        if self._count(after_ms, until_ms, n) < n:
            return list(self._rising(after_ms, until_ms))
        enough_ms, few_ms = after_ms, until_ms
        while few_ms - enough_ms > 1_000:  # no two slots are nearer to each other
            middle_ms = (enough_ms + few_ms) // 2
            if self._count(middle_ms, until_ms, n) >= n:
                enough_ms = middle_ms
            else:
                few_ms = middle_ms
        return list(self._rising(enough_ms, until_ms))

    def _count(self, after_ms: int, until_ms: int, most: int) -> int:
        if self.every_ms is not None:
            return min(len(_multiples(self.every_ms, after_ms, until_ms)), most)
        return sum(1 for _ in islice(self._rising(after_ms, until_ms), most))

    def _wait_ms_max(self) -> int:
        return _WAIT_S_MAX * 1_000 if self.every_ms is None else self.every_ms


class Recurrence(TypedDict, total=False):
    """What may be said of a schedule, with durations as text; see `Schedule`."""

    cron: str | None
    every: Duration | None
    timezone: str | None
    """None: the application's."""
    data: object
    """Of each job."""
    misfire: Misfire
    overlap: Overlap
    spread: Duration | None
    gap: Gap
    fold: Fold


def recurring(
    name: str,
    *,
    queue: str,
    job: str,
    cron: str | None = None,
    every: Duration | None = None,
    timezone: str | None = None,
    data: object = None,
    misfire: Misfire = FIRE_ONCE,
    overlap: Overlap = Overlap.ALLOW,
    spread: Duration | None = None,
    gap: Gap = Gap.FIRST_INSTANT_AFTER,
    fold: Fold = Fold.FIRST,
) -> Schedule:
    """A schedule, with durations as text and the payload as it is written; see `Schedule`.

    Raises what `Schedule` raises, and what a duration or a payload raises that cannot be.
    """
    packed = _NO_DATA
    if data is not None:
        packed = codec_of(object).encode(data, queue, job, DATA_BYTES_MAX)
    return Schedule(
        name,
        queue,
        job,
        cron=cron,
        every_ms=None if every is None else to_ms(every, "every"),
        timezone=timezone,
        data=packed,
        misfire=misfire,
        overlap=overlap,
        spread_ms=0 if spread is None else to_ms(spread, "spread"),
        gap=gap,
        fold=fold,
    )


def _check(schedule: Schedule) -> None:
    """Whatever a schedule can raise, it raises where it is declared, not when it is to fire."""
    named: tuple[tuple[Named, str], ...] = (
        ("schedule", schedule.name),
        ("queue", schedule.queue),
        ("job", schedule.job),
    )
    for what, name in named:
        if not re.fullmatch(NAME_SETS[what], name):
            raise InvalidName(what, name)
    if (schedule.cron is None) == (schedule.every_ms is None):
        raise InvalidSchedule(schedule.name, "give a cron expression or an interval (every), one.")
    if schedule.cron is not None:
        parse(schedule.cron)
    elif schedule.every_ms is not None and schedule.every_ms < EVERY_MS_MIN:
        why = f"every {show_ms(schedule.every_ms)} is too often: {show_ms(EVERY_MS_MIN)} or longer."
        raise InvalidSchedule(schedule.name, why)
    if schedule.timezone is not None:
        zone_of(schedule.timezone)
    if not 0 <= schedule.spread_ms <= SPREAD_MS_MAX:
        why = f"spread {show_ms(schedule.spread_ms)} is too much, at most {show_ms(SPREAD_MS_MAX)}."
        raise InvalidSchedule(schedule.name, why)


def _multiples(every_ms: int, after_ms: int, until_ms: int) -> range:
    """Of the interval, since 1970: those behind `after_ms`, up to and with `until_ms`."""
    first_ms = max((after_ms // every_ms + 1) * every_ms, 0)
    return range(first_ms, until_ms + 1, every_ms)


def _explained(slot: Slot, zone: ZoneInfo) -> Explained:
    at = (_EPOCH + timedelta(milliseconds=slot)).astimezone(zone)
    return Explained(at.replace(tzinfo=None, fold=0), at, Effect.NONE, slot)


def _landed(landing: Landing, zone: ZoneInfo) -> Explained:
    wall = _EPOCH.replace(tzinfo=None) + timedelta(seconds=landing.wall_s)
    at = (_EPOCH + timedelta(seconds=landing.at_s)).astimezone(zone)
    slot = Slot(landing.at_s * 1_000) if landing.fires else None
    return Explained(wall, at, landing.effect, slot)
