"""`streamq schedule`: what recurs; explained, run by hand, paused, and filled in."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from streamq.app import App
from streamq.cli.console import Cell, Column, Console
from streamq.cli.session import opened_with_app, settings_of
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.text import number
from streamq.cli.times import ago, length, now_ms
from streamq.cron import parse
from streamq.durations import Ms, show_ms
from streamq.errors import ConfigError, InvalidInput, StreamqError, WrongState
from streamq.run.loading import load_app
from streamq.schedule import EXPLAINED_MAX, Explained, Schedule
from streamq.timetable import BACKFILL_MAX, ScheduleSeen

FIRES: Final = 5
EXPLAIN: Final = "explain"

LS_COLUMNS: Final = (
    Column("SCHEDULE", least=12),
    Column("WHEN", least=9),
    Column("ADDS", least=12),
    Column("NEXT"),
    Column("LAST"),
    Column("FIRED", right=True),
    Column("MISSED", right=True, close=True),
    Column("NOTE", least=6),
)
FIRES_COLUMNS: Final = (
    Column("LOCAL"),
    Column("UTC"),
    Column("", right=True),
    Column("NOTE"),
)


class NoAppNamed(ConfigError):
    def __init__(self, word: str) -> None:
        super().__init__(
            f"Schedules stand in an app. Which one?  streamq schedule {word} --app module:app"
            '   or  app = "module:app"  in streamq.toml.'
        )


class NotDeclared(StreamqError):
    """There is nothing yet that could be paused."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        super().__init__(
            f'No worker has declared schedule "{schedule.name}" yet. Start one:  streamq run'
        )


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "word",
        nargs="?",
        default="ls",
        choices=[*_WORDS, EXPLAIN],
        metavar="WORD",
        help="ls (default), explain, run, pause, resume, backfill",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the schedule; ls: only this")
    parser.add_argument(
        "-n", type=int, default=FIRES, metavar="N", help=f"explain: fires (default {FIRES})"
    )
    parser.add_argument(
        "--from",
        dest="begin",
        metavar="MOMENT",
        help="backfill: 2026-12-01T09:00-03:00 (or ...Z), included",
    )
    parser.add_argument("--to", dest="end", metavar="MOMENT", help="backfill: included too")
    parser.add_argument(
        "--limit",
        type=int,
        default=BACKFILL_MAX,
        metavar="N",
        help=f"backfill: at most so many, the oldest first (default {BACKFILL_MAX})",
    )
    parser.add_argument("--dry-run", action="store_true", help="backfill: only say which slots")
    parser.add_argument("--app", metavar="APP", help="module:app (default: the setting app)")


async def run(args: Namespace, console: Console) -> int:
    word = args.word
    if args.name is None and word != "ls":
        raise InvalidInput(f"Which schedule?  streamq schedule {word} NAME   (streamq schedule ls)")
    target = args.app or settings_of(args).app
    if target is None:
        raise NoAppNamed(word)
    if word == EXPLAIN:
        # Needs no Redis: an expression is tried out before anything runs.
        app = load_app(target)
        app.configure(settings_of(args))
        _explain(app.schedules.get(args.name), args.n, console)
        return Exit.OK
    async with opened_with_app(args, target) as session:
        session.app.schedules.check()
        await _WORDS[word](session.app, args, console)
    return Exit.OK


# ---- looking


async def _ls(app: App, args: Namespace, console: Console) -> None:
    seen = await app.schedules.all()
    if args.name is not None:
        named = app.schedules.get(args.name)
        seen = [each for each in seen if each.schedule.name == named.name]
    for each in seen:
        console.record(_fields(each))
    if seen:
        console.table(LS_COLUMNS, [_row_of(each) for each in seen])
    else:
        console.note("The app has no schedules.")


def _fields(seen: ScheduleSeen) -> Mapping[str, object]:
    schedule, state = seen.schedule, seen.state
    return {
        "name": schedule.name,
        "queue": schedule.queue,
        "job": schedule.job,
        "cron": schedule.cron,
        "every_ms": schedule.every_ms,
        "timezone": schedule.zone.key,
        "overlap": schedule.overlap.value,
        "declared": state is not None,
        "paused": seen.paused,
        "running": seen.running,
        "next_ms": seen.next_slot_ms,
        "last_ms": seen.fired_ms,
        "fired": state.fired if state else 0,
        "missed": state.missed if state else 0,
        "owed_ms": state.owed_ms if state else None,
    }


def _row_of(seen: ScheduleSeen) -> list[str | Cell]:
    schedule, state, now = seen.schedule, seen.state, now_ms()
    missed = state.missed if state else 0
    return [
        Cell(schedule.name, "bold"),
        _when(schedule),
        f"{schedule.queue}/{schedule.job}",
        ago(seen.next_slot_ms, now) if seen.next_slot_ms is not None else "-",
        ago(seen.fired_ms, now) if seen.fired_ms is not None else "-",
        str(state.fired if state else 0),
        Cell(str(missed), "yellow" if missed else "dim"),
        _note(seen),
    ]


def _when(schedule: Schedule) -> str:
    if schedule.every_ms is not None:
        return f"every {show_ms(Ms(schedule.every_ms))}"
    return str(schedule.cron)


def _note(seen: ScheduleSeen) -> Cell:
    if seen.state is None:
        return Cell("no worker has declared it", "yellow")
    if seen.paused:
        return Cell("paused", "yellow")
    owed = "one waits for it" if seen.state.owed_ms is not None else ""
    return Cell(", ".join(filter(None, ("running" if seen.running else "", owed))), "blue")


def _explain(schedule: Schedule, fires: int, console: Console) -> None:
    now = now_ms()
    told = schedule.explain(now, fires)
    console.line(
        Cell(schedule.name, "bold"), f"  {_when(schedule)}  in {schedule.zone.key}, adds"
        f" {schedule.queue}/{schedule.job}",
    )  # fmt: skip
    console.line(Cell(_policies(schedule), "dim"))
    console.line()
    for each in told:
        console.record(
            {
                "name": schedule.name,
                "local": each.at.isoformat(),
                "utc": each.utc.isoformat(),
                "slot_ms": each.slot,
                "fires": each.slot is not None,
                "wall": each.wall.isoformat(),
                "effect": each.effect.value,
                "note": each.note,
            }
        )
    console.table(FIRES_COLUMNS, [_fire_row(each, now) for each in told])


def _policies(schedule: Schedule) -> str:
    """What is done to slots at a change of clocks, after a standstill, and while the last runs."""
    if schedule.cron is None or parse(schedule.cron).any_hour:
        clocks = "counts real time: a change of clocks adds and drops nothing"
    else:
        clocks = (
            f"an hour that does not exist: {schedule.gap}; one that comes twice: {schedule.fold}"
        )
    spread = f"; spread over {show_ms(Ms(schedule.spread_ms))}" if schedule.spread_ms else ""
    return f"{clocks}; overlap: {schedule.overlap}{spread}"


def _fire_row(each: Explained, now: int) -> list[str | Cell]:
    if each.slot is None:
        return [Cell(f"{each.wall:%a %Y-%m-%d %H:%M}", "dim"), "-", "", Cell(each.note, "yellow")]
    precise = "%a %Y-%m-%d %H:%M" + (":%S" if each.at.second else "")
    return [
        f"{each.at:{precise}} {each.at:%z}",
        f"{each.utc:{precise}}",
        f"in {length((each.slot - now) // 1_000 * 1_000)}",
        Cell(each.note, "yellow"),
    ]


# ---- changing


async def _run_now(app: App, args: Namespace, console: Console) -> None:
    schedule = app.schedules.get(args.name)
    job = await app.schedules.run(schedule.name)
    console.record({"name": schedule.name, "queue": schedule.queue, "id": job})
    console.line(f"{job}  added to {schedule.queue}")


async def _pause(app: App, args: Namespace, console: Console) -> None:
    schedule = app.schedules.get(args.name)
    try:
        changed = await app.schedules.pause(schedule.name)
    except WrongState:
        raise NotDeclared(schedule) from None
    console.record({"name": schedule.name, "paused": True, "changed": changed})
    was = "" if changed else ", and was before"
    console.line(f"{schedule.name}  ", Cell("paused", "yellow"), f"{was}: its slots pass by")


async def _resume(app: App, args: Namespace, console: Console) -> None:
    schedule = app.schedules.get(args.name)
    try:
        changed = await app.schedules.resume(schedule.name)
    except WrongState:
        raise NotDeclared(schedule) from None
    coming = (await app.schedules.see(schedule.name)).next_slot_ms
    console.record({"name": schedule.name, "paused": False, "changed": changed, "next_ms": coming})
    told = "never" if coming is None else ago(coming)
    said = "goes on" if changed else "was not paused"
    console.line(f"{schedule.name}  ", Cell(said, "green"), f"; next fire {told}")


async def _backfill(app: App, args: Namespace, console: Console) -> None:
    if args.begin is None or args.end is None:
        raise InvalidInput("backfill needs --from MOMENT and --to MOMENT.")
    schedule = app.schedules.get(args.name)
    begin, end = _moment("--from", args.begin), _moment("--to", args.end)
    slots = app.schedules.between(schedule.name, begin, end, limit=args.limit)
    added = []
    if not args.dry_run:
        added = await app.schedules.backfill(schedule.name, begin, end, limit=args.limit)
    more = len(slots) == args.limit
    last = _as_moment(slots[-1]) if slots else None
    console.record(
        {
            "name": schedule.name,
            "queue": schedule.queue,
            "slots": len(slots),
            "added": len(added),
            "ids": added,
            "last": last,
            "more": more,
            "dry_run": args.dry_run,
        }
    )
    if args.dry_run:
        for slot in slots:
            console.line(f"would add  {schedule.slot_id(slot)}  of {_as_moment(slot)}")
    console.line(
        Cell(f"{len(added):,}", "bold"),
        f" of {number(len(slots), 'slot')} added to {schedule.queue}",
        "" if args.dry_run or len(added) == len(slots) else "; the others were there",
    )
    if more:
        console.note(f"There may be more behind that limit: go on with  --from {last}")


def _as_moment(slot_ms: int) -> str:
    return f"{datetime.fromtimestamp(slot_ms / 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f'{option}="{text}" is no moment: give it as 2026-12-01T09:00-03:00 or'
            " 2026-12-01T12:00Z."
        ) from None
    if moment.utcoffset() is None:
        raise InvalidInput(
            f'{option}="{text}" has no time zone, so whose clock is it? Add Z, or -03:00.'
        )
    return moment


_WORDS: Final[Mapping[str, Callable[[App, Namespace, Console], Coroutine[None, None, None]]]] = (
    MappingProxyType(
        {
            "ls": _ls,
            "run": _run_now,
            "pause": _pause,
            "resume": _resume,
            "backfill": _backfill,
        }
    )
)

SCHEDULE = Command(
    usage="[WORD [NAME]]",
    about=f"""\
What an app adds over and over: cron expressions and intervals.

explain shows the next fires, local and UTC, and what a change of clocks does to
them (at most {EXPLAINED_MAX}; it needs no Redis). run adds the job now, beside the slots.
While paused, slots pass by. backfill adds the jobs of slots that are past; what
is still there is not added again.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq schedule", "all of them: next, last, how often"),
        Example("streamq schedule explain daily-reports -n 3", "its next fires"),
        Example("streamq schedule run database-backup", "now, whatever its slots say"),
        Example("streamq schedule pause payment-reminders", "until resume"),
        Example(
            "streamq schedule backfill nightly --from 2026-11-01T03Z --to 2026-11-03T03Z",
            "the slots of two days; --dry-run only says which",
        ),
    ],
)
