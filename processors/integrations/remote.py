"""What a provider is to the synchronisation: records that it takes, leads that it gives."""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar

import msgspec

from processors.clients.http import Answer, HttpUnavailable
from processors.integrations.entities import Entity
from processors.integrations.kinds import EntityType

PAGE_BYTES_MAX: Final = 4 * 1024**2
PAGES_MAX: Final = 1_000
"""Of one run; the next one goes on from the cursor."""

Fields = Mapping[str, object]
"""A record in the provider's own names."""
T = TypeVar("T")


class Outgoing(msgspec.Struct, frozen=True):
    """A record that is to go out. `remote_id`: as the provider knows it, if it does."""

    id: str
    remote_id: str | None
    fields: Fields
    changed_at: datetime


class Accepted(msgspec.Struct, frozen=True):
    """What became of one record; `refused`: why the provider will not have it as it is.

    `gone`: it was deleted there. It is made anew when it changes here.
    """

    id: str
    remote_id: str = ""
    version: str | None = None
    refused: str | None = None
    gone: bool = False


class IncomingLead(msgspec.Struct, frozen=True):
    """A lead as the provider has it; blank where it knows nothing."""

    remote_id: str
    version: str
    changed_at: datetime
    name: str
    email: str
    phone: str
    notes: str
    source: str
    """One of `leads.source`."""


class Page(msgspec.Struct, frozen=True):
    """Some leads, and the cursor to go on from once they are stored."""

    leads: Sequence[IncomingLead]
    cursor: str


class Remote(Protocol):
    """One provider, with one agency's access. Its calls raise Fail, Retry and HttpUnavailable."""

    @property
    def takes(self) -> frozenset[EntityType]: ...
    @property
    def batch(self) -> int:
        """Records of one push."""

    def fields(self, entity: Entity) -> Fields: ...
    async def push(self, kind: EntityType, records: Sequence[Outgoing]) -> Sequence[Accepted]:
        """Safe to repeat: those without a `remote_id` are found by a key of ours."""

    def leads(self, cursor: str | None) -> AsyncGenerator[Page, None]:
        """What changed since, oldest first, at most `PAGES_MAX` pages."""


def digest(fields: Fields) -> str:
    """Equal for equal records, whatever the order of their names."""
    return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()


def read(answer: Answer, kind: type[T], what: str) -> T:
    """The body of an answer that was checked. Raises HttpUnavailable for what is none of theirs:
    a proxy's page, more likely than a new protocol.
    """
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        raise HttpUnavailable(
            f"{what} answered {answer.status}, but not as it should: {error}"
        ) from (error)


def names_of(name: str) -> tuple[str, str]:
    """First name and the rest; systems that know only such call a single name the last one."""
    first, _, rest = name.strip().partition(" ")
    return (first, rest.strip()) if rest.strip() else ("", first or "-")
