"""The bare script: the same work on redis-py with hiredis and uvloop, and nothing around it.

No records, no leases, no retries, no limits, no counters: what a job costs if nothing is promised
but that it is handed out. It is the practical limit for any queue on Redis Streams in Python.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import redis.asyncio
from redis.exceptions import ResponseError

from benchmarks.figures import Side

STREAM: Final = b"bare:stream"
DELAYED: Final = b"bare:delayed"
GROUP: Final = "workers"
FIELD: Final = b"d"
CALL_JOBS: Final = 1_000  # of one pipeline of adds: as many as streamq sends in a call
BLOCK_MS: Final = 60_000
CALLERS: Final = 100

Client = redis.asyncio.Redis
Handle = Callable[[bytes], Awaitable[None]]
Entries = Sequence[tuple[bytes, dict[bytes, bytes]]]


def connected(url: str) -> Client:
    """A script's client; without the library's time-out, which would end blocking reads."""
    client: Client = redis.asyncio.Redis.from_url(url, socket_timeout=None)
    return client


# -- adding


async def add_many(client: Client, payloads: Sequence[bytes]) -> None:
    """XADD in pipelines of CALL_JOBS."""
    for first in range(0, len(payloads), CALL_JOBS):
        pipeline = client.pipeline(transaction=False)
        for payload in payloads[first : first + CALL_JOBS]:
            pipeline.xadd(STREAM, {FIELD: payload})
        await pipeline.execute()


async def add(client: Client, payload: bytes) -> None:
    await client.xadd(STREAM, {FIELD: payload})


async def add_delayed(client: Client, payload: bytes, due_ms: int) -> None:
    await client.zadd(DELAYED, {payload: due_ms})


# -- working


class BareWorker:
    """Reads up to `slots` entries, runs their handlers, acknowledges and deletes them; again.

    `side` LIMIT: the handlers of a batch run at a time, each as a task of its own, then XACK and
    XDEL go out in one pipeline. LIMIT_SERIAL: they are awaited one after another. LIMIT_ONE_TRIP:
    the next XREADGROUP rides in that pipeline.
    """

    def __init__(self, url: str, handle: Handle, *, side: Side, slots: int, name: str) -> None:
        self._client = connected(url)
        self._handle = handle
        self._one_by_one = side is Side.LIMIT_SERIAL
        self._one_trip = side is Side.LIMIT_ONE_TRIP
        self._slots = slots
        self._name = name
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        try:
            await self._client.xgroup_create(STREAM, GROUP, "0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # else another process made it
                raise

    def go(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        await _end(self._running)
        await self._client.aclose()

    async def _run(self) -> None:
        entries = await self._read()
        while True:
            await self._handled(entries)
            entries = await self._settle_and_read([entry for entry, _ in entries])

    async def _read(self) -> Entries:
        while True:
            said = await self._client.xreadgroup(
                GROUP, self._name, {STREAM: ">"}, count=self._slots, block=BLOCK_MS
            )
            if said:
                return _entries_of(said)

    async def _handled(self, entries: Entries) -> None:
        if self._one_by_one:
            for _, fields in entries:
                await self._handle(fields[FIELD])
        else:
            await asyncio.gather(*[self._handle(fields[FIELD]) for _, fields in entries])

    async def _settle_and_read(self, ids: list[bytes]) -> Entries:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xack(STREAM, GROUP, *ids)
        pipeline.xdel(STREAM, *ids)
        if not self._one_trip:
            await pipeline.execute()
            return await self._read()
        pipeline.xreadgroup(GROUP, self._name, {STREAM: ">"}, count=self._slots, block=BLOCK_MS)
        said = (await pipeline.execute())[2]
        return _entries_of(said) if said else await self._read()


class BareTimer:
    """Delayed jobs as a script would do them: sleep until the first of a sorted set, pop it."""

    def __init__(self, url: str, handle: Handle) -> None:
        self._client = connected(url)
        self._handle = handle
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._client.ping()

    def go(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        await _end(self._running)
        await self._client.aclose()

    async def _run(self) -> None:
        while first := await self._client.zrange(DELAYED, 0, 0, withscores=True):
            due_s = float(first[0][1]) / 1000
            await asyncio.sleep(max(0.0, due_s - time.time()))
            if time.time() < due_s:
                continue  # the loop's timers are of whole milliseconds, and may end early
            for member in await self._client.zpopmin(DELAYED):
                payload = member[0]
                assert isinstance(payload, bytes)
                await self._handle(payload)


async def _end(running: asyncio.Task[None] | None) -> None:
    if running is None:
        return
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def _entries_of(said: object) -> Entries:
    """The entries of one stream's reply, in either version of the protocol."""
    if isinstance(said, dict):
        (batches,) = said.values()
        entries: Entries = batches[0]
        return entries
    assert isinstance(said, list)
    found: Entries = said[0][1]
    return found
