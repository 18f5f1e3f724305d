"""What happens in all queues, gathered a moment at a time, and handed to whoever listens.

However many jobs a second end, a listener gets four small messages a second; however many listen,
each queue is followed once; and however slowly one reads, nobody else notices and nothing grows.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter, defaultdict, deque
from contextlib import suppress
from http import HTTPStatus
from typing import Final

import msgspec

from admin.errors import Refused
from streamq import App, Transition
from streamq.errors import StoreError

GATHER_S: Final = 0.25
"""Between two messages: sooner than a person sees."""
IDS_SHOWN_MAX: Final = 20
"""Of the jobs behind one change; `count` says how many there were."""
KEPT_MESSAGES: Final = 240
"""For whoever comes back: a minute of a busy system."""
BEHIND_MAX: Final = 64
"""Messages that wait for one listener; who is further behind is dropped, and comes back."""
LINGER_S: Final = 30.0
"""The queues are followed this long after the last listener left: a page that is loaded again
misses nothing."""
QUEUES_AGAIN_S: Final = 10.0
"""Between two looks for queues that were not there before."""
QUEUES_MAX: Final = 256
PAUSE_S: Final = 2.0
"""Before a queue is followed again whose Redis was away for too long."""

log = logging.getLogger("streamq.admin")


class Change(msgspec.Struct, frozen=True, rename="camel"):
    """Jobs of a queue that reached a state, or were `removed`; the ids of the first few."""

    queue: str
    state: str
    count: int
    ids: list[str]


class Message(msgspec.Struct, frozen=True):
    """What happened in one moment. `id` is where a listener that comes back goes on."""

    id: str
    at_ms: int
    changes: tuple[Change, ...]


class Listener:
    """One who listens; `next` gives None at the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.missed = False
        """What it came back for is not kept any more: it has to look at everything anew."""
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    async def next(self, limit_s: float) -> Message | None:
        """Raises TimeoutError after a while without news."""
        async with asyncio.timeout(limit_s):
            return await self._messages.get()

    def offer(self, message: Message) -> bool:
        """False for one who is too far behind: it is dropped."""
        if self._messages.qsize() >= BEHIND_MAX:
            self.end()
            return False
        self._messages.put_nowait(message)
        return True

    def end(self) -> None:
        """Nothing more comes, and what waits is forgotten."""
        while not self._messages.empty():
            self._messages.get_nowait()
        self._messages.put_nowait(None)


class Hub:
    """Follows the queues of an App for as long as anybody listens."""

    def __init__(self, app: App, *, each_max: int, all_max: int) -> None:
        """`each_max`: streams of one person; `all_max`: of all together."""
        self._app = app
        self._each_max, self._all_max = each_max, all_max
        self._listeners: set[Listener] = set()
        self._names: Counter[str] = Counter()
        self._pending: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._kept: deque[Message] = deque(maxlen=KEPT_MESSAGES)
        self._run = ""
        self._number = 0
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._gathering: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._left_at: float | None = None
        self._closed = False

    @property
    def followed(self) -> list[str]:
        """The queues that are followed now."""
        return sorted(self._followers)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    async def open(self, name: str, after: str = "") -> Listener:
        """A listener from now on, or after the message `after`; it has to `leave` at its end.

        Raises a Refused where too many listen, and StoreError: the queues cannot be followed now.
        """
        self._check_room(name)
        listener = Listener(name)
        self._names[name] += 1
        try:
            await self._started()
        except BaseException:
            self.leave(listener)
            raise
        self._catch_up(listener, after)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._names[listener.name] -= 1
        if not self._names[listener.name]:
            del self._names[listener.name]
        if not self._names:
            self._left_at = time.monotonic()

    def _check_room(self, name: str) -> None:
        if self._closed:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Shutting down", "Come back in a moment.")
        if self._names[name] >= self._each_max or self._names.total() >= self._all_max:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many event streams",
                f"At most {self._each_max} for each, {self._all_max} for all. Close some.",
                headers={"Retry-After": "5"},
            )

    def _catch_up(self, listener: Listener, after: str) -> None:
        if not after:
            return
        kept = [message.id for message in self._kept]
        if after in kept:
            for message in list(self._kept)[kept.index(after) + 1 :][-BEHIND_MAX:]:
                listener.offer(message)
        elif after != self._id_of(self._number):
            listener.missed = True

    # -- following

    async def _started(self) -> None:
        async with self._starting:
            if self._gathering is None:
                self._run, self._number = secrets.token_hex(4), 0
                self._kept.clear()
                try:
                    await self._follow_new()
                except BaseException:
                    self._stop_following()
                    raise
                self._gathering = asyncio.create_task(self._gather())

    async def _follow_new(self) -> None:
        """Follows the queues that are not yet followed, from where their events end now."""
        names = {*self._app.queue_names(), *await self._app.used_queues()}
        for name in sorted(names - self._followers.keys())[: QUEUES_MAX - len(self._followers)]:
            after = await self._app.queue(name).last_event()
            self._followers[name] = asyncio.create_task(self._follow(name, after))

    async def _follow(self, name: str, after: str | None) -> None:
        while True:
            try:
                async for transition in self._app.queue(name).follow(after=after):
                    self._take(name, transition)
            except StoreError as error:
                log.warning("events of queue %s: %s", name, error)
            await asyncio.sleep(PAUSE_S)
            # What happened meanwhile is not known: whoever listens begins anew.
            after = None
            self._end_all()

    def _take(self, name: str, transition: Transition) -> None:
        key = name, transition.state
        self._counts[key] += 1
        if len(self._pending[key]) < IDS_SHOWN_MAX:
            self._pending[key].append(transition.id)

    async def _gather(self) -> None:
        """Hands on what was gathered; ends with the last listener, some time after it left."""
        look_at = time.monotonic() + QUEUES_AGAIN_S
        while not self._is_over():
            await asyncio.sleep(GATHER_S)
            if self._counts:
                self._tell()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + QUEUES_AGAIN_S
                with suppress(StoreError):
                    await self._follow_new()
        self._stop_following()

    def _is_over(self) -> bool:
        if self._names or self._left_at is None:
            return False
        return time.monotonic() - self._left_at > LINGER_S

    def _tell(self) -> None:
        changes = tuple(
            Change(queue, state, count, self._pending[queue, state])
            for (queue, state), count in self._counts.items()
        )
        self._counts.clear()
        self._pending.clear()
        self._number += 1
        message = Message(self._id_of(self._number), time.time_ns() // 1_000_000, changes)
        self._kept.append(message)
        self._listeners = {each for each in self._listeners if each.offer(message)}

    def _id_of(self, number: int) -> str:
        return f"{self._run}-{number}"

    # -- ending

    def _end_all(self) -> None:
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()

    def _stop_following(self) -> None:
        for follower in self._followers.values():
            follower.cancel()
        self._followers.clear()
        self._counts.clear()
        self._pending.clear()
        self._gathering = None

    def end(self) -> None:
        """Ends every stream: the server is about to stop, and waits for them. Takes no new ones."""
        self._closed = True
        self._end_all()

    async def close(self) -> None:
        """Ends every stream, and closes the connections of those who follow."""
        self.end()
        gathering, followers = self._gathering, list(self._followers.values())
        self._stop_following()
        if gathering is not None:
            gathering.cancel()
            followers.append(gathering)
        await asyncio.gather(*followers, return_exceptions=True)
