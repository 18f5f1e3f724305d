"""The servers that an app brings to `streamq dev`: those that its setting `[dev] beside` names."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from streamq.brought import Beside, CannotBring, Fact, named

FOLDER: Final = ".streamq"
ENV_FILE: Final = ".streamq/dev.env"
"""Their variables, as long as they run: `set -a; . .streamq/dev.env` in another shell."""
SETTING: Final = "dev.beside"


@contextmanager
def brought(target: str | None) -> Iterator[Sequence[Fact]]:
    """Starts them, and ends them at the end; what they say of themselves.

    From then on the environment of this process has their variables. Call it in the main thread:
    servers may be bound to the thread that started them. Raises CannotBring, and what they raise.
    """
    if target is None:
        yield ()
        return
    servers = named(SETTING, target)(Path(FOLDER))
    if not isinstance(servers, AbstractContextManager):
        raise CannotBring(SETTING, target, "it gives no context manager")
    with servers as stood:
        if not isinstance(stood, Beside):
            raise CannotBring(SETTING, target, "its context manager gives no Beside")
        os.environ.update(stood.variables)
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in stood.variables.items()]
        with left(Path(ENV_FILE), "".join(lines)):
            yield stood.facts


@contextmanager
def left(path: Path, text: str) -> Iterator[None]:
    """A file for other commands in this folder, for as long as the block runs."""
    whole = path.with_name(f"{path.name}.new")
    whole.touch(mode=0o600)
    whole.write_text(text)
    whole.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
