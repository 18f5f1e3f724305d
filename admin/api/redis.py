"""Redis as an operator wants to know it: does it answer, how soon, what is it."""

import time
from typing import Annotated

import msgspec
from msgspec import Meta

from admin.api.reading import away, patiently
from admin.call import Call
from streamq import App, ServerInfo
from streamq.errors import StoreError

UNKNOWN = "unknown"


class RedisHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """`latency` if it answers, `error` if not."""

    status: str
    latency: Annotated[int, Meta(description="ms, of one round trip")] | None = None
    error: str | None = None


class RedisInfo(msgspec.Struct, frozen=True, rename="camel"):
    connected: bool
    mode: str
    version: str
    used_memory: Annotated[int, Meta(description="bytes")] = 0
    connected_clients: int = 0
    uptime: Annotated[int, Meta(description="seconds")] = 0
    server: str = UNKNOWN
    max_memory: Annotated[int, Meta(description="bytes; 0: no limit")] = 0
    max_memory_policy: str = UNKNOWN
    evicted_keys: int = 0
    role: str = UNKNOWN
    append_only: bool = False


class RedisShown(msgspec.Struct, frozen=True):
    health: RedisHealth
    info: RedisInfo


async def redis(call: Call) -> RedisShown:
    try:
        health = await pinged(call.app)
        server = await patiently(call.app.server())
    except StoreError as error:
        return RedisShown(unhealthy(error), RedisInfo(False, UNKNOWN, UNKNOWN))
    return RedisShown(health, _info(server))


async def pinged(app: App) -> RedisHealth:
    """Raises StoreError if it does not answer in time."""
    await patiently(app.ping())  # the first call may have to connect: that is not its latency
    began = time.monotonic()
    await patiently(app.ping())
    return RedisHealth("healthy", latency=round((time.monotonic() - began) * 1_000))


def unhealthy(error: StoreError) -> RedisHealth:
    return RedisHealth("unhealthy", error=away(error))


def _info(server: ServerInfo) -> RedisInfo:
    return RedisInfo(
        connected=True,
        mode=server.mode,
        version=server.version,
        used_memory=server.used_memory,
        connected_clients=server.connected_clients,
        uptime=server.uptime_s,
        server=server.server,
        max_memory=server.maxmemory,
        max_memory_policy=server.maxmemory_policy,
        evicted_keys=server.evicted_keys,
        role=server.role,
        append_only=server.aof_enabled,
    )
