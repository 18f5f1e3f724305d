"""`streamq rm`: removes jobs and all that is kept of them."""

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
    return await queue.remove_all(
        asked.state,
        where=asked.where,
        limit=asked.limit,
        cursor=asked.cursor,
        dry_run=asked.dry_run,
    )


STATES: Final = (
    JobState.FAILED,
    JobState.COMPLETED,
    JobState.PARKED,
    JobState.WAITING,
    JobState.DELAYED,
    JobState.ACTIVE,
)
ACT: Final = Act("rm", "removed", STATES, Queue.remove, _many)


def arguments(parser: ArgumentParser) -> None:
    choose.arguments(parser, ACT)


async def run(args: Namespace, console: Console) -> int:
    return await choose.run(args, console, ACT)


RM = Command(
    usage="ID... | QUEUE --all",
    about="""\
Removes jobs and all that is kept of them; one that runs is cancelled first.

By age, `streamq clean` does it in fewer calls.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq rm signup-17 -q email", "one job"),
        Example("streamq rm email --all --state failed --name newsletter", "all of one name"),
    ],
)
