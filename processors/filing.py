"""Rows of `files`: what was made for people and lies in the bucket for exports."""

import uuid
from typing import Final

import msgspec
from psycopg.types.json import Json

from processors.database import Transaction

_NAMES: Final = uuid.UUID("6f1c2f0a-6a0b-4d0e-9a3e-3b1f6f0c7d11")


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """One object, as the application lists it.

    `key` names the row: to file the same object again changes its row, and adds none.
    """

    key: str
    filename: str
    """As people see and save it."""
    mime_type: str
    size: int
    sha256: str
    related_to: str
    related_id: str | None = None

    @property
    def id(self) -> str:
        return str(uuid.uuid5(_NAMES, self.key))


async def file_away(work: Transaction, filed: Filed, *, tenant: str, user: str) -> str:
    """The id of the row; inside of the tenant's transaction."""
    await work.run(
        _FILED,
        id=filed.id,
        tenant=tenant,
        user=user,
        filename=filed.key.rpartition("/")[2],
        original_name=filed.filename,
        mime_type=filed.mime_type,
        size=filed.size,
        path=filed.key,
        related_to=filed.related_to,
        related_id=filed.related_id,
        metadata=Json({"sha256": filed.sha256}),
    )
    return filed.id


_FILED: Final = """
    INSERT INTO files (id, tenant_id, user_id, filename, original_name, mime_type, size, path,
        category, related_to, related_id, metadata)
    VALUES (%(id)s, %(tenant)s, %(user)s, %(filename)s, %(original_name)s, %(mime_type)s, %(size)s,
        %(path)s, 'document', %(related_to)s, %(related_id)s, %(metadata)s)
    ON CONFLICT (id) DO UPDATE SET size = EXCLUDED.size, metadata = EXCLUDED.metadata,
        original_name = EXCLUDED.original_name, updated_at = now(), deleted_at = NULL
"""
