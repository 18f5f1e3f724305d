"""The walk of `repair` through a queue: page by page, until every key was looked at once."""

from collections.abc import AsyncIterator

import msgspec

from streamq.job import LINES
from streamq.store import transitions
from streamq.store.client import Arg, Reply
from streamq.store.scripts import Link

PAGE = 200  # items of one call of `repair`
PAGES_MAX = 100_000  # of one walk: twenty million jobs
WALKS_MAX = 3  # through the lines, until nobody else changed the count of dead entries meanwhile


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


async def _walk_lines(at: Link, mended: dict[str, list[str]]) -> set[str]:
    """Puts every entry right; the ids that stand in a line, or are claimed from one."""
    standing: set[str] = set()
    for _ in range(WALKS_MAX):
        standing.clear()
        expected = int(await _dead(at))
        for sign in LINES:
            expected -= await _walk_line(at, sign, mended, standing)
        # Somebody else made or dropped dead entries meanwhile: what is left is not only drift.
        if int(await _dead(at)) == expected:
            await transitions.repair(at, "dead", [expected])
            break
    return standing


async def _dead(at: Link) -> bytes:
    return await _ask(at, "HGET", at.keys.names["meta"], "dead") or b"0"


async def _walk_line(at: Link, sign: str, mended: dict[str, list[str]], standing: set[str]) -> int:
    """One line; how many dead entries it had."""
    start, dead = "-", 0
    for _ in range(PAGES_MAX):
        entries = await _ask(at, "XRANGE", at.keys.lines[sign], start, "+", "COUNT", PAGE)
        if not entries:
            break
        items: list[Arg] = []
        for entry, fields in entries:
            items += (entry, fields[1])
        page = await transitions.repair(at, "line", items, line=sign, width=2)
        mended["lines"] += page.ids
        standing.update(page.standing)
        dead += page.dead_dropped
        start = f"({entries[-1][0].decode()}"
    return dead


async def _nowhere(at: Link, standing: set[str]) -> list[str]:
    """The ids with a record that were seen in no line, and stand nowhere else."""
    lost: list[str] = []
    async for flat in _scan(at, "HSCAN", at.keys.names["jobs"]):
        unseen = [job for job in flat[::2] if job.decode() not in standing]
        if unseen:
            lost += (await transitions.repair(at, "lost", unseen)).ids
    return lost


async def repair_queue(at: Link) -> Mended:
    """Puts right what torn scripts or foreign hands left in a queue; safe while it is in use.

    Groups first, then entries against tickets and leases, leases against entries, indexes against
    records, and last the records that stand nowhere: those wait again.
    """
    k = at.keys.names
    mended: dict[str, list[str]] = {"lines": [], "leases": [], "indexes": [], "jobs": []}
    mended["groups"] = (await transitions.repair(at, "groups")).ids
    standing = await _walk_lines(at, mended)
    async for flat in _scan(at, "HSCAN", k["leases"]):
        page = await transitions.repair(at, "leases", flat, width=2)
        mended["leases"] += page.ids
        standing.update(page.standing)
    for state in ("delayed", "completed", "failed", "parked"):
        async for flat in _scan(at, "ZSCAN", k[state]):
            mended["indexes"] += (await transitions.repair(at, state, flat[::2])).ids
    for few in ("runs", "logs", "stalls", "cancels"):
        async for flat in _scan(at, "HSCAN", k[few]):
            mended["indexes"] += (await transitions.repair(at, "runs", flat[::2])).ids
    async for flat in _scan(at, "HSCAN", k["workers"]):
        mended["indexes"] += (await transitions.repair(at, "workers", flat[::2])).ids
    mended["indexes"] += (await transitions.repair(at, "consumers")).ids
    lost = await _nowhere(at, standing)
    if lost:
        # A job that came to a line since it was walked is not lost: only who is missed twice is.
        standing = await _walk_lines(at, mended)
        lost = [job for job in lost if job not in standing]
    for first in range(0, len(lost), PAGE):
        mended["jobs"] += (await transitions.repair(at, "jobs", lost[first : first + PAGE])).ids
    return Mended({name: ids for name, ids in mended.items() if ids})
