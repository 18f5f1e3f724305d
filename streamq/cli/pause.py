"""`streamq pause` and `streamq resume`: a queue stands still, and goes on."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from streamq.cli.console import Cell, Console
from streamq.cli.session import Session, opened
from streamq.cli.spec import Command, Example, Exit
from streamq.errors import InvalidInput


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", nargs="*", metavar="QUEUE")
    parser.add_argument("--all", action="store_true", help="every queue")


async def _queues(session: Session, args: Namespace, verb: str) -> Sequence[str]:
    if bool(args.queue) == args.all:
        raise InvalidInput(f"Which queues?  streamq {verb} QUEUE...   or   streamq {verb} --all")
    return [at.queue for at in await session.chosen(args.queue)]


async def pause(args: Namespace, console: Console) -> int:
    async with opened(args) as session:
        for name in await _queues(session, args, "pause"):
            queue = session.queue(name)
            await queue.pause()
            running = (await queue.counts()).active
            console.record({"queue": name, "paused": True, "active": running})
            goes_on = f", {running} running goes on" if running == 1 else ""
            goes_on = f", {running} running go on" if running > 1 else goes_on
            console.line(f"{name}  ", Cell("paused", "yellow"), goes_on)
    return Exit.OK


async def resume(args: Namespace, console: Console) -> int:
    async with opened(args) as session:
        for name in await _queues(session, args, "resume"):
            queue = session.queue(name)
            await queue.resume()
            waiting = (await queue.counts()).waiting
            console.record({"queue": name, "paused": False, "waiting": waiting})
            console.line(f"{name}  ", Cell("goes on", "green"), f", {waiting:,} waiting")
    return Exit.OK


PAUSE = Command(
    usage="QUEUE... | --all",
    about="""\
From now on no job of these queues is started, in the whole fleet: delayed ones
neither. Jobs that run finish. Adding goes on.""",
    arguments=arguments,
    run=pause,
    examples=[
        Example("streamq pause email", "one queue"),
        Example("streamq pause --all", "before a migration"),
    ],
)
RESUME = Command(
    usage="QUEUE... | --all",
    about="Paused queues go on, in the whole fleet.",
    arguments=arguments,
    run=resume,
    examples=[Example("streamq resume --all", "every queue")],
)
