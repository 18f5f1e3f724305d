"""The command line: finds the verb, reads its words, runs it, and says what went wrong.

Nothing here imports redis, msgspec, croniter or asyncio: `streamq --help` and `streamq health`
start in the time of a bare interpreter. A verb's module brings what it needs.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from types import TracebackType
from typing import Final, TextIO

from streamq.cli import verbs
from streamq.cli.console import Cell, Console
from streamq.cli.parser import UsageError, parser_of, split_at_verb
from streamq.cli.spec import Command, Exit
from streamq.errors import StreamqError

_VERB_COLUMNS: Final = 10
_COMMON: Final = Command("", "", lambda parser: None, lambda args, console: Exit.OK)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    console = _console(words)
    verbose = "-v" in words or "--verbose" in words
    if not verbose:
        sys.excepthook = _say_fault
    try:
        code = _run(words, console)
        # Here and not at the interpreter's end, where a closed pipe can no longer be caught.
        console.flush()
    except StreamqError as error:
        return _fail(error, console, verbose)
    except BrokenPipeError:
        _leave_pipe()
        return Exit.PIPE_CLOSED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return code


def _run(words: Sequence[str], console: Console) -> int:
    before, verb, behind = split_at_verb(words)
    if verb is None:
        return _without_verb(before, console)
    if verb == "help":
        return _run([*behind[:1], "--help"], console)
    command = verbs.find(verb)
    args = parser_of("", _COMMON).read(before, _nothing_said())
    args = parser_of(verb, command).read(behind, args)
    done = command.run(args, console)
    if isinstance(done, int):
        return done
    import asyncio

    return asyncio.run(done)


def _without_verb(words: Sequence[str], console: Console) -> int:
    if "--version" in words or "-V" in words:
        return _run(["version", *(w for w in words if w not in ("--version", "-V"))], console)
    options = [word for word in words if word not in ("-h", "--help")]
    parser_of("", _COMMON).read(options, _nothing_said())
    _help(console)
    return Exit.OK if words else Exit.USAGE


def _nothing_said() -> Namespace:
    """The options common to all verbs, before any word is read."""
    return Namespace(redis=None, config=None, prefix=None, json=False, verbose=False)


def _help(console: Console) -> None:
    console.as_json = False  # there is no other form of it
    console.line(Cell("streamq", "bold"), ": background jobs on Redis Streams")
    console.line()
    console.line("usage: streamq VERB [options]       streamq VERB --help  explains, with examples")
    for group in verbs.VERBS:
        console.line()
        console.line(Cell(group.title, "bold"))
        for verb, row in group.rows.items():
            console.line("  ", Cell(verb.ljust(_VERB_COLUMNS), "cyan"), row.says)
    if others := verbs.others():
        console.line()
        console.line(Cell("from other packages", "bold"))
        console.line("  ", Cell(", ".join(others), "cyan"))
    console.line()
    console.line(Cell("exit codes", "bold"))
    console.line("  0 done   1 error   2 usage or settings   3 Redis not reachable")
    console.line("  4 app cannot be imported   5 job failed   6 jobs abandoned at a stop")
    console.line("  130 interrupted")


def _console(words: Sequence[str]) -> Console:
    for stream in (sys.stdout, sys.stderr):
        # What an output cannot spell is escaped: a name in another script must not end a listing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Console(
        sys.stdout,
        sys.stderr,
        as_json="--json" in words,
        colour=sys.stdout.isatty() and not plain,
        colour_err=sys.stderr.isatty() and not plain,
        width=_width(sys.stdout),
    )


def _width(out: TextIO) -> int | None:
    try:
        return (out.isatty() and os.get_terminal_size(out.fileno()).columns) or None
    except OSError:
        return None


def _fail(error: StreamqError, console: Console, verbose: bool) -> int:
    if verbose and not isinstance(error, UsageError):
        import traceback

        traceback.print_exception(error)
    console.flush()
    # What of a list is there already, say: it stands in a note.
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    console.failure(
        error.cli_text + notes,
        {"code": error.code, "message": str(error) + notes, "exit_code": int(error.exit_code)},
    )
    return error.exit_code


def _leave_pipe() -> None:
    """Who read our output has closed it. The interpreter flushes at its end: into nothing, then."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _say_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """An error that nobody foresaw, in a line; the exit code is Python's own, 1."""
    said = str(error) or "no message"
    print(f"streamq: {kind.__name__}: {said}. The same with -v says where.", file=sys.stderr)
