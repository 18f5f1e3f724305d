"""Bearer tokens: for scripts, scrapers and autoscalers. Each is one name with one role and an end.

A token is `sq_` and 256 random bits. Redis and the configuration have its hash alone, so it is seen
once, when it is made. What is kept in Redis can be revoked, and is asked for at each request.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from admin.policy import Role
from admin.settings import ORIGIN
from streamq import Port
from streamq.errors import InvalidInput, InvalidSetting, OutOfRange
from streamq.errors.wording import shown

PREFIX: Final = "sq_"
"""By it a scanner of secrets knows one that got into a file."""
BITS: Final = 256
VARIABLE: Final = "ADMIN_TOKENS"
EXPIRES_MS: Final = 30 * 86_400_000
EXPIRES_MS_MAX: Final = 366 * 86_400_000
"""No token is for ever: one that nobody remembers is to end by itself."""
EXPIRES_MS_MIN: Final = 1_000
TOKENS_MAX: Final = 1_000
"""In the configuration, and in a listing."""
ID_CHARS: Final = 12
USED_AGAIN_MS: Final = 60_000
"""Between two notes of when a token was used: to the minute is enough to find the unused ones."""
_USED_KEPT: Final = 1_000

NAME: Final = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_TOKEN: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_STEM: Final = "token:"
_USED: Final = "token-used:"
_HELP: Final = "give NAME:ROLE:HASH:END, as `streamq token --entry` prints it."


class Kept(msgspec.Struct, frozen=True):
    """A token as it is kept: nobody can make it from this. `digest` is the hash."""

    digest: str
    name: str
    role: Role
    created_at_ms: int
    expires_at_ms: int
    configured: bool = False
    """It stands in ADMIN_TOKENS, and goes when it is taken out there."""

    @property
    def id(self) -> str:
        """What it is called by, in lists and throttles."""
        return self.digest[:ID_CHARS]

    @property
    def entry(self) -> str:
        """Its place in ADMIN_TOKENS."""
        end = datetime.fromtimestamp(self.expires_at_ms / 1_000, UTC)
        return f"{self.name}:{self.role}:{self.digest}:{end:%Y-%m-%dT%H%M%SZ}"


class Made(msgspec.Struct, frozen=True):
    """A new token: the only time that it is there as it is."""

    token: str
    kept: Kept

    def __repr__(self) -> str:
        return f"Made({self.kept!r})"


class NoSuchToken(InvalidInput):
    def __init__(self, token: str) -> None:
        self.token = token
        super().__init__(f"No token {shown(token)} in Redis. See:  streamq token ls")


class AmbiguousToken(InvalidInput):
    def __init__(self, name: str, ids: list[str]) -> None:
        self.name, self.ids = name, ids
        super().__init__(f"Several tokens are called {shown(name)}: {', '.join(ids)}. Say which.")


def made(name: str, role: Role, expires_ms: int = EXPIRES_MS) -> Made:
    """A new token, kept nowhere yet. Raises InvalidInput."""
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{shown(name)} cannot be a token's name: give {NAME.pattern}")
    if not EXPIRES_MS_MIN <= expires_ms <= EXPIRES_MS_MAX:
        raise OutOfRange("expires", f"{expires_ms} ms", EXPIRES_MS_MIN, EXPIRES_MS_MAX)
    token = PREFIX + secrets.token_urlsafe(BITS // 8)
    now = _now_ms()
    return Made(token, Kept(_digest(token), name, role, now, now + expires_ms))


def _digest(token: str) -> str:
    # No salt and no cost: nobody guesses 256 bits, and each request takes it.
    return hashlib.sha256(token.encode()).hexdigest()


def _now_ms() -> int:
    return int(time.time() * 1_000)


class Tokens:
    """The tokens of the configuration, and those in Redis."""

    def __init__(self, redis: Port, configured: str = "") -> None:
        """`redis`: the admin's values; `configured` is as ADMIN_TOKENS has it. Raises
        InvalidSetting."""
        self._redis = redis
        self._configured = {kept.digest: kept for kept in _read(configured)}
        self._used: OrderedDict[str, int] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether the configuration has any that holds."""
        return any(_holds(kept) for kept in self._configured.values())

    def configured(self, token: str) -> Kept | None:
        """The token of the configuration, if it is one and holds. Asks nobody."""
        if not _TOKEN.fullmatch(token):
            return None
        given = _digest(token)
        found = None
        for digest, kept in self._configured.items():
            if hmac.compare_digest(digest, given) and _holds(kept):
                found = kept
        return found

    async def find(self, token: str) -> Kept | None:
        """The token in Redis, if it is there and holds. Raises StoreError."""
        if not _TOKEN.fullmatch(token):
            return None
        digest = _digest(token)
        # Found by its hash: how long that takes tells of hashes, and nothing of tokens.
        record = await self._redis.get(_STEM + digest)
        kept = None if record is None else _kept(record)
        if kept is None or not hmac.compare_digest(kept.digest, digest) or not _holds(kept):
            return None
        return kept

    async def used(self, kept: Kept) -> None:
        """Notes that it was, at most once a minute. Raises StoreError."""
        now = _now_ms()
        if now - self._used.get(kept.digest, 0) < USED_AGAIN_MS:
            return
        self._used[kept.digest] = now
        self._used.move_to_end(kept.digest)
        while len(self._used) > _USED_KEPT:
            self._used.popitem(last=False)
        left_ms = max(EXPIRES_MS_MIN, kept.expires_at_ms - now)
        await self._redis.set(_USED + kept.digest, str(now), expire=_ms(left_ms))

    async def last_used_ms(self, kept: Kept) -> int | None:
        """When it was used last, to the minute; None: never, as far as is known."""
        found = await self._redis.get(_USED + kept.digest)
        return int(found) if found is not None and found.isdigit() else None

    async def keep(self, new: Made) -> None:
        """From now on it is one. Raises StoreError."""
        kept = new.kept
        await self._redis.set(
            _STEM + kept.digest,
            msgspec.json.encode(kept),
            expire=_ms(kept.expires_at_ms - kept.created_at_ms),
        )

    async def known(self) -> list[Kept]:
        """All tokens, by name; at most 1,000 of Redis. Raises StoreError."""
        found = list(self._configured.values())
        async for kept in self._in_redis():
            found.append(kept)
        return sorted(found, key=lambda kept: (kept.name, kept.created_at_ms))

    async def exist(self) -> bool:
        """Whether there is any token that holds. Raises StoreError."""
        if self:
            return True
        async for _ in self._in_redis():
            return True
        return False

    async def revoke(self, which: str) -> Kept:
        """Takes one back, by its id or its name; it opens nothing from now on.

        Raises NoSuchToken, AmbiguousToken, StoreError.
        """
        found = [kept async for kept in self._in_redis() if which in (kept.id, kept.name)]
        if not found:
            raise NoSuchToken(which)
        if len(found) > 1:
            raise AmbiguousToken(which, [kept.id for kept in found])
        await self._redis.delete(_STEM + found[0].digest, _USED + found[0].digest)
        return found[0]

    async def _in_redis(self) -> AsyncIterator[Kept]:
        seen: set[str] = set()
        async for name in self._redis.scan(_STEM):
            if name in seen:
                continue
            seen.add(name)
            if len(seen) > TOKENS_MAX:
                return
            record = await self._redis.get(name)
            kept = None if record is None else _kept(record)
            if kept is not None and _holds(kept):
                yield kept


def _ms(ms: int) -> timedelta:
    return timedelta(milliseconds=ms)


def _holds(kept: Kept) -> bool:
    return kept.expires_at_ms > _now_ms()


def _kept(record: bytes) -> Kept | None:
    try:
        return msgspec.json.decode(record, type=Kept)
    except msgspec.MsgspecError:
        return None


# ---- the configuration


def _read(text: str) -> Iterator[Kept]:
    seen: set[str] = set()
    entries = [entry for entry in re.split(r"[\s,]+", text) if entry]
    if len(entries) > TOKENS_MAX:
        raise InvalidSetting(VARIABLE, "***", ORIGIN, f"more than {TOKENS_MAX} tokens.")
    for number, entry in enumerate(entries, 1):
        # By its number: what stands in the wrong place may be a token.
        kept = _entry(entry, f"entry {number}")
        if kept.digest in seen:
            raise InvalidSetting(VARIABLE, "***", ORIGIN, f"entry {number} is there once more.")
        seen.add(kept.digest)
        yield kept


def _entry(entry: str, which: str) -> Kept:
    name, _, rest = entry.partition(":")
    role, _, rest = rest.partition(":")
    digest, _, end = rest.partition(":")
    if not NAME.fullmatch(name):
        raise InvalidSetting(VARIABLE, "***", ORIGIN, f"{which} has no name: {_HELP}")
    if role not in list(Role):
        why = f"{which} has no role of {', '.join(Role)}: {_HELP}"
        raise InvalidSetting(VARIABLE, "***", ORIGIN, why)
    if not _DIGEST.fullmatch(digest):
        why = f"{which} has no SHA-256 in hex, and a token itself does not belong there: {_HELP}"
        raise InvalidSetting(VARIABLE, "***", ORIGIN, why)
    try:
        ends = datetime.strptime(end, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        why = f"the end of {which} is no time such as 2027-01-31T000000Z: {_HELP}"
        raise InvalidSetting(VARIABLE, "***", ORIGIN, why) from None
    return Kept(digest, name, Role(role), 0, int(ends.timestamp() * 1_000), configured=True)
