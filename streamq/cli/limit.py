"""`streamq limit`: jobs at a time and starts in a time, for the whole fleet."""

from argparse import ArgumentParser, Namespace
from typing import Final

from msgspec import UNSET, UnsetType

from streamq.cli.console import Console
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.durations import Duration, show_ms
from streamq.errors import InvalidInput
from streamq.settings import Rate
from streamq.settings.reading import rate as read_rate
from streamq.store.reads import QueueState

NONE: Final = "none"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE")
    parser.add_argument(
        "--max-active", metavar="N", help=f"jobs at a time in the whole fleet; {NONE}: no limit"
    )
    parser.add_argument(
        "--rate", metavar="N/TIME", help=f"starts in any such time, as 100/1m; {NONE}: no limit"
    )
    parser.add_argument(
        "--reset", action="store_true", help="back to what the code and the settings say"
    )


async def run(args: Namespace, console: Console) -> int:
    if args.reset and (args.max_active or args.rate):
        raise InvalidInput("--reset goes alone: it takes back what was set here.")
    max_active, rate = _max_active(args.max_active), _rate(args.rate)
    async with opened(args) as session:
        await session.known(args.queue)
        queue = session.queue(args.queue)
        if args.reset:
            state = await queue.limit_reset()
        elif max_active is not UNSET or rate is not UNSET:
            state = await queue.limit(max_active, rate=rate)
        else:
            state = await queue.state()
    _print(console, args.queue, state)
    return Exit.OK


def _max_active(text: str | None) -> int | UnsetType | None:
    if text is None:
        return UNSET
    if text == NONE:
        return None
    if not text.isdigit():
        raise InvalidInput(f'--max-active="{text}": give a whole number from 1, or {NONE}.')
    return int(text)


def _rate(text: str | None) -> tuple[int, Duration] | UnsetType | None:
    if text is None:
        return UNSET
    if text == NONE:
        return None
    try:
        rate = read_rate(text)
    except ValueError as error:
        why = error.cure if isinstance(error, InvalidInput) else str(error)
        raise InvalidInput(f'--rate="{text}": {why}') from None
    assert isinstance(rate, Rate)
    return rate.count, show_ms(rate.per_ms)


def _print(console: Console, queue: str, state: QueueState) -> None:
    rate = state.rate
    console.record(
        {
            "queue": queue,
            "max_active": state.max_active,
            "max_active_set_here": state.own_max_active,
            "rate": None if rate is None else {"count": rate[0], "per_ms": rate[1]},
            "rate_set_here": state.own_rate,
        }
    )
    at_a_time = NONE if state.max_active is None else str(state.max_active)
    starts = NONE if rate is None else f"{rate[0]} per {show_ms(rate[1])}"
    for label, said, own in (
        ("at a time", at_a_time, state.own_max_active),
        ("starts", starts, state.own_rate),
    ):
        console.line(f"{queue}  {label:<9}  {said}", "  (set by an operator)" if own else "")


LIMIT = Command(
    usage="QUEUE",
    about="""\
What holds for a queue in the whole fleet: how many of its jobs run at a time,
and how many may start in any window of a length.

What is set here wins over the code and the settings until --reset. Without an
option it is only shown.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq limit integration-sync --max-active 2", "two at a time"),
        Example("streamq limit email --rate 100/1m", "a hundred starts in any minute"),
        Example("streamq limit email --reset", "as the code says, again"),
    ],
)
