"""`streamq top`: queues, workers and running jobs, drawn anew every second."""

import asyncio
import os
import sys
import termios
import tty
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streamq.cli.console import Cell, Console
from streamq.cli.follow import until_interrupted
from streamq.cli.glance import Watcher, laid_out
from streamq.cli.session import opened
from streamq.cli.spec import Command, Example, Exit
from streamq.cli.views import encoded
from streamq.durations import to_ms
from streamq.errors import InvalidDuration, StoreError

EVERY_DEFAULT: Final = "1s"
EVERY_MS_MIN: Final = 100
FIRST_RATES_AFTER_S: Final = 0.5
"""With --once: between the two looks that a rate takes."""

# The other screen (what was there comes back), no cursor, and no line goes over the edge.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queue", nargs="*", metavar="QUEUE", help="only these")
    parser.add_argument(
        "--every", metavar="TIME", default=EVERY_DEFAULT, help=f"default {EVERY_DEFAULT}"
    )
    parser.add_argument("--once", action="store_true", help="one look, and end")


async def run(args: Namespace, console: Console) -> int:
    every_ms = to_ms(args.every, "--every")
    if every_ms < EVERY_MS_MIN:
        raise InvalidDuration("--every", args.every, f"it is shorter than {EVERY_MS_MIN}ms")
    async with opened(args) as session:
        watcher = Watcher(session, args.queue)
        glance = await watcher.look()
        if args.once:
            await asyncio.sleep(FIRST_RATES_AFTER_S)
            glance = await watcher.look()
            if console.as_json:
                console.encoded(encoded(glance))
            else:
                console.draw(laid_out(glance, console, None))
        elif console.as_json or console.width is None:
            await until_interrupted(_print_on(watcher, console, every_ms / 1_000))
        else:
            await until_interrupted(_draw_on(watcher, console, every_ms / 1_000))
    return Exit.OK


async def _print_on(watcher: Watcher, console: Console, every_s: float) -> None:
    """Look below look, for a file or a program."""
    while True:
        await asyncio.sleep(every_s)
        glance = await watcher.look()
        if console.as_json:
            console.encoded(encoded(glance))
        else:
            console.draw([*laid_out(glance, console, None), console.painted("")])
        console.flush()


async def _draw_on(watcher: Watcher, console: Console, every_s: float) -> None:
    """Look over look, on the whole terminal, until q or Ctrl-C."""
    quit_asked = asyncio.Event()
    glance = await watcher.look()
    with _whole_screen(console), _keys(quit_asked):
        lost = ""
        while not quit_asked.is_set():
            size = os.get_terminal_size(sys.stdout.fileno())
            console.width = size.columns
            lines = laid_out(glance, console, size.lines)
            blank = size.lines - len(lines) - 1
            foot = console.painted(Cell(lost, "bad") if lost else Cell("q quits", "dim"))
            console.screen([*lines, *[console.painted("")] * blank, foot])
            try:
                async with asyncio.timeout(every_s):
                    await quit_asked.wait()
            except TimeoutError:
                pass
            try:
                glance, lost = await watcher.look(), ""
            except StoreError as error:
                # The last look stays; the connection is made anew by the next.
                lost = str(error)


@contextmanager
def _whole_screen(console: Console) -> Iterator[None]:
    console.control(_ENTER)
    try:
        yield
    finally:
        console.control(_LEAVE)
        console.flush()


@contextmanager
def _keys(quit_asked: asyncio.Event) -> Iterator[None]:
    """Reads single keys where standard input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(keyboard)

    def pressed() -> None:
        if os.read(keyboard, 64).lower()[:1] in (b"q", b"\x1b", b""):
            quit_asked.set()

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, pressed)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


TOP = Command(
    usage="[QUEUE...]",
    about="""\
A live view of queues, running jobs and workers, drawn anew every second.

q or Ctrl-C ends it. Without a terminal it prints one look below the other.""",
    arguments=arguments,
    run=run,
    examples=[
        Example("streamq top", "everything"),
        Example("streamq top email report --every 5s", "two queues, calmly"),
        Example("streamq top --once --json", "one look, for a program"),
    ],
)
