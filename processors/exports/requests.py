"""The tables `data_export_requests` and `compliance_audit_log`: who had which data, and when."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from psycopg.types.json import Json

from processors.database import Database, Transaction
from processors.exports.write import FILE_KINDS, Export

_ERROR_CHARS_MAX: Final = 1_000
_RANDOM_BYTES: Final = 24


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One row. Its key is given when the work begins: another attempt writes the same object."""

    id: str
    key: str
    filename: str
    completed_at: datetime | None
    size: int | None
    expires_at: datetime | None


_READ: Final = """
    SELECT id, file_url AS key, file_name AS filename, completed_at, file_size AS size, expires_at
    FROM data_export_requests WHERE job_id = %(job)s
"""
# One that the application wrote down when it was asked: it is this job that it waits for.
_ADOPT: Final = """
    UPDATE data_export_requests SET job_id = %(job)s WHERE id = (
        SELECT id FROM data_export_requests
        WHERE user_id = %(user)s AND format = %(format)s AND status = 'pending' AND job_id IS NULL
        ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
"""
_INSERT: Final = """
    INSERT INTO data_export_requests (job_id, user_id, tenant_id, email, format, requested_at)
    VALUES (%(job)s, %(user)s, %(tenant)s, %(email)s, %(format)s, %(at)s)
    ON CONFLICT (job_id) DO NOTHING
"""
_BEGIN: Final = """
    UPDATE data_export_requests SET status = 'processing', error = NULL, data_scope = %(scope)s,
        file_url = coalesce(file_url, %(key)s), file_name = coalesce(file_name, %(filename)s)
    WHERE job_id = %(job)s AND status <> 'completed'
"""
_COMPLETE: Final = """
    UPDATE data_export_requests SET status = 'completed', export_url = file_url,
        file_size = %(size)s, completed_at = %(at)s, expires_at = %(ends)s, error = NULL
    WHERE id = %(id)s AND status <> 'completed'
"""
_AUDIT: Final = """
    INSERT INTO compliance_audit_log (tenant_id, user_id, actor_id, actor_type, action,
        resource_type, resource_id, details, legal_basis)
    VALUES (%(tenant)s, %(user)s, %(user)s, 'user', 'export', 'user', %(user)s, %(details)s,
        'LGPD art. 18')
"""


async def begin(database: Database, job_key: str, export: Export) -> Request:
    """The job's row: one that waits for it, a new one, or that of an attempt before."""
    owner, kind = export.owner, FILE_KINDS[export.format]
    values: Mapping[str, object] = {
        "job": job_key,
        "user": owner.id,
        "tenant": owner.tenant_id,
        "email": owner.email,
        "format": export.format,
        "at": export.at,
        "scope": Json({"type": export.type}),
        "key": f"exports/{owner.tenant_id}/{owner.id}/{secrets.token_urlsafe(_RANDOM_BYTES)}"
        f".{kind.suffix}",
        "filename": f"meus-dados-{export.at:%Y-%m-%d}.{kind.suffix}",
    }
    async with database.transaction(tenant=owner.tenant_id) as work:
        if await work.one(Request, _READ, **values) is None and not await work.run(
            _ADOPT, **values
        ):
            await work.run(_INSERT, **values)
        await work.run(_BEGIN, **values)
        request = await work.one(Request, _READ, **values)
    assert request is not None
    return request


async def complete(
    work: Transaction,
    request: Request,
    export: Export,
    *,
    size: int,
    ends: datetime,
    rows: Mapping[str, int],
) -> None:
    """The request's row, and with it the one row of the audit."""
    if not await work.run(_COMPLETE, id=request.id, size=size, at=export.at, ends=ends):
        return
    details = {
        "request": request.id,
        "type": export.type,
        "format": export.format,
        "bytes": size,
        "rows": rows,
    }
    owner = export.owner
    await work.run(_AUDIT, tenant=owner.tenant_id, user=owner.id, details=Json(details))


async def fail(database: Database, request: Request, tenant: str, error: str) -> None:
    async with database.transaction(tenant=tenant) as work:
        await work.run(
            "UPDATE data_export_requests SET status = 'failed', error = %(error)s"
            " WHERE id = %(id)s AND status <> 'completed'",
            id=request.id,
            error=error[:_ERROR_CHARS_MAX],
        )
