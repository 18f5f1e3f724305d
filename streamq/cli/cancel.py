"""`streamq cancel`: jobs shall not run, or not go on running."""

from argparse import ArgumentParser, Namespace
from typing import Final

from streamq.cli import choose
from streamq.cli.choose import Act, Request
from streamq.cli.console import Console
from streamq.cli.spec import Command, Example
from streamq.job import JobState
from streamq.operate import Bulk
from streamq.queue import Queue


async def _many(queue: Queue, asked: Request) -> Bulk:
    return await queue.cancel_all(
        asked.state,
        where=asked.where,
        limit=asked.limit,
        cursor=asked.cursor,
        dry_run=asked.dry_run,
    )


STATES: Final = (JobState.WAITING, JobState.DELAYED, JobState.ACTIVE, JobState.PARKED)
ACT: Final = Act("cancel", "cancelled", STATES, Queue.cancel, _many)


def arguments(parser: ArgumentParser) -> None:
    choose.arguments(parser, ACT)


async def run(args: Namespace, console: Console) -> int:
    return await choose.run(args, console, ACT)


CANCEL = Command(
    usage="ID... | QUEUE --all",
    about="""\
Jobs that have not ended fail as cancelled and are not retried.

One that runs is told so, wherever its worker is, within a second. A plain
function in a thread cannot be interrupted: its slot stays taken until it ends.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq cancel signup-17", "one job"),
        Example("streamq cancel report --all --state active", "whatever runs there"),
    ],
)
