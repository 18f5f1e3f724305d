"""Who may call what: the seam between the routes, those who guard them and those who note changes.

Owns the words that all of them share and nothing of how they work: how somebody proves who they
are is an `Access`, what else is asked of a request is a `Guard`, where changes are noted an
`Audit`. A row of ROUTES names what it needs; there is no default, so a route cannot be open by
having been forgotten.
"""

import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta
from starlette.requests import Request


class Role(StrEnum):
    """What somebody may do; each may do what stands before it as well (`OPERATOR > VIEWER`)."""

    VIEWER = "viewer"
    """Looks."""
    OPERATOR = "operator"
    """Changes one thing at a time: pause, retry, remove a job."""
    ADMIN = "admin"
    """What cannot be taken back, what sees payloads as they are, who else gets in."""

    @property
    def rank(self) -> int:
        return _RANKS[self]

    # A StrEnum compares its words: "admin" < "viewer".
    def __lt__(self, other: str) -> bool:
        return self.rank < Role(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Role(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Role(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Role(other).rank


_RANKS: Final = {role: rank for rank, role in enumerate(Role)}


class Open(StrEnum):
    """What a route needs where no role is asked for."""

    ANYONE = "anyone"
    """Nothing: probes, login, static files."""
    CRON = "cron"
    """`Authorization: Bearer` and CRON_SECRET, and nothing else will do."""


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class Via(StrEnum):
    """What somebody proved who they are with."""

    SESSION = "session"
    TOKEN = "token"  # a word, not a secret
    CRON = "cron"


class Who(msgspec.Struct, frozen=True):
    """Somebody who is let in. Not what they may do on a route: see `admit` in gate.py."""

    name: str
    role: Role
    via: Via
    address: str
    """Where the request came from, as far as trusted proxies tell it."""
    credential: str = ""
    """Names the token or session, for a throttle that counts by it. Never the secret itself."""


Handler = Callable[..., Awaitable[object]]
"""`async def handler(call: Call, [path: P, query: Q, body: B])`; see binding.py."""

_PATH: Final = re.compile(r"(/([A-Za-z0-9_.-]+|\{[a-z][A-Za-z]*\}))+")
_ACTION: Final = re.compile(r"[a-z]+(\.[a-z-]+)+")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `does` is what it does in the words of "Failed to ...".

    `action`: what the audit calls the change that it makes, such as `queue.pause`; None: it changes
    nothing, and then it is a GET. Only such a route may be asked for by a link.
    """

    method: Method
    path: str
    """Below the site's prefix; `{name}` stands for one part."""
    handler: Handler
    needs: Role | Open
    does: str
    action: str | None = None
    answers: int = 200
    """The status of success."""

    def __post_init__(self) -> None:
        """Raises ValueError for a row that cannot be meant."""
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"{self.path}: no path of a route")
        if (self.method is Method.GET) != (self.action is None):
            raise ValueError(f"{self.method} {self.path}: a GET changes nothing, all else does")
        if self.action is not None and not _ACTION.fullmatch(self.action):
            raise ValueError(f"{self.path}: the action {self.action!r} is not noun.verb")


class Access(Protocol):
    """Knows who somebody is."""

    async def who(self, request: Request) -> Who | None:
        """Who sent this, by its session or its token; None for a stranger.

        Raises a `Refused`, and a StoreError if it cannot be told now: the answer is a 503.
        """
        ...

    async def anybody(self) -> bool:
        """Whether there is anybody at all who could be let in: what is served to other machines
        must have somebody. Raises StoreError."""
        ...


class Guard(Protocol):
    """Asks something of a request before its handler runs, whoever sent it: throttle, CSRF, host.

    Guards are asked in the order in which `create_app` was given them, before a stranger is sent
    away, so that guesses of a token are counted.
    """

    async def __call__(self, request: Request, row: Row, who: Who | None) -> None:
        """Raises a `Refused` to end it."""
        ...


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A change that somebody made, or tried to; or a payload that was revealed to them.

    As the gate hands it over its values are as they are, and the hashes are empty; an audit keeps
    it without secrets.
    """

    who: str
    role: str
    via: str
    address: str
    action: str
    """As its row calls it: `queue.pause`."""
    status: int
    """Of the answer: 200 if it was done."""
    request_id: str
    queue: str = ""
    job: str = ""
    detail: str = ""
    """What it came to, in a sentence."""
    before: object = None
    after: object = None
    before_hash: Annotated[str, Meta(description="of all that it was, its secrets too")] = ""
    after_hash: str = ""


class Audit(Protocol):
    """Keeps what was changed by whom."""

    async def note(self, entry: Entry) -> None:
        """Called once for each action, when its answer is known. Raises StoreError."""
        ...
