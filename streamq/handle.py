"""A handle: a handler as the application holds it, to add jobs for it with a checked payload."""

from collections.abc import Callable
from typing import Generic, TypeVar, Unpack, get_type_hints

from streamq import blocking
from streamq.added import Added, unpacked
from streamq.adding import AddOptions, NewJob
from streamq.errors import InvalidInput, UnfitPayloadType, UnknownJobName
from streamq.handlers import Handler
from streamq.payload import codec_of
from streamq.queue import Queue

P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Handle(Generic[P_contra, R_co]):
    """What `@app.job` makes of a function: called, it is still that function."""

    def __init__(
        self, queue: Queue, handler: Handler, function: Callable[..., object], kind: type[R_co]
    ) -> None:
        self.queue = queue
        self.handler = handler
        self.function = function
        self._kind = kind
        # As of the function that it stands for, for whoever reads names and documents.
        self.__name__ = str(getattr(function, "__name__", handler.name))
        self.__qualname__ = str(getattr(function, "__qualname__", self.__name__))
        self.__module__ = str(getattr(function, "__module__", __name__))
        self.__doc__ = getattr(function, "__doc__", None)
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"Handle({self.handler.queue}/{self.handler.name})"

    def __call__(self, *args: object) -> object:
        """Calls the function itself, here and now."""
        return self.function(*args)

    @property
    def name(self) -> str:
        """The job's name, or a pattern such as `sync-*`."""
        return self.handler.name

    async def add(
        self, data: P_contra, *, name: str | None = None, **options: Unpack[AddOptions]
    ) -> Added[R_co]:
        """Adds a job for this handler; see `Queue.add`. `name`: for a handler of a pattern."""
        wanted = self._named(name)
        return await self.queue.add_on(
            self.queue.terms(wanted), NewJob(wanted, data, **options), self._kind
        )

    def add_sync(
        self, data: P_contra, *, name: str | None = None, **options: Unpack[AddOptions]
    ) -> Added[R_co]:
        """`add` for code without an event loop. Raises SyncInLoop where one runs."""
        return blocking.run(
            lambda: self.add(data, name=name, **options), called="add_sync", instead="add"
        )

    def new(
        self, data: P_contra, *, name: str | None = None, **options: Unpack[AddOptions]
    ) -> NewJob:
        """A job for `Queue.add_many`."""
        return NewJob(self._named(name), data, **options)

    def unpacked(self, result: bytes | None) -> R_co:
        """A packed result as what the handler says that it returns."""
        return unpacked(result, self._kind)

    def _named(self, name: str | None) -> str:
        own = self.handler.name
        if not own.endswith("*"):
            if name is not None and name != own:
                raise UnknownJobName(self.handler.queue, name, [own])
            return own
        if name is None:
            raise InvalidInput(f"{self!r} takes many names: say which one,  add(data, name=...)")
        if not name.startswith(own[:-1]):
            raise UnknownJobName(self.handler.queue, name, [own])
        return name


def result_kind(function: Callable[..., object]) -> type:
    """The type that a handler's annotation says it returns, if stored bytes can become it."""
    kind = get_type_hints(function).get("return", object)
    try:
        codec_of(kind)
    except UnfitPayloadType:
        return object
    found: type = kind
    return found
