"""`streamq events`: which jobs reached which state, and with -f as it happens."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final

import msgspec

from streamq.cli.console import Cell, Console
from streamq.cli.follow import until_interrupted
from streamq.cli.session import Session, opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.times import clock, now_ms
from streamq.cli.views import STATE_STYLES, as_json, encoded, shown_value
from streamq.durations import to_ms
from streamq.errors import OutOfRange
from streamq.events import Transition, follow, transitions_in
from streamq.job import JobState
from streamq.store import reads
from streamq.store.scripts import Link

SINCE_DEFAULT: Final = "10m"
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 100_000
LOOK_FOR_QUEUES_EVERY_S: Final = 5.0
QUEUES_FOLLOWED_MAX: Final = 64
"""Each takes a connection."""
PAGES_MAX: Final = 1_000
_QUEUE_COLUMNS: Final = 16
_STATE_COLUMNS: Final = 9


class Moved(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job that came to a state, or to `removed`."""

    at_ms: int
    queue: str
    state: str
    id: str
    result: object = None


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", nargs="*", metavar="QUEUE", help="only these")
    parser.add_argument("-f", "--follow", action="store_true", help="as they happen, until Ctrl-C")
    parser.add_argument(
        "--since",
        metavar="AGE",
        help=f"how far back (default {SINCE_DEFAULT}; with -f: from now on)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT_DEFAULT,
        help=f"of those behind us, the last so many (default {LIMIT_DEFAULT})",
    )


async def run(args: Namespace, console: Console) -> int:
    if not 1 <= args.limit <= LIMIT_MAX:
        raise OutOfRange("--limit", args.limit, 1, LIMIT_MAX)
    since_ms = to_ms(args.since or SINCE_DEFAULT, "--since")
    async with opened(args) as session:
        links = await session.chosen(args.queue)
        # Before anything is shown: what happens while we print must come afterwards, once.
        ends = {at.queue: await reads.last_event_id(at) for at in links}
        if args.since or not args.follow:
            past = [moved for at in links async for moved in _past(at, since_ms, ends[at.queue])]
            past.sort(key=lambda moved: moved.at_ms)
            _print(console, past[-args.limit :])
            if not past and not args.follow:
                console.note(f"Nothing happened in the last {args.since or SINCE_DEFAULT}.")
        if args.follow:
            await until_interrupted(_follow(console, session, ends, all_of_them=not args.queue))
    return Exit.OK


async def _past(at: Link, since_ms: int, end: str) -> AsyncIterator[Moved]:
    """What happened since, up to the entry `end`."""
    after = f"{max(0, now_ms() - since_ms)}-0"
    for _ in range(PAGES_MAX):
        found = await reads.events(at, after)
        for event in found:
            if _order(event.id) > _order(end):
                return
            for transition in transitions_in(event):
                yield _moved(at.queue, transition)
        if len(found) < reads.EVENTS_READ_MAX:
            return
        after = found[-1].id


async def _follow(
    console: Console, session: Session, ends: Mapping[str, str], *, all_of_them: bool
) -> None:
    """Follows each queue from its end; of all queues, also those that come up meanwhile."""
    tasks = {
        queue: asyncio.create_task(_follow_one(console, session, queue, end))
        for queue, end in ends.items()
    }
    try:
        while True:
            if tasks:
                done, _ = await asyncio.wait(
                    tasks.values(),
                    timeout=LOOK_FOR_QUEUES_EVERY_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for ended in done:
                    ended.result()  # a follower ends by an error only
            else:
                await asyncio.sleep(LOOK_FOR_QUEUES_EVERY_S)
            for queue in await session.queues() if all_of_them else ():
                if queue not in tasks and len(tasks) < QUEUES_FOLLOWED_MAX:
                    following = _follow_one(console, session, queue, "0-0")
                    tasks[queue] = asyncio.create_task(following)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _follow_one(console: Console, session: Session, queue: str, after: str) -> None:
    async for transition in follow(session.redis, session.link(queue).keys, after=after):
        _print(console, [_moved(queue, transition)])
        console.flush()


def _moved(queue: str, transition: Transition) -> Moved:
    raw = transition.result
    result = None if raw is None else shown_value(raw)
    return Moved(transition.at_ms, queue, transition.state, transition.id, result)


def _print(console: Console, moves: Iterable[Moved]) -> None:
    for moved in moves:
        if console.as_json:
            console.encoded(encoded(moved))
            continue
        known = moved.state in [state.value for state in JobState]
        style = STATE_STYLES[JobState(moved.state)] if known else "dim"
        result = "" if moved.result is None else as_json(moved.result)
        console.line(
            Cell(clock(moved.at_ms), "dim"),
            f"  {moved.queue:<{_QUEUE_COLUMNS}}  ",
            Cell(moved.state.ljust(_STATE_COLUMNS), style),
            f"  {moved.id}",
            Cell(f"  {result}" if result else "", "dim"),
        )


def _order(event_id: str) -> tuple[int, int]:
    ms, _, number = event_id.partition("-")
    return int(ms), int(number or 0)


EVENTS = Command(
    usage="[QUEUE...]",
    about="""\
Which jobs reached which state: those of the last ten minutes, or with -f what
happens from now on. Redis keeps the newest events of each queue only.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq events -f", "all queues, live"),
        Example("streamq events email --since 1h --json", "an hour of one queue, for a program"),
    ],
)
