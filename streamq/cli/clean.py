"""`streamq clean`: removes ended jobs older than an age."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Final

from streamq.cli.asking import agree
from streamq.cli.choose import CALLS_MAX, LIMIT_MAX, jobs_of
from streamq.cli.console import Console
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.durations import to_ms
from streamq.errors import OutOfRange
from streamq.job import JobState
from streamq.operate import BULK_JOBS_MAX

AGES: Final[Mapping[JobState, str]] = {
    JobState.COMPLETED: "24h",
    JobState.FAILED: "7d",
    JobState.PARKED: "30d",
}
"""What retention keeps if nobody says otherwise."""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "-s",
        "--state",
        choices=[state.value for state in AGES],
        default="completed",
        metavar="STATE",
        help="completed, failed or parked (default: completed)",
    )
    parser.add_argument(
        "--older-than", metavar="AGE", help="default: completed 24h, failed 7d, parked 30d"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many, the oldest first")
    parser.add_argument("--dry-run", action="store_true", help="say how many would go")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


async def run(args: Namespace, console: Console) -> int:
    state = JobState(args.state)
    age = args.older_than or AGES[state]
    to_ms(age, "--older-than")  # before anything is asked, and by its name here
    limit = LIMIT_MAX if args.limit is None else args.limit
    if not 1 <= limit <= LIMIT_MAX:
        raise OutOfRange("--limit", args.limit, 1, LIMIT_MAX)
    async with opened(args) as session:
        at = await session.known(args.queue)
        queue = session.queue(at.queue)
        there = min(limit, await queue.older(state, age))
        of = f"of {at.queue}, older than {age}"
        if args.dry_run:
            console.record({"queue": at.queue, "state": state, "would": there})
            console.line(f"would remove {jobs_of(there, state)} {of}")
            return Exit.OK
        if there:
            agree(console, f"remove {jobs_of(there, state)} {of}", yes=args.yes)
        done = 0
        for _ in range(CALLS_MAX):
            some = min(limit - done, BULK_JOBS_MAX)
            bulk = await queue.clean(state, older_than=age, limit=some)
            done += bulk.count
            if not bulk.more or done >= limit:
                break
    console.record({"queue": at.queue, "state": state, "done": done})
    console.line(f"{jobs_of(done, state)} {of}, removed")
    return Exit.OK


CLEAN = Command(
    usage="QUEUE",
    about="""\
Removes jobs that completed, failed or were parked longer ago than an age, and
all that is kept of them. Retention does the same by itself: keep_completed,
keep_failed and keep_parked of the settings.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq clean email", "completed more than a day ago"),
        Example("streamq clean email --state failed --older-than 7d --dry-run", "how many?"),
    ],
)
