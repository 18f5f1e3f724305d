"""`streamq workers`: every worker on a line; and a word to one: quiet, resume, stop, dump."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from streamq.cli.console import Cell, Column, Console
from streamq.cli.session import Session, opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.times import ago, length, now_ms
from streamq.cli.views import WorkerView, encoded, worker_views
from streamq.control import Word
from streamq.errors import InvalidInput, StreamqError
from streamq.errors.wording import did_you_mean
from streamq.store import reads

COLUMNS: Final = (
    Column("ID"),
    Column("QUEUE", least=10),
    Column("HOST", least=8),
    Column("PID", right=True),
    Column("SLOTS", right=True),
    Column("UP", right=True),
    Column("HEARD", right=True),
    Column("NOTE", least=6),
)
_DONE: Final = {
    Word.QUIET: "takes no new jobs",
    Word.RESUME: "takes jobs again",
    Word.STOP: "ends once its jobs have, and nothing takes its place",
    Word.DUMP: "writes the stacks of its threads to its log",
}


class NoSuchWorker(InvalidInput):
    def __init__(self, worker: str, known: Sequence[str]) -> None:
        self.worker, self.known = worker, tuple(known)
        super().__init__(
            f"No live worker {worker!r}.{did_you_mean(worker, known)} See:  streamq workers"
        )


class NobodyHeard(StreamqError):
    """The order was published, and no daemon listens."""

    def __init__(self, worker: str, kind: str) -> None:
        self.worker, self.kind = worker, kind
        why = (
            "it is embedded in an application, which alone can stop it"
            if kind == "embedded"
            else "its daemon is not connected at this moment; say it again"
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
    parser.add_argument("id", nargs="?", metavar="ID", help="of one worker, for WORD")
    parser.add_argument("-q", "--queue", metavar="QUEUE", help="only those of this queue")
    parser.add_argument(
        "--all", action="store_true", help="those too that died in the last ten minutes"
    )


async def run(args: Namespace, console: Console) -> int:
    if args.word and not args.id:
        raise InvalidInput(f"Which worker?  streamq workers {args.word} ID   (streamq workers)")
    async with opened(args) as session:
        links = await session.chosen([args.queue] if args.queue else [])
        views = [view for at in links for view in worker_views(await reads.workers(at))]
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
    session: Session, console: Console, word: Word, worker: str, views: Sequence[WorkerView]
) -> int:
    live = [view for view in views if view.live]
    found = [view for view in live if view.id == worker]
    if not found:
        raise NoSuchWorker(worker, [view.id for view in live])
    heard = await session.app.tell(word, worker)
    if not heard:
        raise NobodyHeard(worker, found[0].kind)
    console.record({"worker": worker, "word": word, "heard": heard})
    console.line(f"{worker} ({', '.join(view.queue for view in found)}): {_DONE[word]}")
    return Exit.OK


def _row_of(view: WorkerView) -> list[str | Cell]:
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
        _note(view),
    ]


def _note(view: WorkerView) -> Cell:
    if not view.live:
        return Cell(f"died {ago(view.died_at_ms or 0)}", "red")
    kind = "" if view.kind == "process" else view.kind
    return Cell(" ".join(filter(None, (kind, view.label))))


WORKERS = Command(
    usage="[WORD ID]",
    about="""\
Every live worker: one process at work on one queue. HEARD is its last sign of
life. With a word (quiet, resume, stop, dump) and an ID, that worker is told so
through Redis, wherever it runs.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq workers", "who works on what"),
        Example("streamq workers quiet 3f9c0a7b12de", "no new jobs for this one; it stays"),
        Example("streamq workers dump 3f9c0a7b12de", "what hangs? Its stacks go to its log"),
    ],
)
