"""Sessions in Redis: who logged in with a password, by the cookie of their browser.

Our own are kept under a hash of their id, made with SESSION_SECRET: who reads all of Redis holds no
cookie, and who writes there cannot make one. Those of the Node application are read where they lie.
"""

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admin.access import node
from admin.access.cookies import Cookie, cookies_of
from admin.policy import Role
from admin.settings import Settings, load_settings
from streamq import App, Port
from streamq.settings import Env

COOKIE: Final = "imobibase.sid"
ROOT: Final = "sess:"
IDLE_MS: Final = 30 * 60 * 1_000
ABSOLUTE_MS: Final = 12 * 60 * 60 * 1_000
"""A session ends after so long, however busy it is."""
ID_BYTES: Final = 32

_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VISIT: Final = "streamq.visit"
_GENERATION: Final = "generation:"
_RECORD: Final = "streamq-session-1"
"""In each record of ours: nothing else under `sess:` is taken for one."""
_UNSET: Final = "sessions without a SESSION_SECRET"
"""Stands in for it where it is not set, in development: then ids are hashed and no more."""


class Session(msgspec.Struct, frozen=True, tag=_RECORD):
    """What is kept of a login. What somebody may do is the account's to say, at each request."""

    account: str
    seal: str
    """Of the account's password then."""
    role: Role
    """The account's then: with another one it is another session, under another id."""
    generation: str
    """Of the account's sessions; see `end_all`."""
    started_at_ms: int
    ends_at_ms: int
    address: str


class Ours(msgspec.Struct, frozen=True):
    """A session of ours; `name` is what it is kept under."""

    name: str
    session: Session


class Nodes(msgspec.Struct, frozen=True):
    """A session of the Node application in which somebody is logged in."""

    name: str
    user_id: str


class SessionStore(Protocol):
    """Keeps records by their names."""

    async def get(self, name: str, *, renew_ms: int | None = None) -> bytes | None:
        """The record; with `renew_ms` it lives on for so long. Raises StoreError."""
        ...

    async def ends(self, name: str) -> bool:
        """Whether it is there, and will end by itself. Raises StoreError."""
        ...

    async def set(self, name: str, record: bytes, expire_ms: int) -> None: ...

    async def destroy(self, name: str) -> None: ...

    async def generation(self, account: str) -> str:
        """Which of an account's sessions still hold: "" for any. Raises StoreError."""
        ...

    async def next_generation(self, account: str) -> None:
        """None of those that there are. Raises StoreError."""
        ...


class RedisSessionStore:
    """Sessions under `sess:`, where the Node application has its own; each ends by itself."""

    def __init__(self, app: App) -> None:
        self._sessions = app.redis.shared(ROOT)
        self._admin: Port = app.redis.admin

    async def get(self, name: str, *, renew_ms: int | None = None) -> bytes | None:
        return await self._sessions.get(name, renew=None if renew_ms is None else _ms(renew_ms))

    async def ends(self, name: str) -> bool:
        # None: it never does. The clean-up sweeps such records, and nobody is to come in by one.
        return bool(await self._sessions.ms_left(name))

    async def set(self, name: str, record: bytes, expire_ms: int) -> None:
        await self._sessions.set(name, record, expire=_ms(expire_ms))

    async def destroy(self, name: str) -> None:
        await self._sessions.delete(name)

    async def generation(self, account: str) -> str:
        return (await self._admin.get(_generation(account)) or b"").decode()

    async def next_generation(self, account: str) -> None:
        # Once it is gone any generation holds again, and every session from before is over by then.
        await self._admin.set(
            _generation(account), secrets.token_hex(8), expire=_ms(ABSOLUTE_MS + IDLE_MS)
        )


def _generation(account: str) -> str:
    """A row's id may have signs that a key may not."""
    return _GENERATION + hashlib.sha256(account.encode()).hexdigest()


def _ms(ms: int) -> timedelta:
    return timedelta(milliseconds=ms)


def _now_ms() -> int:
    return int(time.time() * 1_000)


class SessionConfig(msgspec.Struct, frozen=True):
    """What the middleware needs to know."""

    store: SessionStore
    cookie: Cookie
    secret: str | None
    """SESSION_SECRET; None: sessions of the Node application cannot be told from forged ones."""
    idle_ms: int = IDLE_MS
    absolute_ms: int = ABSOLUTE_MS
    now_ms: Callable[[], int] = _now_ms

    def __repr__(self) -> str:
        return f"SessionConfig(cookie={self.cookie!r})"  # no secret

    def name_of(self, session_id: str) -> str:
        """What a session of ours is kept under."""
        key = (self.secret or _UNSET).encode()
        return hmac.digest(key, f"session {session_id}".encode(), hashlib.sha256).hex()


def create_redis_session_store(app: App | None = None) -> RedisSessionStore:
    """A store in the Redis of an App; without one in that of the settings (REDIS_URL).

    Connects to nothing yet.
    """
    return RedisSessionStore(app or App("sessions"))


def get_session_config(store: SessionStore, settings: Settings | None = None) -> SessionConfig:
    """For the middleware: `Middleware(SessionMiddleware, config=get_session_config(store))`.

    Without `settings` the environment says them (SESSION_SECRET, STREAMQ_ENV). Raises
    UnsetSessionSecret: in production nobody sets out without it.
    """
    if settings is None:
        env = os.environ.get("STREAMQ_ENV", "")
        settings = load_settings(production=env == Env.PRODUCTION.value)
    cookie = Cookie(COOKIE, secure=settings.secure_cookies)
    return SessionConfig(store, cookie, settings.session_secret)


class Visit:
    """The session of one request: found by its cookie, begun, ended."""

    def __init__(self, config: SessionConfig, connection: HTTPConnection) -> None:
        self._config = config
        self._connection = connection
        self.set_cookies: list[str] = []
        """What the answer will say to the browser."""

    @property
    def claimed(self) -> bool:
        """Whether the request has a cookie of that name, whatever is in it."""
        return any(cookies_of(self._connection, self._config.cookie.name))

    async def find(self) -> Ours | Nodes | None:
        """The session of the request; one of ours lives on by that. Raises StoreError."""
        for value in cookies_of(self._connection, self._config.cookie.name):
            if node.signed(value):
                found: Ours | Nodes | None = await self._nodes(value)
            else:
                found = await self._ours(value)
            if found is not None:
                return found
        return None

    async def _ours(self, value: str) -> Ours | None:
        if not _ID.fullmatch(value):
            return None
        config = self._config
        name = config.name_of(value)
        record = await config.store.get(name, renew_ms=config.idle_ms)
        session = None if record is None else _session(record)
        if session is None:
            return None
        generation = await config.store.generation(session.account)
        if session.ends_at_ms <= config.now_ms() or generation not in ("", session.generation):
            await config.store.destroy(name)
            return None
        return Ours(name, session)

    async def _nodes(self, value: str) -> Nodes | None:
        config = self._config
        sid = None if config.secret is None else node.sid_of(value, config.secret)
        if sid is None:
            return None
        record = await config.store.get(sid)
        user_id = None if record is None else node.user_of(record)
        if user_id is None or not await config.store.ends(sid):
            return None
        return Nodes(sid, user_id)

    async def begin(self, account: str, *, seal: str, role: Role, address: str) -> Session:
        """A session under an id that nobody had before; an old one of ours ends. Raises StoreError.

        One of the Node application stays: its cookie is replaced, and it may be open elsewhere.
        """
        config = self._config
        before = await self.find()
        now = config.now_ms()
        session = Session(
            account,
            seal=seal,
            role=role,
            generation=await config.store.generation(account),
            started_at_ms=now,
            ends_at_ms=now + config.absolute_ms,
            address=address,
        )
        session_id = secrets.token_urlsafe(ID_BYTES)
        record = msgspec.json.encode(session)
        await config.store.set(config.name_of(session_id), record, config.idle_ms)
        if isinstance(before, Ours):
            await config.store.destroy(before.name)
        self.set_cookies.append(config.cookie.header(session_id, config.absolute_ms // 1_000))
        return session

    async def end(self) -> bool:
        """Whether there was one. The browser forgets the cookie all the same. Raises StoreError."""
        found = await self.find()
        if found is not None:
            await self._config.store.destroy(found.name)
        self.set_cookies.append(self._config.cookie.header("", 0))
        return found is not None

    async def end_this(self, found: Ours) -> None:
        """Ends one that does not hold any more. Raises StoreError."""
        await self._config.store.destroy(found.name)

    async def end_all(self, account: str) -> None:
        """Every session of ours that the account has, wherever it is open. Raises StoreError."""
        await self._config.store.next_generation(account)
        self.set_cookies.append(self._config.cookie.header("", 0))


def _session(record: bytes) -> Session | None:
    try:
        return msgspec.json.decode(record, type=Session)
    except msgspec.MsgspecError:
        return None


class SessionMiddleware:
    """Gives each request its `Visit`, and its answer the cookies that came of it.

    Asks Redis nothing by itself: most requests have a token, or no need to know.
    """

    def __init__(self, app: ASGIApp, config: SessionConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = scope[_VISIT] = Visit(self._config, HTTPConnection(scope))

        async def with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start" and visit.set_cookies:
                added = [(b"set-cookie", each.encode()) for each in visit.set_cookies]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, with_cookies)


def visit_of(request: Request) -> Visit:
    """The request's, where the middleware is around the application."""
    found = request.scope[_VISIT]
    assert isinstance(found, Visit)
    return found
