"""`streamq drain`: removes every job of a queue that did not start."""

from argparse import ArgumentParser, Namespace

from streamq.cli.asking import agree_by_name
from streamq.cli.choose import CALLS_MAX, LIMIT_MAX, jobs_of
from streamq.cli.console import Console
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import OutOfRange
from streamq.operate import BULK_JOBS_MAX


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "--keep-delayed", action="store_true", help="only jobs that wait, none that are delayed"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--dry-run", action="store_true", help="say how many would go")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask for the queue's name")


async def run(args: Namespace, console: Console) -> int:
    limit = LIMIT_MAX if args.limit is None else args.limit
    if not 1 <= limit <= LIMIT_MAX:
        raise OutOfRange("--limit", args.limit, 1, LIMIT_MAX)
    async with opened(args) as session:
        await session.known(args.queue)
        queue = session.queue(args.queue)
        counts = await queue.counts()
        there = min(limit, counts.waiting + (0 if args.keep_delayed else counts.delayed))
        kinds = "waiting" if args.keep_delayed else "waiting and delayed"
        would = f"remove {jobs_of(there, kinds)} of {args.queue}, for good"
        if args.dry_run:
            console.record({"queue": args.queue, "would": there})
            console.line(f"would {would}")
            return Exit.OK
        if there:
            agree_by_name(console, would, args.queue, yes=args.yes)
        done = 0
        for _ in range(CALLS_MAX):
            some = min(limit - done, BULK_JOBS_MAX)
            bulk = await queue.drain(delayed=not args.keep_delayed, limit=some)
            done += bulk.count
            if not bulk.more or done >= limit:
                break
    console.record({"queue": args.queue, "done": done})
    console.line(f"{jobs_of(done, kinds)} of {args.queue} removed; what runs goes on")
    return Exit.OK


DRAIN = Command(
    usage="QUEUE",
    about="""\
Removes every job of a queue that waits or is delayed, for good. Jobs that run
go on. It asks for the queue's name; a script says --yes.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq drain email --dry-run", "how many would that be?"),
        Example("streamq drain email --keep-delayed", "not those that are to run later"),
    ],
)
