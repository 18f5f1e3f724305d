"""`streamq job`: all there is to know of one job."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Final

from streamq.cli.console import Cell, Console
from streamq.cli.find import add_queue_option, find
from streamq.cli.holders import held
from streamq.cli.jobs import progress_of
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.text import harmless_lines
from streamq.cli.times import ago, length, moment
from streamq.cli.views import STATE_STYLES, JobView, as_json, encoded, job_view
from streamq.durations import show_ms
from streamq.job import AttemptError, JobState

_LABEL_COLUMNS: Final = 10
_ONE_LINE_COLUMNS: Final = 66
"""Values that are longer go over several lines."""

Fact = tuple[str, str]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    add_queue_option(parser)


async def run(args: Namespace, console: Console) -> int:
    async with opened(args) as session:
        at, job = await find(session, args.id, args.queue)
        (view,) = await held(at, [job_view(job)])
    if console.as_json:
        console.encoded(encoded(view))
        return Exit.OK
    console.line(
        Cell(f"{view.queue}/{view.name}", "bold"),
        f"  {view.id}  ",
        Cell(view.state, STATE_STYLES[view.state]),
    )
    for label, said in (*_times(view), *_facts(view)):
        _show(console, label, said)
    _show(console, "payload", _folded(view.data))
    if view.result is not None:
        _show(console, "result", _folded(view.result))
    for error in view.errors:
        _show_error(console, error, whole=args.verbose)
    if view.errors and not args.verbose and any(error.traceback for error in view.errors):
        console.note("-v shows the tracebacks")
    return Exit.OK


def _times(view: JobView) -> Iterator[Fact]:
    yield "added", _at(view.added_at_ms)
    if view.due_at_ms is not None:
        yield "due", _at(view.due_at_ms)
    if view.claimed_at_ms is not None:
        waited = view.claimed_at_ms - view.added_at_ms
        first = view.attempts_used <= 1 and waited >= 0
        yield "started", _at(view.claimed_at_ms) + (f", waited {length(waited)}" if first else "")
    if view.finished_at_ms is not None:
        ran = view.finished_at_ms - (view.claimed_at_ms or view.finished_at_ms)
        yield "finished", _at(view.finished_at_ms) + f", ran {length(ran)}"
    if view.expires_at_ms is not None:
        yield "expires", _at(view.expires_at_ms)


def _facts(view: JobView) -> Iterator[Fact]:
    if view.state is JobState.ACTIVE and view.progress is not None:
        yield "progress", progress_of(view.progress)
    used = str(view.attempts_used)
    yield "attempts", used if view.attempts is None else f"{used} of {view.attempts}"
    yield "priority", str(view.priority)
    if view.timeout_ms is not None:
        yield "timeout", show_ms(view.timeout_ms)
    if view.worker:
        yield "worker", view.worker
    if view.reason:
        yield "reason", view.reason
    for name, value in view.headers.items():
        yield "header", f"{name}: {value}"


def _at(ms: int) -> str:
    return f"{moment(ms)} ({ago(ms)})"


def _folded(value: object) -> str:
    line = as_json(value)
    return line if len(line) <= _ONE_LINE_COLUMNS else as_json(value, indent=2)


def _show(console: Console, label: str, said: str) -> None:
    first, *rest = [*harmless_lines(said)] or [""]
    console.line("  ", Cell(label.ljust(_LABEL_COLUMNS), "dim"), first)
    for line in rest:
        console.line(" " * (_LABEL_COLUMNS + 2), line)


def _show_error(console: Console, error: AttemptError, *, whole: bool) -> None:
    by = f" on {error.worker}" if error.worker else ""
    console.line()
    console.line("  ", Cell(f"attempt {error.attempt}", "red"), f"  {_at(error.at_ms)}{by}")
    for line in harmless_lines(f"{error.type}: {error.message}" if error.message else error.type):
        console.line("    ", line)
    if whole:
        for line in harmless_lines(error.traceback):
            console.line("    ", Cell(line, "dim"))


JOB = Command(
    usage="ID",
    about="""\
All there is to know of one job: where it stands, its times, payload and result,
and every attempt's error.

Without -q it is looked for in every queue; if two have it, say which.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq job 01932f6c-…", "one job"),
        Example("streamq job signup-17 -q email -v", "with the tracebacks of its attempts"),
    ],
)
