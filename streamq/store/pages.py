"""Pages of jobs by state, with a cursor that stays good while jobs come and go."""

import base64
import re
from collections.abc import Sequence

import msgspec

from streamq.errors import StoreError
from streamq.errors.wording import shown
from streamq.job import LINES, Job, JobId, JobState
from streamq.store.client import Arg, ErrorReply, Reply
from streamq.store.reads import PAGE_MAX, ask, ask_each, get_many, job_of
from streamq.store.scripts import Link

# What the parts of a cursor are made of; what is in brackets has 64 bits.
_SCORE = re.compile(rb"-?[0-9]{1,17}(?:\.[0-9]{1,17})?(?:e[+-]?[0-9]{1,3})?")
_MEMBER = re.compile(rb".{1,256}", re.DOTALL)
_LINE = re.compile(rb"[%b]" % LINES.encode())
_ENTRY = re.compile(rb"(?:([0-9]{1,20})-([0-9]{1,20}))?")
_PLACE = re.compile(rb"([0-9]{1,20})")

LOOKED_AT_MAX = 10_000  # entries or members that one page goes through


class Page(msgspec.Struct, frozen=True):
    """Some jobs of a state, and where the next page begins (None: there is none)."""

    jobs: list[Job]
    cursor: str | None = None


async def page(
    at: Link,
    state: JobState,
    *,
    cursor: str | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> Page:
    """Jobs of one state by keyset: ended ones by time, delayed by due time, others as they stand.

    A cursor stays good while jobs come and go. Raises ValueError for one that was never given out.
    """
    limit = max(1, min(limit, PAGE_MAX))
    if state is JobState.WAITING:
        return await _waiting_page(at, cursor, limit)
    if state is JobState.ACTIVE:
        return await _active_page(at, cursor, limit)
    return await _sorted_page(at, state, cursor, limit, newest_first)


def _encode_cursor(*parts: bytes) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode()


def _decode_cursor(cursor: str, *shapes: re.Pattern[bytes]) -> list[bytes]:
    """The parts of a cursor, each of its shape: whoever makes one up is told so here, not by Redis.

    Raises ValueError.
    """
    try:
        parts = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor), type=list[bytes])
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError(f"no cursor of a page: {shown(cursor)}") from error
    if len(parts) != len(shapes) or not all(map(_fits, shapes, parts)):
        raise ValueError(f"no cursor of this page: {shown(cursor)}")
    return parts


def _fits(shape: re.Pattern[bytes], part: bytes) -> bool:
    found = shape.fullmatch(part)
    return found is not None and all(int(n) < 1 << 64 for n in found.groups() if n)


async def _sorted_page(
    at: Link, state: JobState, cursor: str | None, limit: int, newest_first: bool
) -> Page:
    """Members of equal score stand in their bytes' order, so (score, member) is the key."""
    key = at.keys.names[state.value]
    score, last = _decode_cursor(cursor, _SCORE, _MEMBER) if cursor else (b"", b"")
    bounds: tuple[Arg, ...] = (
        (score or b"+inf", b"-inf") if newest_first else (score or b"-inf", b"+inf")
    )
    found: list[tuple[bytes, bytes]] = []
    # One for where the page before ended, one to know whether there is more; ties take longer.
    offset, some = 0, limit + 2
    while len(found) <= limit and offset <= LOOKED_AT_MAX:
        rows = await ask(
            at, "ZRANGE", key, *bounds, "BYSCORE", *(("REV",) if newest_first else ()),
            "LIMIT", offset, some, "WITHSCORES",
        )  # fmt: skip
        for member, at_score in zip(rows[::2], rows[1::2], strict=True):
            behind = member < last if newest_first else member > last
            if not last or at_score != score or behind:
                found.append((member, at_score))
        if len(rows) < some * 2:
            break
        offset, some = offset + some, PAGE_MAX
    members = [m for m, _ in found[:limit]]
    skip = 8 if state is JobState.DELAYED else 0
    jobs = await get_many(at, [JobId(m[skip:].decode()) for m in members])
    more = _encode_cursor(found[limit - 1][1], members[-1]) if len(found) > limit else None
    return Page([j for j in jobs if j is not None and j.state is state], more)


async def _waiting_page(at: Link, cursor: str | None, limit: int) -> Page:
    """In the order in which they will be taken: given back first, then by priority."""
    parts = _decode_cursor(cursor, _LINE, _ENTRY) if cursor else [LINES[0].encode(), b""]
    line, after = (part.decode() for part in parts)
    jobs: list[Job] = []
    looked = 0
    for sign, start in (await _waiting_from(at, LINES[LINES.index(line) :])).items():
        start = f"({after}" if sign == line and after else start
        while len(jobs) < limit and looked < LOOKED_AT_MAX:
            want = limit - len(jobs)
            entries = await ask(at, "XRANGE", at.keys.lines[sign], start, "+", "COUNT", want)
            looked += len(entries)
            jobs += await _live(at, entries)
            if len(entries) < want:
                break
            start = f"({entries[-1][0].decode()}"
        else:
            return Page(jobs, _encode_cursor(sign.encode(), start[1:].encode()))
    return Page(jobs)


async def _waiting_from(at: Link, signs: str) -> dict[str, str]:
    """Of those lines that have entries, where those begin that nobody was given yet."""
    keys = [at.keys.lines[sign] for sign in signs]
    what = f"page of queue {at.queue}"
    # An error reply is that of a line that was never there, and nothing of the others.
    replies = await at.wire.exchange(
        what, [*(("XLEN", key) for key in keys), *(("XINFO", "GROUPS", key) for key in keys)]
    )
    found: dict[str, str] = {}
    for sign, length, groups in zip(signs, replies, replies[len(keys) :], strict=False):
        if isinstance(length, StoreError):
            raise length
        if length:
            found[sign] = f"({_delivered_until(groups)}"
    return found


def _delivered_until(groups: Reply) -> str:
    if isinstance(groups, ErrorReply) or not groups:
        return "0-0"
    if isinstance(groups, StoreError):
        raise groups
    fields = dict(zip(groups[0][::2], groups[0][1::2], strict=True))
    return str(fields[b"last-delivered-id"].decode())


async def _live(at: Link, entries: Sequence[Reply]) -> list[Job]:
    values = [e[1][1] for e in entries]
    if not values:
        return []
    ids = [JobId(v[7:].decode()) for v in values]
    k = at.keys.names
    records, runs = await ask_each(at, ("HMGET", k["jobs"], *ids), ("HMGET", k["runs"], *ids))
    return [
        job_of(at, job, record, run, JobState.WAITING, None)
        for job, value, record, run in zip(ids, values, records, runs, strict=True)
        if record is not None and record[:6] == value[1:7]
    ]


async def _active_page(at: Link, cursor: str | None, limit: int) -> Page:
    start = _decode_cursor(cursor, _PLACE)[0] if cursor else b"0"
    ids: list[JobId] = []
    for _ in range(PAGE_MAX):
        start, fields = await ask(
            at, "HSCAN", at.keys.names["leases"], start, "COUNT", max(10, limit)
        )
        ids += [JobId(f.decode()) for f in fields[::2]]
        if start == b"0" or len(ids) >= limit:
            break
    jobs: list[Job] = []
    for first in range(0, len(ids), PAGE_MAX):
        found = await get_many(at, ids[first : first + PAGE_MAX])
        jobs += [j for j in found if j is not None and j.state is JobState.ACTIVE]
    return Page(jobs, None if start == b"0" else _encode_cursor(start))
