"""The verbs that change jobs: some by their ids, or all of a queue that a filter lets through."""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from streamq.cli.asking import agree
from streamq.cli.console import Cell, Console
from streamq.cli.find import find
from streamq.cli.session import Session, opened
from streamq.cli.spec import Exit
from streamq.errors import InvalidInput, OutOfRange
from streamq.job import Job, JobState
from streamq.operate import BULK_JOBS_MAX, Bulk, Effect, Where
from streamq.queue import Queue

CALLS_MAX: Final = 100_000
"""Of one bulk command, each of at most 10,000 jobs or five seconds."""
LIMIT_MAX: Final = 1_000_000_000


class Request(NamedTuple):
    """One bulk call, of at most 10,000 jobs."""

    state: JobState
    where: Where | None
    limit: int
    cursor: str | None
    dry_run: bool


class Act(NamedTuple):
    """What a verb does to a job, or to many."""

    verb: str
    done: str
    """Of one job, when it is done: `retried`."""
    states: Sequence[JobState]
    """Those that it is for; the first is meant if none is named."""
    one: Callable[[Queue, str], Awaitable[Effect]]
    many: Callable[[Queue, Request], Awaitable[Bulk]]


def arguments(parser: ArgumentParser, act: Act) -> None:
    parser.add_argument(
        "what", nargs="+", metavar="ID", help="jobs; or with --all the queue that is meant"
    )
    parser.add_argument(
        "-q", "--queue", metavar="QUEUE", help="of the ids (default: looks in all of them)"
    )
    many = parser.add_argument_group("many jobs")
    many.add_argument("--all", action="store_true", help="all jobs of QUEUE in that state")
    if len(act.states) > 1:
        many.add_argument(
            "-s",
            "--state",
            choices=[state.value for state in act.states],
            metavar="STATE",
            help=f"{', '.join(act.states[:-1])} or {act.states[-1]} (default: {act.states[0]})",
        )
    many.add_argument("-n", "--name", help="only jobs of that name; * stands for any text")
    many.add_argument("--limit", type=int, metavar="N", help="at most so many")
    many.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    many.add_argument("-y", "--yes", action="store_true", help="do not ask")


async def run(args: Namespace, console: Console, act: Act) -> int:
    """The verb, for what the command line names."""
    if args.limit is not None and not 1 <= args.limit <= LIMIT_MAX:
        raise OutOfRange("--limit", args.limit, 1, LIMIT_MAX)
    if not args.all and (args.name or args.limit or getattr(args, "state", None)):
        raise InvalidInput(f"A filter goes with --all:  streamq {act.verb} QUEUE --all --name ...")
    if args.all and len(args.what) > 1:
        raise InvalidInput("--all is for one queue at a time.")
    async with opened(args) as session:
        if args.all:
            return await _change_all(session, console, args, act)
        codes = [await _change_one(session, console, args, act, job) for job in args.what]
    return max(codes)


async def _change_one(
    session: Session, console: Console, args: Namespace, act: Act, job_id: str
) -> int:
    at, job = await find(session, job_id, args.queue)
    fits = job.state in act.states
    if args.dry_run:
        effect = Effect.DONE if fits else Effect.UNFIT
    else:
        effect = await act.one(session.queue(at.queue), job.id)
    console.record(
        {"id": job.id, "queue": at.queue, "effect": effect.value, "dry_run": args.dry_run}
    )
    said, style = _said(act, effect, job)
    would = "would be " if args.dry_run and effect is Effect.DONE else ""
    console.line(f"{job.id}  {at.queue}/{job.name}  ", Cell(would + said, style))
    return Exit.OK if effect in (Effect.DONE, Effect.TOLD) else Exit.FAILED


def _said(act: Act, effect: Effect, job: Job) -> tuple[str, str]:
    match effect:
        case Effect.DONE:
            return act.done, "green"
        case Effect.TOLD:
            return f"running: its worker is told, and it is {act.done} then", "yellow"
        case Effect.ABSENT:
            return "gone meanwhile", "yellow"
        case Effect.UNFIT:
            *others, last = act.states
            fit = f"{', '.join(others)} and {last}" if others else last
            return f"nothing done: it is {job.state}, {act.verb} is for {fit} jobs", "red"


async def _change_all(session: Session, console: Console, args: Namespace, act: Act) -> int:
    at = await session.known(args.what[0])
    queue = session.queue(at.queue)
    state = JobState(getattr(args, "state", None) or act.states[0])
    where = _named(args.name)
    limit = args.limit or LIMIT_MAX
    of = f"of {at.queue}" + (f" named {args.name}" if args.name else "")
    if args.dry_run or not args.yes:
        there, more = await _count(queue, act, state, where, limit)
        would = f"{act.verb.replace('rm', 'remove')} {jobs_of(there, state, more)} {of}"
        if args.dry_run:
            console.record({"queue": at.queue, "state": state, "would": there, "more": more})
            console.line(f"would {would}")
            return Exit.OK
        if there:
            agree(console, would, yes=args.yes)
    done = await _all(queue, act, state, where, limit)
    console.record({"queue": at.queue, "state": state, "done": done})
    console.line(f"{jobs_of(done, state)} {of} {act.done}")
    return Exit.OK


def jobs_of(count: int, kind: str, more: bool = False) -> str:
    """`1 failed job`, `4,212 failed jobs`, `10,000 or more failed jobs`."""
    number = f"{count:,}" + (" or more" if more else "")
    return f"{number} {kind} {'job' if count == 1 and not more else 'jobs'}"


def _named(pattern: str | None) -> Where | None:
    if pattern is None:
        return None
    wanted = pattern
    return lambda job: fnmatchcase(job.name, wanted)


async def _count(
    queue: Queue, act: Act, state: JobState, where: Where | None, limit: int
) -> tuple[int, bool]:
    """How many there are; with a filter, what one bounded look finds, and whether more may be."""
    if where is None:
        there: int = getattr(await queue.counts(), state)
        return min(there, limit), False
    some = min(limit, BULK_JOBS_MAX)
    found = await act.many(queue, Request(state, where, some, None, dry_run=True))
    return found.count, found.more and found.count < limit


async def _all(queue: Queue, act: Act, state: JobState, where: Where | None, limit: int) -> int:
    """Call upon call, each where the one before ended."""
    done, cursor = 0, None
    for _ in range(CALLS_MAX):
        some = min(limit - done, BULK_JOBS_MAX)
        bulk = await act.many(queue, Request(state, where, some, cursor, dry_run=False))
        done, cursor = done + bulk.count, bulk.cursor
        if not bulk.more or done >= limit:
            break
    return done
