"""`streamq promote`: delayed jobs wait no longer."""

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
    return await queue.promote_all(
        where=asked.where, limit=asked.limit, cursor=asked.cursor, dry_run=asked.dry_run
    )


ACT: Final = Act("promote", "promoted", (JobState.DELAYED,), Queue.promote, _many)


def arguments(parser: ArgumentParser) -> None:
    choose.arguments(parser, ACT)


async def run(args: Namespace, console: Console) -> int:
    return await choose.run(args, console, ACT)


PROMOTE = Command(
    usage="ID... | QUEUE --all",
    about="""\
Delayed jobs (and those that wait for a retry) wait in their line at once.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq promote signup-17", "one job"),
        Example("streamq promote email --all --limit 50", "the next fifty"),
    ],
)
