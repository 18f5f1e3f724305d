"""`streamq workers`: every worker on a line; and a word to one: quiet, resume, stop, dump."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

import msgspec

from streamq.cli.console import Cell, Column, Console
from streamq.cli.session import Session, opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.times import ago, length, now_ms
from streamq.cli.views import WorkerView, encoded, worker_views
from streamq.control import Word
from streamq.errors import InvalidInput, StreamqError
from streamq.errors.wording import did_you_mean
from streamq.store import reads
from streamq.store.reads import WorkerSeen

COLUMNS: Final = (
    Column("ID"),
    Column("QUEUE", least=10),
    Column("HOST", least=8),
    Column("PID", right=True),
    Column("SLOTS", right=True),
    Column("UP", right=True),
    Column("HEARD", right=True),
    Column("DAEMON"),
    Column("NOTE", least=6),
)
_DONE: Final = {
    Word.QUIET: "takes no new jobs",
    Word.RESUME: "takes jobs again",
    Word.STOP: "ends once its jobs have, and nothing takes its place",
    Word.DUMP: "writes the stacks of its threads to its log",
}


class Listed(WorkerView, frozen=True, kw_only=True):
    """A worker, and who keeps it."""

    daemon: str
    """Its id; empty: embedded in an application, which keeps it itself."""


class NoSuchWorker(InvalidInput):
    def __init__(self, worker: str, known: Sequence[str]) -> None:
        self.worker, self.known = worker, tuple(known)
        super().__init__(
            f"No live worker {worker!r}.{did_you_mean(worker, known)} See:  streamq workers"
        )


class NobodyHeard(StreamqError):
    """There is no daemon that could obey."""

    def __init__(self, worker: str, daemon: str) -> None:
        self.worker, self.daemon = worker, daemon
        why = (
            "its daemon is not connected at this moment; say it again"
            if daemon
            else "it is embedded in an application, which alone can stop it"
        )
        super().__init__(f"Nobody heard the order for worker {worker}: {why}.")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "word",
        nargs="?",
        choices=[word.value for word in Word],
        metavar="WORD",
        help="quiet: no new jobs; resume; stop: end in order; dump: log all stacks",
    )
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="of a worker, or of a daemon: all of its workers"
    )
    parser.add_argument("-q", "--queue", metavar="QUEUE", help="only those of this queue")
    parser.add_argument(
        "--all", action="store_true", help="those too that died in the last ten minutes"
    )


async def run(args: Namespace, console: Console) -> int:
    if args.word and not args.id:
        raise InvalidInput(f"Which worker?  streamq workers {args.word} ID   (streamq workers)")
    async with opened(args) as session:
        links = await session.chosen([args.queue] if args.queue else [])
        views = [view for at in links for view in _listed(await reads.workers(at))]
        if args.word:
            return await _tell(session, console, Word(args.word), args.id, views)
    shown = [view for view in views if view.live or args.all]
    for view in shown if console.as_json else ():
        console.encoded(encoded(view))
    if shown:
        console.table(COLUMNS, [_row_of(view) for view in shown])
    else:
        console.note("No live workers. Start some:  streamq run")
    return Exit.OK


async def _tell(
    session: Session, console: Console, word: Word, worker: str, views: Sequence[Listed]
) -> int:
    live = [view for view in views if view.live]
    found = [view for view in live if worker in (view.id, view.daemon)]
    if not found:
        raise NoSuchWorker(worker, [view.id for view in live])
    # Other daemons would hear it, and it is nothing to them.
    heard = await session.app.tell(word, worker) if found[0].daemon else 0
    if not heard:
        raise NobodyHeard(worker, found[0].daemon)
    console.record({"worker": worker, "word": word, "heard": heard})
    console.line(f"{worker} ({', '.join(view.queue for view in found)}): {_DONE[word]}")
    return Exit.OK


def _listed(lanes: Sequence[WorkerSeen]) -> list[Listed]:
    daemons = {lane.row.process: lane.row.daemon for lane in lanes}
    return [
        Listed(**msgspec.structs.asdict(view), daemon=daemons[view.id])
        for view in worker_views(lanes)
    ]


def _row_of(view: Listed) -> list[str | Cell]:
    now = now_ms()
    up = "-" if not view.started_at_ms else length((now - view.started_at_ms) // 1_000 * 1_000)
    return [
        view.id,
        view.queue,
        view.host,
        str(view.pid),
        str(view.slots),
        up,
        ago(view.heard_at_ms) if view.heard_at_ms else "never",
        view.daemon or "-",
        _note(view),
    ]


def _note(view: Listed) -> Cell:
    if not view.live:
        return Cell(f"died {ago(view.died_at_ms or 0)}", "red")
    kind = "" if view.kind == "process" else view.kind
    return Cell(" ".join(filter(None, (kind, view.label))))


WORKERS = Command(
    usage="[WORD ID]",
    about="""\
Every live worker: one process at work on one queue. HEARD is its last sign of
life. With a word (quiet, resume, stop, dump) and an ID, that worker is told so
through Redis, wherever it runs; with the ID of a DAEMON, all that it keeps.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq workers", "who works on what"),
        Example("streamq workers quiet 3f9c0a7b12de", "no new jobs for this one; it stays"),
        Example("streamq workers dump 3f9c0a7b12de", "what hangs? Its stacks go to its log"),
    ],
)
