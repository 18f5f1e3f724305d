"""Handlers: which function runs a job, found by queue and name; and the payload type it takes.

A name is exact (`send-email`), a pattern with one star at its end (`sync-*`), or the queue's
default (`*`). The nearest wins: exact, then the longest pattern. Hands `execute` a `Handler`.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import get_type_hints

import msgspec

from streamq.backoff import Backoff
from streamq.durations import Ms
from streamq.errors import DuplicateHandler, InvalidName, NoHandler
from streamq.payload import Codec, codec_of

PATTERN = re.compile(r"[A-Za-z0-9._-]{0,63}\*|[A-Za-z0-9._-]{1,64}")


class Handler(msgspec.Struct, frozen=True):
    """A registered function and what holds for its jobs, unless the job itself says otherwise.

    `function` takes the payload, and the `Context` if it has a second parameter. `codec` reads the
    payload as the type of the first parameter (`object`: any). None: the queue's value holds.
    """

    queue: str
    name: str
    function: Callable[..., object]
    codec: Codec[object]
    coroutine: Callable[..., Awaitable[object]] | None
    """`function`, if it is async; a plain one runs in a thread."""
    takes_context: bool
    attempts: int | None = None
    backoff: Backoff | None = None
    priority: int | None = None
    timeout_ms: Ms | None = None
    payload_limit_bytes: int | None = None
    keep: bool | None = None
    planner: bool = False
    """Of a schedule: nobody else adds jobs for it."""

    @property
    def label(self) -> str:
        """Its name in counters: bounded by what is registered, whatever names jobs have."""
        return self.name


class Registry:
    """All handlers of an App."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._patterns: dict[str, list[Handler]] = {}
        self._own: dict[str, Callable[[str], Handler]] = {}
        self._own_made: dict[tuple[str, str], Handler] = {}

    def know(self, name: str, handler_of: Callable[[str], Handler]) -> None:
        """The engine's own handler by that name, for every queue; it is in no list."""
        self._own[name] = handler_of

    def register(self, handler: Handler) -> None:
        """Raises DuplicateHandler: two for one name is a mistake that would show at random."""
        if not PATTERN.fullmatch(handler.name):
            raise InvalidName("job", handler.name)
        exact = self._exact.setdefault(handler.queue, {})
        patterns = self._patterns.setdefault(handler.queue, [])
        for known in (*exact.values(), *patterns):
            if known.name == handler.name:
                raise DuplicateHandler(
                    handler.queue, handler.name, _where(known.function), _where(handler.function)
                )
        if handler.name.endswith("*"):
            patterns.append(handler)
            patterns.sort(key=lambda h: -len(h.name))
        else:
            exact[handler.name] = handler

    def find(self, queue: str, name: str) -> Handler | None:
        """The handler of a job, or None if nobody here knows the name."""
        found = self._exact.get(queue, {}).get(name)
        if found is not None:
            return found
        if name in self._own:
            if (queue, name) not in self._own_made:
                self._own_made[queue, name] = self._own[name](queue)
            return self._own_made[queue, name]
        for handler in self._patterns.get(queue, ()):
            if name.startswith(handler.name[:-1]):
                return handler
        return None

    def names(self, queue: str, *, planners: bool = True) -> list[str]:
        """The registered names and patterns of a queue, sorted; `planners`: with schedules' own."""
        found = (*self._exact.get(queue, {}).values(), *self._patterns.get(queue, ()))
        return sorted(h.name for h in found if planners or not h.planner)

    def queues(self) -> list[str]:
        """The queues that have a handler, sorted."""
        return sorted(q for q in self._exact if self.names(q))

    def missing(self, queue: str, name: str) -> NoHandler:
        """The error for a name that nobody knows, with the nearest one that somebody does."""
        return NoHandler(queue, name, self.names(queue))


def known_by(names: Iterable[str], name: str) -> bool:
    """Whether a worker that listed these names and patterns runs jobs of that name."""
    return any(n == name or (n.endswith("*") and name.startswith(n[:-1])) for n in names)


def handler_of(
    function: Callable[..., object],
    queue: str,
    name: str | None,
    *,
    attempts: int | None = None,
    backoff: Backoff | None = None,
    priority: int | None = None,
    timeout_ms: Ms | None = None,
    payload_limit_bytes: int | None = None,
    keep: bool | None = None,
    planner: bool = False,
) -> Handler:
    """A Handler from a function; its job name is the function's unless given.

    The payload type is the annotation of the first parameter; without one any data is taken.
    Raises TypeError for a function that cannot take a payload.
    """
    parameters = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    label = getattr(function, "__qualname__", repr(function))
    if not 1 <= len(parameters) <= 2:
        raise TypeError(
            f"{label} is to take the payload, and the Context if it wants it:"
            f"  def {getattr(function, '__name__', 'handler')}(data, job)"
        )
    hints: Mapping[str, object] = get_type_hints(function)
    kind = hints.get(parameters[0].name, object)
    return Handler(
        queue=queue,
        name=name or str(getattr(function, "__name__", "")),
        function=function,
        codec=codec_of(kind),
        coroutine=function if inspect.iscoroutinefunction(function) else None,
        takes_context=len(parameters) == 2,
        attempts=attempts,
        backoff=backoff,
        priority=priority,
        timeout_ms=timeout_ms,
        payload_limit_bytes=payload_limit_bytes,
        keep=keep,
        planner=planner,
    )


def _where(function: Callable[..., object]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
