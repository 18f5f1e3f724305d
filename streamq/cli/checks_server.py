"""Is this Redis fit for jobs? Needs no right but INFO, COMMAND, TIME and PING."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from statistics import median
from typing import Final

from streamq.cli.checks import Check, Finding, Level, Patient
from streamq.cli.times import length
from streamq.errors import EvictingPolicy, RedisTooOld
from streamq.errors.wording import show_bytes
from streamq.store.client import Arg, Redis, Reply

TESTED: Final = ("redis 6.2.14", "redis 7.0.15", "valkey 9.1.2")
OLDEST: Final[Mapping[str, tuple[int, ...]]] = {"redis": (6, 2), "valkey": (7, 2)}

# A hole in Lua (CVE-2025-49844) is closed from these on; of other lines nothing is known here.
LUA_SAFE_FROM: Final[Mapping[tuple[str, int, int], tuple[int, ...]]] = {
    ("redis", 6, 2): (6, 2, 20),
    ("redis", 7, 2): (7, 2, 11),
    ("redis", 7, 4): (7, 4, 6),
    ("redis", 8, 0): (8, 0, 4),
    ("redis", 8, 2): (8, 2, 2),
}
# What Python itself sends, beside what the scripts call.
OWN_COMMANDS: Final = ("EVALSHA", "SCRIPT", "BLPOP", "XREAD", "SUBSCRIBE", "PUBLISH")

PINGS: Final = 20
SLOW_MS: Final = 10.0
"""Of a PING: each turn of a worker is one round trip."""
CLOCKS_APART_MS: Final = 1_000
MEMORY_FULL_SHARE: Final = 0.8


async def version(patient: Patient) -> AsyncIterator[Finding]:
    info = patient.info
    numbers = tuple(int(n) for n in re.findall(r"\d+", info.version)[:3])
    said = f"{info.server} {info.version}, {info.mode}"
    missing = await _missing_commands(patient.session.redis)
    if missing or (numbers and numbers < OLDEST.get(info.server, (0,))):
        lacks = f" It lacks {', '.join(missing)}." if missing else ""
        error = RedisTooOld(info.version, info.server.capitalize())
        yield Finding("version", Level.ERROR, f"{error}{lacks}", "use a newer server")
        return
    safe = LUA_SAFE_FROM.get((info.server, *numbers[:2])) if len(numbers) == 3 else None
    if safe and numbers < safe:
        fixed = ".".join(map(str, safe))
        yield Finding(
            "version",
            Level.WARNING,
            f"{said}: who may run scripts can take this server over (CVE-2025-49844)",
            f"update it to {fixed} or newer",
        )
    elif f"{info.server} {info.version}" in TESTED:
        yield Finding("version", Level.OK, f"{said} (one of those that streamq is tested on)")
    else:
        yield Finding(
            "version", Level.OK, f"{said} (expected to work; tested: {', '.join(TESTED)})"
        )


async def _missing_commands(redis: Redis) -> list[str]:
    """Of all that the scripts and we call, what this server does not know: asked, not guessed."""
    folder = files("streamq.store") / "scripts"
    scripts = [f for f in (*folder.iterdir(), *(folder / "lib").iterdir()) if f.name[-4:] == ".lua"]
    called = {
        name
        for script in scripts
        for name in re.findall(r"redis\.p?call\('([A-Z]+)'", script.read_text("utf-8"))
    }
    wanted = sorted(called | {*OWN_COMMANDS})
    answers = await _ask(redis, "COMMAND", "INFO", *wanted)
    return [name for name, answer in zip(wanted, answers, strict=True) if not answer]


async def role(patient: Patient) -> AsyncIterator[Finding]:
    if patient.info.role not in ("master", "?"):
        yield Finding(
            "role",
            Level.ERROR,
            f"this server is a {patient.info.role}: it refuses to write",
            "name the primary, or let sentinels find it: redis+sentinel://host,host/master/0",
        )


async def eviction(patient: Patient) -> AsyncIterator[Finding]:
    info = patient.info
    if info.maxmemory_policy not in ("noeviction", "?"):
        yield Finding("eviction", Level.ERROR, str(EvictingPolicy(info.maxmemory_policy)))
    elif info.evicted_keys:
        yield Finding(
            "eviction",
            Level.WARNING,
            f"{info.evicted_keys:,} keys were evicted since it started, jobs perhaps among them",
            "streamq doctor --fix  puts right what they tore",
        )
    else:
        yield Finding("eviction", Level.OK, f"maxmemory-policy is {info.maxmemory_policy}")


async def memory(patient: Patient) -> AsyncIterator[Finding]:
    info = patient.info
    used = show_bytes(info.used_memory)
    if not info.maxmemory:
        yield Finding("memory", Level.OK, f"{used} used, no limit set")
        return
    share = info.used_memory / info.maxmemory
    said = f"{used} of {show_bytes(info.maxmemory)} used ({share:.0%})"
    if share > MEMORY_FULL_SHARE:
        yield Finding(
            "memory",
            Level.WARNING,
            f"{said}: once it is full, adds fail and workers go on",
            "raise maxmemory, or keep less: keep_completed, keep_failed, streamq clean",
        )
    else:
        yield Finding("memory", Level.OK, said)


async def persistence(patient: Patient) -> AsyncIterator[Finding]:
    if patient.info.aof_enabled:
        yield Finding("persistence", Level.OK, "the append-only file is on")
    else:
        yield Finding(
            "persistence",
            Level.WARNING,
            "no append-only file: a crash of Redis loses all jobs since its last snapshot",
            "redis-cli config set appendonly yes, and in redis.conf (a managed Redis: its console)",
        )


async def latency(patient: Patient) -> AsyncIterator[Finding]:
    taken = []
    for _ in range(PINGS):
        began = time.monotonic()
        await _ask(patient.session.redis, "PING")
        taken.append((time.monotonic() - began) * 1_000)
    said = f"{length(median(taken))} a round trip (of {PINGS}; the slowest {length(max(taken))})"
    if median(taken) > SLOW_MS:
        yield Finding(
            "latency", Level.WARNING, said, "put workers near Redis: each turn is one round trip"
        )
    else:
        yield Finding("latency", Level.OK, said)


async def clock(patient: Patient) -> AsyncIterator[Finding]:
    before = time.time()
    seconds, micros = await _ask(patient.session.redis, "TIME")
    here_ms = (before + time.time()) / 2 * 1_000
    apart_ms = abs(int(seconds) * 1_000 + int(micros) / 1_000 - here_ms)
    if apart_ms > CLOCKS_APART_MS:
        yield Finding(
            "clock",
            Level.WARNING,
            f"Redis's clock and this machine's are {length(apart_ms)} apart; jobs go by Redis's",
            "set both by NTP: times given with --at, and those in logs, are this machine's",
        )
    else:
        apart = "within a millisecond of" if apart_ms < 1 else f"{length(apart_ms)} from"
        yield Finding("clock", Level.OK, f"Redis's is {apart} this machine's")


async def _ask(redis: Redis, *command: Arg) -> Reply:
    return await redis.wire("scripts", b"").call(str(command[0]), command)


CHECKS: Final[tuple[Check, ...]] = (
    version,
    role,
    eviction,
    memory,
    persistence,
    latency,
    clock,
)
