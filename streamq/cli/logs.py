"""`streamq logs`: what a job has logged, and with -f what it logs from now on."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from streamq.cli.console import Console
from streamq.cli.find import add_queue_option, find
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.text import harmless_lines
from streamq.job import JobId, JobState
from streamq.redact import redact_text
from streamq.store import reads
from streamq.store.scripts import Link

LOOK_EVERY_S: Final = 0.5
"""A worker hands in what its jobs log within a second."""
_ENDED: Final = (JobState.COMPLETED, JobState.FAILED)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    add_queue_option(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the job has ended, or Ctrl-C"
    )


async def run(args: Namespace, console: Console) -> int:
    async with opened(args) as session:
        at, job = await find(session, args.id, args.queue)
        seen = await reads.logs(at, job.id)
        _print(console, at.queue, job.id, seen)
        if args.follow:
            await _follow(console, at, job.id, seen)
        elif not seen:
            console.note(f"Job {job.id} has logged nothing.")
    return Exit.OK


async def _follow(console: Console, at: Link, job: JobId, seen: Sequence[str]) -> None:
    """Until the job has ended or is gone; its state is read first, so that its last lines come."""
    ended = False
    while not ended:
        await asyncio.sleep(LOOK_EVERY_S)
        now = await reads.get(at, job)
        ended = now is None or now.state in _ENDED
        lines = await reads.logs(at, job)
        _print(console, at.queue, job, new_lines(seen, lines))
        seen = lines or seen
        console.flush()


def new_lines(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """What `now` has behind the end of `before`: old lines fall off its beginning."""
    for kept in range(min(len(before), len(now)), 0, -1):
        if before[-kept:] == now[:kept]:
            return now[kept:]
    return now


def _print(console: Console, queue: str, job: JobId, lines: Sequence[str]) -> None:
    for line in map(redact_text, lines):
        if console.as_json:
            console.record({"queue": queue, "id": job, "line": line})
        else:
            for part in harmless_lines(line):
                console.line(part)


LOGS = Command(
    usage="ID",
    about="""\
What a job has logged with job.log(...), oldest first; the last 64 KiB are kept.""",
    arguments=arguments,
    run=run,
    examples=[Example("streamq logs 01932f6c-… -f", "what it logs, until it has ended")],
)
