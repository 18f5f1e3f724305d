"""What an application brings beside its handlers, named in its settings as `module:function`.

`[dev] beside`: servers that `streamq dev` is to start. `[web] links`: links that `streamq web` is
to open, as in mails. Neither the engine nor the admin imports an application: it is looked up when
it is needed.
"""

import pkgutil
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from streamq.errors import ConfigError

Fact = tuple[str, str]
"""A label, and what stands behind it: a line of what `streamq dev` prints."""


class Beside(msgspec.Struct, frozen=True):
    """Servers that run now. The function of `[dev] beside` takes a folder that is kept, and gives a
    context manager of this: they end with it."""

    variables: Mapping[str, str]
    """For the environment of all that is started after them."""
    facts: tuple[Fact, ...]


class Links(msgspec.Struct, frozen=True):
    """Links that lead elsewhere. The function of `[web] links` takes the App, and gives an async
    context manager of this.

    Whoever has a link may open it: what stands behind `path` must not be guessable.
    """

    path: str
    """With a slash at both ends; one part follows, which is handed to `leads_to`."""
    leads_to: Callable[[str], Awaitable[str | None]]
    """The URL to go to; None: nowhere. Raises OSError if that cannot be told now."""
    nowhere: str
    """What whoever opened it reads then."""


class CannotBring(ConfigError):
    """What a setting names is not there, or is something else."""

    def __init__(self, setting: str, target: str, why: str) -> None:
        self.setting, self.target, self.why = setting, target, why
        super().__init__(f"Setting {setting} names {target}, which cannot be used: {why}")


def named(setting: str, target: str) -> Callable[..., object]:
    """The function that a setting names; the app is imported by then. Raises CannotBring."""
    try:
        found: object = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise CannotBring(setting, target, f"{type(error).__name__}: {error}") from error
    if not callable(found):
        raise CannotBring(setting, target, f"it is a {type(found).__name__}, no function")
    return found
