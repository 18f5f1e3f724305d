"""Links that live for days: ours in a mail, and a presigned one for minutes when it is opened.

S3's own links die with the key that signed them and open for whoever reads a log; ours is a random
token of which the database knows the hash, and it ends when its row does.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from processors.database import Database, Transaction
from processors.storage import Storage

PATH: Final = "/downloads/"
"""Below APP_URL; the token follows."""
LIFETIME: Final = timedelta(days=7)
TOKEN_BYTES: Final = 32
PRESIGNED_FOR: Final = timedelta(minutes=5)

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """What a link leads to: one object of the bucket for exports."""

    key: str
    filename: str
    """As it is saved."""
    mime_type: str


async def link_to(
    work: Transaction,
    download: Download,
    *,
    app_url: str,
    tenant: str,
    user: str | None = None,
    lifetime: timedelta = LIFETIME,
) -> str:
    """A new link; it opens once `work` is committed. It is a secret: only its reader may see it."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await work.run(
        "INSERT INTO download_links (token_sha256, tenant_id, user_id, object_key, filename,"
        " mime_type, expires_at)"
        " VALUES (%(hash)s, %(tenant)s, %(user)s, %(key)s, %(filename)s, %(mime_type)s, %(ends)s)",
        hash=_hash(token),
        tenant=tenant,
        user=user,
        key=download.key,
        filename=download.filename,
        mime_type=download.mime_type,
        ends=datetime.now(UTC) + lifetime,
    )
    return f"{app_url}{PATH}{token}"


async def opened(database: Database, storage: Storage, token: str) -> str | None:
    """The presigned link behind a token, for five minutes; None if there is none (any more).

    Whoever has the token may open it, as often as they like: it is in a mail, and mails are read
    on several machines. Raises DatabaseUnavailable, StorageUnavailable, Fail.
    """
    if _TOKEN.fullmatch(token) is None:
        return None
    async with database.transaction() as work:
        found = await work.one(
            Download,
            "UPDATE download_links SET opened = opened + 1"
            " WHERE token_sha256 = %(hash)s AND expires_at > %(now)s"
            " RETURNING object_key AS key, filename, mime_type",
            hash=_hash(token),
            now=datetime.now(UTC),
        )
    if found is None or await storage.exports.info(found.key) is None:
        return None
    return await storage.exports.link(
        found.key, filename=found.filename, mime_type=found.mime_type, lifetime=PRESIGNED_FOR
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
