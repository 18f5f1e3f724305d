"""The walk of `repair` through a queue: page by page, until every key was looked at once."""

from collections.abc import AsyncIterator

import msgspec

from streamq.job import LINES
from streamq.store import transitions
from streamq.store.client import Arg, Reply
from streamq.store.scripts import Link

PAGE = 200  # items of one call of `repair`
PAGES_MAX = 100_000  # of one walk: twenty million jobs


class Mended(msgspec.Struct, frozen=True):
    """What one walk put right, by what it looked at: ids, or names of lines."""

    by_key: dict[str, list[str]]

    @property
    def total(self) -> int:
        return sum(len(ids) for ids in self.by_key.values())


async def _ask(at: Link, *command: Arg) -> Reply:
    return await at.wire.call(f"walk of queue {at.queue}", command)


async def _scan(at: Link, command: str, key: bytes) -> AsyncIterator[list[bytes]]:
    """Pages of a hash (fields and values) or a sorted set (members and scores)."""
    cursor = b"0"
    for _ in range(PAGES_MAX):
        cursor, flat = await _ask(at, command, key, cursor, "COUNT", PAGE)
        # A page may be larger than asked for.
        for first in range(0, len(flat), PAGE * 2):
            yield flat[first : first + PAGE * 2]
        if cursor == b"0":
            return


async def _walk_lines(at: Link, mended: dict[str, list[str]]) -> set[bytes]:
    """Looks at every entry; the ids that some entry holds."""
    held: set[bytes] = set()
    for sign in LINES:
        start = "-"
        for _ in range(PAGES_MAX):
            key = at.keys.lines[sign]
            entries = await _ask(at, "XRANGE", key, start, "+", "COUNT", PAGE)
            if not entries:
                break
            items: list[Arg] = []
            for entry, fields in entries:
                items += (entry, fields[1])
                held.add(fields[1][7:])
            mended["lines"] += await transitions.repair(at, "line", items, line=sign, width=2)
            start = f"({entries[-1][0].decode()}"
    return held


async def repair_queue(at: Link) -> Mended:
    """Puts right what torn scripts or foreign hands left in a queue; safe while it is in use.

    Groups first, then entries against tickets and leases, leases against entries, indexes against
    records, and last the records that stand nowhere: those wait again.
    """
    k = at.keys.names
    mended: dict[str, list[str]] = {"lines": [], "leases": [], "indexes": [], "jobs": []}
    mended["groups"] = await transitions.repair(at, "groups")
    held = await _walk_lines(at, mended)
    async for flat in _scan(at, "HSCAN", k["leases"]):
        mended["leases"] += await transitions.repair(at, "leases", flat, width=2)
    for state in ("delayed", "completed", "failed", "parked"):
        async for flat in _scan(at, "ZSCAN", k[state]):
            mended["indexes"] += await transitions.repair(at, state, flat[::2])
    for few in ("runs", "logs", "stalls", "cancels"):
        async for flat in _scan(at, "HSCAN", k[few]):
            mended["indexes"] += await transitions.repair(at, "runs", flat[::2])
    async for flat in _scan(at, "HSCAN", k["jobs"]):
        nowhere = [job for job in flat[::2] if job not in held]
        if nowhere:
            mended["jobs"] += await transitions.repair(at, "jobs", nowhere)
    await transitions.repair(at, "dead")
    return Mended({name: ids for name, ids in mended.items() if ids})
