"""`streamq retry`: failed or parked jobs run again."""

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
    return await queue.retry_all(
        asked.state,
        where=asked.where,
        limit=asked.limit,
        cursor=asked.cursor,
        dry_run=asked.dry_run,
    )


ACT: Final = Act("retry", "retried", (JobState.FAILED, JobState.PARKED), Queue.retry, _many)


def arguments(parser: ArgumentParser) -> None:
    choose.arguments(parser, ACT)


async def run(args: Namespace, console: Console) -> int:
    return await choose.run(args, console, ACT)


RETRY = Command(
    usage="ID... | QUEUE --all",
    about="""\
Failed or parked jobs wait again, with fresh attempts. Their errors are kept.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq retry 01932f6c-…", "one job"),
        Example("streamq retry email --all --dry-run", "how many would that be?"),
        Example("streamq retry email --all --name 'send-*' --limit 100", "some, by name"),
        Example("streamq retry report --all --state parked", "once their handler is there"),
    ],
)
