"""`streamq queues`: every queue on a line."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from streamq.cli.console import Cell, Column, Console
from streamq.cli.session import Session, opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.views import QueueView, encoded, queue_view, worker_views
from streamq.durations import show_ms
from streamq.store import reads
from streamq.store.scripts import Link

COLUMNS: Final = (
    Column("QUEUE", least=12),
    Column("WAITING", right=True),
    Column("DELAYED", right=True, close=True),
    Column("ACTIVE", right=True, close=True),
    Column("FAILED", right=True, close=True),
    Column("PARKED", right=True, close=True),
    Column("DONE", right=True, close=True),
    Column("WORKERS", right=True, close=True),
    Column("NOTE", least=6),
)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", nargs="*", metavar="QUEUE", help="only these")


async def run(args: Namespace, console: Console) -> int:
    async with opened(args) as session:
        views = await queue_views(session, await session.chosen(args.queue))
    if console.as_json:
        for view in views:
            console.encoded(encoded(view))
        return Exit.OK
    if not views:
        console.note(f"No queues yet in Redis at {session.where}: nothing was added so far.")
        return Exit.OK
    console.table(COLUMNS, rows_of(views))
    return Exit.OK


async def queue_views(session: Session, links: Sequence[Link]) -> list[QueueView]:
    """What stands in each of these queues."""
    return [await _look_at(at) for at in links]


async def _look_at(at: Link) -> QueueView:
    workers = worker_views(await reads.workers(at))
    return queue_view(at.queue, await reads.counts(at), await reads.settings_of(at), workers)


def rows_of(views: Sequence[QueueView]) -> list[list[str | Cell]]:
    """A row for each queue; what needs a look is in colour."""
    return [
        [
            Cell(view.queue, "bold"),
            _count(view.waiting, "yellow" if not view.workers else ""),
            _count(view.delayed),
            _count(view.active, "blue"),
            _count(view.failed, "red"),
            _count(view.parked, "magenta"),
            _count(view.completed),
            _at_work(view),
            _note(view),
        ]
        for view in views
    ]


def _count(number: int, style: str = "") -> Cell:
    return Cell(str(number), style) if number else Cell("0", "dim")


def _at_work(view: QueueView) -> Cell:
    if view.workers:
        return Cell(f"{view.workers} x{view.slots // view.workers}")
    return Cell("none", "bad" if view.waiting else "dim")


def _note(view: QueueView) -> Cell:
    notes = ["paused"] if view.paused else []
    if view.max_active is not None:
        notes.append(f"max {view.max_active}")
    if view.rate is not None:
        count, _, per_ms = view.rate.partition("/")
        notes.append(f"{count} per {show_ms(int(per_ms))}")
    return Cell(", ".join(notes), "yellow" if view.paused else "")


QUEUES = Command(
    usage="[QUEUE...]",
    about="""\
Every queue that was ever used, with how many jobs stand where.

WORKERS is "2 x10": two workers with ten slots each. NOTE says whether the queue
is paused, and the limits that hold for the whole fleet.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq queues", "all of them"),
        Example("streamq queues email report --json", "two of them, one JSON object a line"),
    ],
)
