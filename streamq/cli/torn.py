"""Which jobs of a queue do not stand in exactly one place; reads only.

What `streamq doctor --fix` would put right, by name. Jobs move while it looks: it looks twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from streamq.store.client import Arg
from streamq.store.keys import GROUP
from streamq.store.reads import ask
from streamq.store.scripts import Link

JOBS_MAX: Final = 100_000
"""Of a queue whose jobs are looked at one by one: their ids are held here all at once."""
NAMED_MAX: Final = 10
LOOK_AGAIN_S: Final = 0.2
_PAGE: Final = 500
_TICKET_BYTES: Final = 6  # at the beginning of a record
_BEFORE_ID_BYTES: Final = MappingProxyType({"delayed": 8, "line": 7})

Torn = Mapping[str, frozenset[str]]
"""Ids by what is wrong with them."""


async def torn(at: Link) -> Torn:
    """Those that were torn at both looks. Raises StoreError."""
    first = await _look(at)
    await asyncio.sleep(LOOK_AGAIN_S)
    second = await _look(at)
    return {what: both for what, ids in first.items() if (both := ids & second[what])}


def named(ids: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    shown = sorted(ids)
    rest = len(shown) - NAMED_MAX
    return ", ".join(shown[:NAMED_MAX]) + (f" and {rest:,} more" if rest > 0 else "")


async def _look(at: Link) -> dict[str, frozenset[str]]:
    k = at.keys.names
    tickets = {job: value[:_TICKET_BYTES] async for job, value in _scanned(at, "HSCAN", k["jobs"])}
    leased = {job async for job, _ in _scanned(at, "HSCAN", k["leases"])}
    indexed: Counter[str] = Counter()
    for state in ("delayed", "completed", "failed", "parked"):
        skip = _BEFORE_ID_BYTES["delayed"] if state == "delayed" else 0
        indexed.update([job async for job, _ in _scanned(at, "ZSCAN", k[state], skip)])
    given, standing = set[str](), set(leased)
    for key in at.keys.lines.values():
        pending = {entry async for entry in _given_out(at, key)}
        async for entry, ticket, job in _in_line(at, key):
            # One of another ticket is dead: the job has left it, and it goes with its turn.
            if tickets.get(job) == ticket:
                standing.add(job)
                if entry in pending:
                    given.add(job)
    return {
        "nowhere": frozenset(tickets.keys() - standing - indexed.keys()),
        "in two places": frozenset(j for j, n in indexed.items() if n > 1 or j in standing),
        "without a record": frozenset((leased | indexed.keys()) - tickets.keys()),
        "leased and not given out": frozenset((leased & tickets.keys()) - given),
        "given out and not leased": frozenset(given - leased),
    }


async def _scanned(
    at: Link, command: str, key: bytes, skip: int = 0
) -> AsyncIterator[tuple[str, bytes]]:
    cursor = b"0"
    for _ in range(0, JOBS_MAX, _PAGE):
        cursor, flat = await ask(at, command, key, cursor, "COUNT", _PAGE)
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            yield name[skip:].decode("utf-8", "replace"), value
        if cursor == b"0":
            return


async def _in_line(at: Link, key: bytes) -> AsyncIterator[tuple[bytes, bytes, str]]:
    """Entries, the tickets in them, and their ids."""
    start: Arg = "-"
    for _ in range(0, JOBS_MAX, _PAGE):
        found = await ask(at, "XRANGE", key, start, "+", "COUNT", _PAGE)
        for entry, (_, value, *_) in found:
            job = value[_BEFORE_ID_BYTES["line"] :].decode("utf-8", "replace")
            yield entry, value[1 : 1 + _TICKET_BYTES], job
        if len(found) < _PAGE:
            return
        start = b"(" + found[-1][0]


async def _given_out(at: Link, key: bytes) -> AsyncIterator[bytes]:
    if not await ask(at, "EXISTS", key) or not await ask(at, "XINFO", "GROUPS", key):
        return
    start: Arg = "-"
    for _ in range(0, JOBS_MAX, _PAGE):
        found = await ask(at, "XPENDING", key, GROUP, start, "+", _PAGE)
        for row in found:
            yield row[0]
        if len(found) < _PAGE:
            return
        start = b"(" + found[-1][0]
