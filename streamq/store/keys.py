"""Every key name that streamq uses, and the version of their layout. Nobody else builds a key name.

All keys of a queue carry the hash tag `{queue}`: a queue lives in one slot of a Redis Cluster.
"""

import re

import msgspec

from streamq.errors import InvalidName
from streamq.job import LINES

LAYOUT = 1
"""Version of what stands in the keys of a queue; `meta` holds it. Raised when an older program
would misread what a newer one wrote."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
ID = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")
PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")

GROUP = "workers"  # the one consumer group of every line

# The table of a queue's keys. `wait` stands for the twelve lines (see job.LINES).
TABLE: dict[str, str] = {
    "jobs": "hash",
    "runs": "hash",
    "leases": "hash",
    "delayed": "zset",
    "completed": "zset",
    "failed": "zset",
    "parked": "zset",
    "stalls": "hash",
    "cancels": "hash",
    "workers": "hash",
    "turns": "hash",
    "adds": "hash",
    "wake": "list",
    "wake0": "list",
    "meta": "hash",
    "stats": "hash",
    "minutes": "stream",
    "hours": "stream",
    "events": "stream",
    "logs": "hash",
    "schedules": "hash",
    "rows": "hash",
    "wait": "stream",
}

_SPELLED = {
    "wake0": "wake:0",
    "minutes": "history:minutes",
    "hours": "history:hours",
    "rows": "schedules:rows",
}


def line_name(line: str) -> str:
    """The name of a line as people read it: 0, 1 to 10, alone."""
    number = ord(line) - 48
    return "alone" if number > 10 else str(number)


class Keys(msgspec.Struct, frozen=True):
    """The keys of one queue, by the names of `TABLE`; a line of `wait` by its sign."""

    prefix: str
    queue: str
    names: dict[str, bytes]
    lines: dict[str, bytes]
    cancels_channel: bytes

    def all(self) -> list[bytes]:
        return [*self.names.values(), *self.lines.values()]


def keys_of(prefix: str, queue: str) -> Keys:
    """The keys of `queue`. Raises InvalidName: a name could otherwise forge a key or a slot."""
    if not isinstance(queue, str) or not NAME.fullmatch(queue):
        raise InvalidName("queue", queue)
    if not PREFIX.fullmatch(prefix):
        raise InvalidName("prefix", prefix)
    stem = f"{prefix}:{{{queue}}}:"
    return Keys(
        prefix=prefix,
        queue=queue,
        names={n: f"{stem}{_SPELLED.get(n, n)}".encode() for n in TABLE if n != "wait"},
        lines={line: f"{stem}wait:{line_name(line)}".encode() for line in LINES},
        cancels_channel=f"{stem}cancel".encode(),
    )


def queues_key(prefix: str) -> bytes:
    """The set of queues that were ever registered or added to."""
    return f"{prefix}:queues".encode()


def control_channel(prefix: str) -> bytes:
    """Where operators' words to single workers are published; every daemon listens."""
    return f"{prefix}:control".encode()


def app_root(prefix: str) -> bytes:
    """What the keys of the application's own values begin with."""
    return f"{prefix}:app:".encode()


def admin_root(prefix: str) -> bytes:
    """What the keys of the admin begin with: tokens, throttles, the audit."""
    return f"{prefix}:admin:".encode()


SHARED_ROOT = re.compile(r"[A-Za-z0-9._-]{1,32}:")


def shared_root(prefix: str, root: str) -> bytes:
    """The start of keys that other programs have too, such as `sess:`.

    Raises InvalidName: for one that could be the start of our own keys.
    """
    if not SHARED_ROOT.fullmatch(root) or f"{prefix}:".startswith(root):
        raise InvalidName("prefix", root)
    return root.encode()


def value_key(root: bytes, name: str) -> bytes:
    """The key of one value below a root. Raises InvalidName: it could else forge another's."""
    if not ID.fullmatch(name):
        raise InvalidName("id", name)
    return root + name.encode()
