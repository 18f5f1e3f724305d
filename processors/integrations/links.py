"""What we know of the other side: which row is which record there, and how far we have read."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from processors.database import Transaction
from processors.integrations.kinds import EntityType, Provider


class Direction(StrEnum):
    PULL = "pull"
    PUSH = "push"


class Link(msgspec.Struct, frozen=True):
    """`hash`: of the record as it was last sent, or would have been."""

    local_id: str
    remote_id: str
    remote_version: str | None
    hash: str | None


_OURS: Final = "tenant_id = %(tenant)s AND provider = %(provider)s AND entity_type = %(kind)s"
_SELECT: Final = "SELECT local_id, remote_id, remote_version, hash FROM integration_entity_links"


class Links:
    """Of one agency with one provider. Its methods take the agency's transaction."""

    def __init__(self, tenant: str, provider: Provider) -> None:
        self.tenant = tenant
        self.provider = provider

    def _of(self, kind: EntityType) -> Mapping[str, str]:
        """What `_OURS` compares with."""
        return {"tenant": self.tenant, "provider": self.provider.value, "kind": kind.value}

    async def cursor(self, work: Transaction, kind: EntityType, direction: Direction) -> str | None:
        return await work.value(
            str,
            f"SELECT cursor FROM integration_cursors WHERE {_OURS} AND direction = %(direction)s",
            **self._of(kind),
            direction=direction.value,
        )

    async def move(
        self, work: Transaction, kind: EntityType, direction: Direction, cursor: str
    ) -> None:
        await work.run(
            "INSERT INTO integration_cursors (tenant_id, provider, entity_type, direction, cursor)"
            " VALUES (%(tenant)s, %(provider)s, %(kind)s, %(direction)s, %(cursor)s)"
            " ON CONFLICT (tenant_id, provider, entity_type, direction)"
            " DO UPDATE SET cursor = excluded.cursor, updated_at = now()",
            **self._of(kind),
            direction=direction.value,
            cursor=cursor,
        )

    async def of_rows(
        self, work: Transaction, kind: EntityType, ids: Sequence[str]
    ) -> Mapping[str, Link]:
        """By the rows' ids."""
        found = await work.every(
            Link,
            f"{_SELECT} WHERE {_OURS} AND local_id = ANY(%(ids)s)",
            **self._of(kind),
            ids=list(ids),
        )
        return {link.local_id: link for link in found}

    async def of_record(self, work: Transaction, kind: EntityType, remote_id: str) -> Link | None:
        return await work.one(
            Link,
            f"{_SELECT} WHERE {_OURS} AND remote_id = %(remote)s",
            **self._of(kind),
            remote=remote_id,
        )

    async def drop(self, work: Transaction, kind: EntityType, local_id: str) -> None:
        """The record is gone there."""
        await work.run(
            f"DELETE FROM integration_entity_links WHERE {_OURS} AND local_id = %(local)s",
            **self._of(kind),
            local=local_id,
        )

    async def put(self, work: Transaction, kind: EntityType, link: Link) -> None:
        """A record that another row was linked to is this row's now: the other was merged there."""
        await work.run(
            f"DELETE FROM integration_entity_links WHERE {_OURS}"
            " AND remote_id = %(remote)s AND local_id <> %(local)s",
            **self._of(kind),
            remote=link.remote_id,
            local=link.local_id,
        )
        await work.run(
            "INSERT INTO integration_entity_links"
            " (tenant_id, provider, entity_type, local_id, remote_id, remote_version, hash)"
            " VALUES (%(tenant)s, %(provider)s, %(kind)s, %(local)s, %(remote)s, %(version)s,"
            " %(hash)s)"
            " ON CONFLICT (tenant_id, provider, entity_type, local_id)"
            " DO UPDATE SET remote_id = excluded.remote_id,"
            " remote_version = coalesce(excluded.remote_version,"
            " integration_entity_links.remote_version),"
            " hash = excluded.hash, synced_at = now()",
            **self._of(kind),
            local=link.local_id,
            remote=link.remote_id,
            version=link.remote_version,
            hash=link.hash,
        )
