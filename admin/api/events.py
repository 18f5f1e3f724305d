"""What happens, as it happens: server-sent events of all queues, or of one."""

import asyncio
import time
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from admin.api.paths import OneQueue
from admin.call import Call
from admin.hub import Change, Hub, Listener, Message

COMMENT_EVERY_S: Final = 15.0
"""Below the idle time-out of every proxy that we heard of; and so it shows who has gone."""
SEND_LIMIT_S: Final = 10.0
"""For a reader to take a message off its socket."""
STREAM_LIMIT_S: Final = 900.0
"""Then it ends, and its reader comes back: with a token that may be worth nothing by now."""
RETRY_MS: Final = 2_000
"""What a browser is told to wait before it comes back."""
AFTER_CHARS_MAX: Final = 64


class EventsQuery(msgspec.Struct, frozen=True):
    queue: OneQueue = ""
    after: Annotated[str, Meta(description="as the header Last-Event-ID")] = ""


class Happened(msgspec.Struct, frozen=True, rename="camel"):
    """The data of an event `jobs`."""

    at: int
    changes: list[Change]


class EventStream(Response):
    """Events until the reader leaves, is too slow, or the server stops."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, listener: Listener, *, queue: str) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub, self._listener, self._queue = hub, listener, queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        both: set[asyncio.Task[None]] = set()
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            )  # fmt: skip
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            both.add(asyncio.create_task(self._talk(self._listener, send)))
            both.add(asyncio.create_task(_until_gone(receive)))
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._listener)
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _talk(self, listener: Listener, send: Send) -> None:
        async def say(text: str, *, more: bool = True) -> None:
            # A reader that takes nothing off its socket holds us here, and no longer.
            async with asyncio.timeout(SEND_LIMIT_S):
                await send(
                    {"type": "http.response.body", "body": text.encode(), "more_body": more}
                )  # fmt: skip

        ends = time.monotonic() + STREAM_LIMIT_S
        word = "missed" if listener.missed else "ready"
        await say(f"retry: {RETRY_MS}\nevent: {word}\ndata: {{}}\n\n")
        while time.monotonic() < ends:
            try:
                message = await listener.next(COMMENT_EVERY_S)
            except TimeoutError:
                await say(": still here\n\n")
                continue
            if message is None:
                break
            if text := self._text_of(message):
                await say(text)
        await say("", more=False)

    def _text_of(self, message: Message) -> str:
        """The message as its reader wants it; nothing if it is of other queues alone."""
        changes = [c for c in message.changes if not self._queue or c.queue == self._queue]
        if not changes:
            return ""
        data = msgspec.json.encode(Happened(message.at_ms, changes)).decode()
        return f"id: {message.id}\nevent: jobs\ndata: {data}\n\n"


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def events(call: Call, query: EventsQuery) -> EventStream:
    if query.queue:
        await call.queue(query.queue)
    # An id that was never given out is one that is not kept: the reader is told to look anew.
    after = call.request.headers.get("last-event-id", query.after)[:AFTER_CHARS_MAX]
    who = call.who
    name = f"{who.via}:{who.name}" if who else ""
    hub = call.site.hub
    return EventStream(hub, await hub.open(name, after), queue=query.queue)
