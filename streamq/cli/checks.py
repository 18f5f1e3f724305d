"""What `streamq doctor` looks at: a finding for each thing, and what to do about it."""

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from streamq.cli.session import Session
from streamq.store.reads import ServerInfo


class Level(StrEnum):
    """How bad it is. A note is no trouble, but worth knowing."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """`do`: the command or the change that puts it right."""

    check: str
    level: Level
    said: str
    do: str = ""


class Patient(NamedTuple):
    """What is looked at. `fix`: put right what can be."""

    session: Session
    info: ServerInfo
    fix: bool


Check = Callable[[Patient], AsyncIterator[Finding]]
