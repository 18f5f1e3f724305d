"""`streamq jobs`: the jobs of a queue, a line each, page by page."""

import itertools
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from streamq.cli.console import Cell, Column, Console
from streamq.cli.holders import held
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.text import cut, harmless
from streamq.cli.times import ago
from streamq.cli.views import STATE_STYLES, JobView, as_json, encoded, job_view
from streamq.errors import InvalidInput, OutOfRange
from streamq.job import Job, JobState
from streamq.store.pages import page
from streamq.store.scripts import Link

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100_000
PAGE_JOBS: Final = 200
LOOKED_AT_MAX: Final = 100_000
"""Jobs that one call goes through when a name is asked for."""

# What needs a look comes first.
ORDER: Final = (
    JobState.ACTIVE,
    JobState.FAILED,
    JobState.PARKED,
    JobState.WAITING,
    JobState.DELAYED,
    JobState.COMPLETED,
)
COLUMNS: Final = (
    Column("ID", least=36),
    Column("NAME", least=8),
    Column("STATE"),
    Column("WHEN", right=True),
)
NOTE: Final = Column("NOTE", least=30)
NOTE_BESIDE_FROM: Final = 110
"""On a narrower terminal a note stands on a line of its own, where it can be read."""


class BadCursor(InvalidInput):
    """A cursor that no page of that state gave out."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "-s",
        "--state",
        choices=[state.value for state in JobState],
        metavar="STATE",
        help="waiting, delayed, active, completed, failed or parked (default: all of"
        " them, what needs a look first)",
    )
    parser.add_argument("-n", "--name", help="only jobs of that name; * stands for any text")
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT_DEFAULT,
        help=f"at most so many (default {LIMIT_DEFAULT})",
    )
    parser.add_argument("--cursor", help="go on where a page ended; needs --state")


async def run(args: Namespace, console: Console) -> int:
    if not 1 <= args.limit <= LIMIT_MAX:
        raise OutOfRange("--limit", args.limit, 1, LIMIT_MAX)
    if args.cursor and not args.state:
        raise BadCursor("--cursor goes with the --state of the page that gave it.")
    states = [JobState(args.state)] if args.state else ORDER
    async with opened(args) as session:
        at = await session.known(args.queue)
        listing = Listing(at, states, args.name, args.limit, args.cursor)
        views = await held(at, [job_view(job) async for job in listing])
    _print(console, views, args, listing)
    return Exit.OK


class Listing:
    """Jobs of some states that match a name.

    `cursor` says where it was broken off, if a page ended there; `more`: it was broken off at all.
    """

    def __init__(
        self,
        at: Link,
        states: Sequence[JobState],
        name: str | None,
        limit: int,
        cursor: str | None = None,
    ) -> None:
        self.cursor = cursor
        self.more = False
        self._at, self._states, self._name = at, states, name
        self._left, self._to_look_at = limit, LOOKED_AT_MAX

    async def __aiter__(self) -> AsyncIterator[Job]:
        for state in self._states:
            async for job in self._of(state):
                yield job
            if self.more:
                return

    async def _of(self, state: JobState) -> AsyncIterator[Job]:
        while True:
            if self._left <= 0 or self._to_look_at <= 0:
                self.more = True
                return
            # Without a name, a page is what is still wanted, and its cursor is the listing's.
            size = PAGE_JOBS if self._name else min(self._left, PAGE_JOBS)
            try:
                found = await page(self._at, state, cursor=self.cursor, limit=size)
            except ValueError as error:
                raise BadCursor(f"{error}. Leave --cursor out to begin anew.") from None
            self.cursor = found.cursor
            self._to_look_at -= max(len(found.jobs), 1)
            for job in filter(self._wanted, found.jobs):
                if self._left <= 0:  # in the middle of a page, of which there is no cursor
                    self.cursor, self.more = None, True
                    return
                self._left -= 1
                yield job
            if self.cursor is None:
                return

    def _wanted(self, job: Job) -> bool:
        return self._name is None or fnmatchcase(job.name, self._name)


def _print(console: Console, views: Sequence[JobView], args: Namespace, listing: Listing) -> None:
    cursor = listing.cursor if args.state else None
    if console.as_json:
        for view in views:
            console.encoded(encoded(view))
        if cursor:
            console.record({"cursor": cursor})
        return
    if not views:
        what = f"{args.state} jobs" if args.state else "jobs"
        named = f" named {args.name}" if args.name else ""
        console.note(f"No {what}{named} in {args.queue}.")
        return
    _print_table(console, views)
    if cursor:
        named = f" --name '{args.name}'" if args.name else ""
        limit = f" --limit {args.limit}" if args.limit != LIMIT_DEFAULT else ""
        console.note(
            f"more:  streamq jobs {args.queue} --state {args.state}{named}{limit} --cursor {cursor}"
        )
    elif listing.more:
        how = "--limit shows more" if args.name else "--state pages through all of one state"
        console.note(f"the first {len(views):,}; {how}")


def _print_table(console: Console, views: Sequence[JobView]) -> None:
    notes = [Cell(note_of(view), "dim") for view in views]
    rows = [_row_of(view) for view in views]
    if console.width is None or console.width >= NOTE_BESIDE_FROM:
        beside = [[*row, note] for row, note in zip(rows, notes, strict=True)]
        console.table([*COLUMNS, NOTE], beside)
        return
    titles, *lines = console.table_lines(COLUMNS, rows)
    console.draw([titles])
    for line, note in zip(lines, notes, strict=True):
        console.draw([line])
        if note.text:
            console.line("  ", Cell(cut(harmless(note.text), console.width - 2), note.style))


def _row_of(view: JobView) -> list[str | Cell]:
    state = Cell(view.state, STATE_STYLES[view.state])
    return [view.id, view.name, state, ago(_moment_of(view))]


def _moment_of(view: JobView) -> int:
    """When it came to where it stands, or is to leave it."""
    match view.state:
        case JobState.DELAYED:
            return view.due_at_ms or view.added_at_ms
        case JobState.ACTIVE:
            return view.claimed_at_ms or view.added_at_ms
        case JobState.COMPLETED | JobState.FAILED:
            return view.finished_at_ms or view.added_at_ms
        case JobState.WAITING | JobState.PARKED:
            return view.added_at_ms


def note_of(view: JobView) -> str:
    """The one thing to know of it: its reason, its last error, its result, how far it is."""
    if view.state is JobState.ACTIVE and view.progress is not None:
        return progress_of(view.progress)
    if view.state is JobState.COMPLETED:
        return "" if view.result is None else as_json(view.result)
    if view.errors:
        last = view.errors[-1]
        return f"{last.type}: {last.message}" if last.message else last.type
    return view.reason


def progress_of(progress: object) -> str:
    """Whole percent, or what the handler said instead."""
    return f"{progress} %" if isinstance(progress, int) else as_json(progress)


JOBS = Command(
    usage="QUEUE",
    about="""\
The jobs of a queue, a line each.

WHEN is when a job was added (waiting, parked), started (active), ended, or will
be due (delayed). NOTE is its last error, its reason, its result, or how far it
is. Waiting jobs come in the order in which they will be taken.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq jobs email", "what runs and what failed first"),
        Example("streamq jobs email --state failed --name 'send-*'", "failed ones by name"),
        Example("streamq jobs email --state waiting --limit 5 --json", "for a program"),
    ],
)
assert set(ORDER) == set(JobState), list(itertools.filterfalse(ORDER.__contains__, JobState))
