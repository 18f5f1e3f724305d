"""`streamq add`: one job, or one for each line of standard input."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from streamq.added import Added
from streamq.adding import NewJob, sealed
from streamq.cli.console import Cell, Console
from streamq.cli.session import NoSuchQueue, Session, opened, opened_with_app, settings_of
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.text import harmless_lines
from streamq.cli.times import now_ms
from streamq.cli.views import as_json
from streamq.errors import InvalidInput
from streamq.queue import Queue

LINES_AT_ONCE: Final = 1_000
LINE_BYTES_MAX: Final = 16 << 20
"""Of a payload, as JSON: what a queue may allow at most."""
STDIN: Final = "-"
FILE_SIGN: Final = "@"


class Progress(NamedTuple):
    """How far a bulk add is: lines gone through, jobs that came of them, ids that existed."""

    lines: int = 0
    added: int = 0
    existed: int = 0


class BadLine(InvalidInput):
    """A line of standard input that is no job; what stands before its batch is added."""

    def __init__(self, number: int, why: str, done: "Progress") -> None:
        self.number, self.why, self.done = number, why, done
        rest = done.lines + 1
        before = (
            f" {done.added:,} jobs before line {rest} were added: go on with  tail -n +{rest}"
            if done.added
            else " Nothing was added."
        )
        super().__init__(f"line {number}: {why.rstrip('.')}.{before}")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument("name", metavar="NAME", help="of the job, as its handler has it")
    parser.add_argument(
        "data",
        nargs="?",
        default="{}",
        metavar="JSON",
        help="the payload; @file reads a file, - a payload from each line of standard input",
    )
    parser.add_argument("--delay", metavar="TIME", help="not before this long from now: 5s, 2h")
    parser.add_argument(
        "--at", metavar="MOMENT", help="not before: 2026-12-01T09:00-03:00 (or ...Z)"
    )
    parser.add_argument("--priority", type=int, metavar="1-10", help="1 is first (default 3)")
    parser.add_argument("--id", help="its own; adding one that exists changes nothing")
    parser.add_argument("--attempts", type=int, metavar="N", help="the first try included")
    parser.add_argument("--timeout", metavar="TIME", help="for one attempt")
    parser.add_argument("--expires", metavar="TIME", help="not run after this long from now")
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME=VALUE", help="seen by the handler"
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait for its result and print it; 5 if it failed"
    )
    parser.add_argument("--wait-max", metavar="TIME", help="how long to wait (default: a day)")
    parser.add_argument("--app", metavar="APP", help="module:app that checks the payload")
    parser.add_argument(
        "--force",
        action="store_true",
        help="ask no app: any queue, any name, any payload",
    )


async def run(args: Namespace, console: Console) -> int:
    many = args.data == STDIN
    if many and (args.id or args.wait):
        raise InvalidInput("--id and --wait are for one job, not for a line each.")
    async with _opened(args) as session:
        queue = session.queue(args.queue)
        create = args.force or await _is_known_without_app(session, args)
        if many:
            return await _add_lines(queue, console, args, create)
        job = _job(args, _payload(args.data))
        (added,) = await queue.add_many([job], force=args.force, create=create)
        if not args.wait:
            console.record(
                {"id": added.id, "queue": queue.name, "name": job.name, "existed": added.existed}
            )
            _say_added(console, added, job.name)
            return Exit.OK
        if not any(worker.live for worker in await queue.workers()):
            console.note(f"No live worker for {queue.name}: it waits until one starts.")
        return await _wait(console, added, args)


def _opened(args: Namespace) -> AbstractAsyncContextManager[Session]:
    """With the app, if there is one to ask."""
    target = None if args.force else args.app or settings_of(args).app
    return opened_with_app(args, target) if target else opened(args)


async def _is_known_without_app(session: Session, args: Namespace) -> bool:
    """Whether Redis knows the queue, where no app can say. Raises `NoSuchQueue`."""
    if session.knows_handlers:
        return False
    known = await session.queues()
    if args.queue not in known:
        raise NoSuchQueue(args.queue, session.where, known)
    return True


def _job(args: Namespace, payload: object) -> NewJob:
    return NewJob(
        args.name,
        payload,
        delay=args.delay,
        at=None if args.at is None else _moment(args.at),
        priority=args.priority,
        id=args.id,
        attempts=args.attempts,
        timeout=args.timeout,
        expires=args.expires,
        headers=_headers(args.header) or None,
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f'--at="{text}" is no moment: give it as 2026-12-01T09:00-03:00 or 2026-12-01T12:00Z.'
        ) from None
    if moment.utcoffset() is None:
        raise InvalidInput(
            f'--at="{text}" has no time zone, so whose clock is it? Add Z, or -03:00.'
        )
    return moment


def _headers(pairs: list[str]) -> dict[str, str]:
    headers = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f'--header="{pair}": give it as name=value.')
        headers[name] = value
    return headers


def _payload(text: str) -> object:
    """From the command line, or from the file that it names."""
    source = "the payload"
    if text.startswith(FILE_SIGN):
        source = text[1:]
        try:
            with Path(source).open("rb") as file:
                raw = file.read(LINE_BYTES_MAX + 1)
        except OSError as error:
            raise InvalidInput(f"Cannot read {source}: {(error.strerror or '').lower()}.") from None
    else:
        raw = text.encode("utf-8", "surrogateescape")
    try:
        return _decoded(raw)
    except InvalidInput as error:
        raise InvalidInput(f"{source}: {error} Mind the shell's quotes.") from None


def _decoded(raw: bytes) -> object:
    if len(raw) > LINE_BYTES_MAX:
        raise InvalidInput(f"over {LINE_BYTES_MAX >> 20} MiB: a payload carries keys, not files.")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # NaN, half a surrogate pair: read all the same, for the payload's check to name the place.
        with suppress(ValueError, RecursionError):
            read: object = json.loads(raw)
            return read
        raise InvalidInput(f"no JSON ({error}).") from None


async def _add_lines(queue: Queue, console: Console, args: Namespace, create: bool) -> int:
    """A job for each line, 1,000 at a time; a batch is checked whole before any of it is sent."""
    lines = enumerate(iter(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX + 2), b""), 1)
    done = Progress()
    while batch := list(islice(lines, LINES_AT_ONCE)):
        jobs = [*_jobs_of(args, batch, done)]
        try:
            added = await queue.add_many([job for _, job in jobs], force=args.force, create=create)
        except InvalidInput as error:
            raise _bad_line(queue, jobs, error, done) from None
        existed = sum(job.existed for job in added)
        done = Progress(batch[-1][0], done.added + len(added), done.existed + existed)
    console.record({"queue": queue.name, "name": args.name, "added": done.added - done.existed})
    console.line(Cell(f"{done.added:,}", "bold"), f" {queue.name}/{args.name} added")
    return Exit.OK


def _jobs_of(
    args: Namespace, batch: list[tuple[int, bytes]], done: Progress
) -> Iterator[tuple[int, NewJob]]:
    for number, line in batch:
        if not line.strip():
            continue
        try:
            yield number, _job(args, _decoded(line))
        except InvalidInput as error:
            raise BadLine(number, str(error), done) from None


def _bad_line(
    queue: Queue, jobs: list[tuple[int, NewJob]], error: InvalidInput, done: Progress
) -> InvalidInput:
    """Which line it was that was refused; what is wrong with all of them is said as it is."""
    terms = queue.terms(jobs[0][1].name, force=True)
    for number, job in jobs:
        try:
            sealed(job, terms, now_ms())
        except InvalidInput as found:
            if str(found) == str(error):
                return BadLine(number, str(found), done)
    return error


def _say_added(console: Console, added: Added[object], name: str) -> None:
    existed = Cell("  was there already, nothing changed", "yellow")
    console.line(f"{added.id}  {added.queue}/{name}", existed if added.existed else "  added")


async def _wait(console: Console, added: Added[object], args: Namespace) -> int:
    console.note(f"{added.id} added to {added.queue}; Ctrl-C ends the waiting, not the job")
    console.flush()
    result = await added.result(args.wait_max)
    console.record(
        {
            "id": added.id,
            "queue": added.queue,
            "name": args.name,
            "existed": added.existed,
            "result": msgspec.to_builtins(result, str_keys=True, enc_hook=repr),
        }
    )
    for line in harmless_lines(as_json(result, indent=2)):
        console.line(line)
    return Exit.OK


ADD = Command(
    usage="QUEUE NAME [JSON]",
    about="""\
Adds a job. If an app is configured, its handlers check queue, name and payload
before anything is sent; --force asks nobody.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("""streamq add email welcome '{"to": "ana@x.br"}' --wait""", "and its result"),
        Example("streamq add report monthly @july.json --at 2026-08-01T08:00-03:00", "from a file"),
        Example("streamq add email welcome - < people.ndjson", "a job for each line"),
        Example("streamq add email welcome --delay 1m --id signup-17", "once, whoever adds it"),
    ],
)
