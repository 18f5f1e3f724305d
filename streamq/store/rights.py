"""What each kind of process may do in Redis, as rules of its ACL: derived, not kept by hand.

Of scripts from their own text: commands inside a script are checked against its caller too, and one
refused half way would leave a torn write. Of plain commands from the lists below, which the tests
hold against what each role really asks for.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from importlib.resources import files
from typing import Final

from streamq.store.keys import admin_root, app_root, control_channel, queues_key
from streamq.store.scripts import script

MAJOR_OF_PERCENT_R: Final = 7
"""Older servers have no keys that can be read and not written."""

_COMMAND: Final = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?")
_CONTAINERS: Final = frozenset({"XGROUP", "XINFO", "SCRIPT", "CLIENT", "CLUSTER"})
"""Commands whose first argument says which command it is."""


class Role(StrEnum):
    """Who speaks to Redis."""

    PRODUCER = "producer"
    """Adds jobs, and waits for their results."""
    WORKER = "worker"
    """Runs jobs, whose handlers may add and operate; daemons; the metrics on their port."""
    ADMIN = "admin"
    """The admin, and operators at a command line."""
    EXPORTER = "exporter"
    """Reads what metrics and autoscalers are told."""


_CONNECTS: Final = (
    "auth", "hello", "ping", "select", "client|setname", "cluster|slots",
)  # fmt: skip
_CALLS_SCRIPTS: Final = ("evalsha", "script|load")
_AWAITS: Final = ("hget", "hmget", "zmscore", "xread", "xrevrange", "sadd", "smembers", "info")
_LOOKS: Final = (
    "hget", "hgetall", "hlen", "hmget", "info", "smembers", "time", "xinfo|groups", "xlen",
    "xpending", "xrange", "zcard", "zmscore", "zrange",
)  # fmt: skip
_LOOKS_CLOSELY: Final = (*_LOOKS, "hscan", "xread", "xrevrange", "zcount", "zscan", "sadd")
_KEEPS_VALUES: Final = (
    "del", "get", "getex", "hincrby", "hincrbyfloat", "hset", "incrby", "lrange", "ltrim",
    "pexpire", "pttl", "publish", "rpush", "scan", "set", "xadd", "xrevrange",
)  # fmt: skip
_WAITS_FOR_WORK: Final = ("blpop", "subscribe", "unsubscribe")

PLAIN: Final[dict[Role, tuple[str, ...]]] = {
    Role.PRODUCER: (*_CALLS_SCRIPTS, *_AWAITS),
    Role.WORKER: (*_CALLS_SCRIPTS, *_LOOKS_CLOSELY, *_KEEPS_VALUES, *_WAITS_FOR_WORK),
    # The doctor asks which commands the server knows.
    Role.ADMIN: (*_CALLS_SCRIPTS, *_LOOKS_CLOSELY, *_KEEPS_VALUES, "command|info"),
    Role.EXPORTER: _LOOKS,
}

_ALL_SCRIPTS: Final = "*"
SCRIPTS: Final[dict[Role, tuple[str, ...]]] = {
    Role.PRODUCER: ("add",),
    # A handler may do what an operator does.
    Role.WORKER: (_ALL_SCRIPTS,),
    Role.ADMIN: (
        "add", "cancel", "change", "clean", "drain", "hold", "limit", "promote", "reap", "remove",
        "repair", "retry", "slot", "unpark",
    ),
    Role.EXPORTER: (),
}  # fmt: skip

SHARED_ROOTS: Final = ("sess:",)
"""Where the sessions of the admin lie, beside those of other programs."""


def rules_of(role: Role, prefix: str, *, major: int) -> list[str]:
    """The rules of one role, in the order in which they are to be set; no password among them.

    `major`: the server's version, 6 (6.2) or later.
    """
    commands = sorted({*_CONNECTS, *PLAIN[role], *_commands_of(SCRIPTS[role])})
    return [
        "reset",
        "on",
        *_keys(role, prefix, major),
        "resetchannels",
        *_channels(role, prefix),
        "-@all",
        *(f"+{command}" for command in commands),
    ]


def _keys(role: Role, prefix: str, major: int) -> list[str]:
    # The hash tag of a queue: no other key of a prefix begins so. A brace means itself in a glob.
    roots = [f"{prefix}:{{", app_root(prefix).decode()]
    if role is Role.PRODUCER:
        roots = roots[:1]
    if role is Role.ADMIN:
        roots += [admin_root(prefix).decode(), *SHARED_ROOTS]
    patterns = [queues_key(prefix).decode(), *(f"{root}*" for root in roots)]
    may = "%R~" if role is Role.EXPORTER and major >= MAJOR_OF_PERCENT_R else "~"
    return [may + pattern for pattern in patterns]


def _channels(role: Role, prefix: str) -> list[str]:
    if role not in (Role.WORKER, Role.ADMIN):
        return []
    roots = [f"{prefix}:{{", app_root(prefix).decode()]
    if role is Role.ADMIN:
        roots.append(admin_root(prefix).decode())
    return [f"&{control_channel(prefix).decode()}", *(f"&{root}*" for root in roots)]


def _commands_of(names: Iterable[str]) -> set[str]:
    """What these scripts call, as rules name it."""
    found = set()
    for name in names:
        for each in script_names() if name == _ALL_SCRIPTS else [name]:
            for command, first in _COMMAND.findall(script(each).source.decode()):
                found.add(f"{command}|{first}" if command in _CONTAINERS else command)
    return {command.lower() for command in found}


def script_names() -> list[str]:
    """All scripts there are, sorted."""
    folder = files("streamq.store") / "scripts"
    return sorted(
        each.name.removesuffix(".lua") for each in folder.iterdir() if each.name.endswith(".lua")
    )
