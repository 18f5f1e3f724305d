"""A verb as the frame knows it: what it takes, what it does, how its help reads.

A package adds verbs of its own by the entry point group `streamq.verbs`: name = a `Command`.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Coroutine, Sequence
from enum import IntEnum
from typing import NamedTuple

from streamq.cli.console import Console


class Exit(IntEnum):
    """What the command line ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_REDIS = 3
    NO_APP = 4
    JOB_FAILED = 5
    ABANDONED = 6
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class Example(NamedTuple):
    command: str
    says: str


class Command(NamedTuple):
    """`arguments` adds what the verb takes; `run` does it, and gives the exit code."""

    usage: str
    """Its arguments as they stand behind the verb, without the options."""
    about: str
    """What it does; its first paragraph is one sentence."""
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Console], Coroutine[object, object, int] | int]
    examples: Sequence[Example] = ()
    wants_redis: bool = True
    """Takes the options that say where Redis is."""
    wants_json: bool = True
    """Takes --json."""
