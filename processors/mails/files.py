"""Attachments that lie in the bucket for exports: an agency's mail takes its own objects only."""

from collections.abc import Sequence

from processors.clients.attachments import ATTACHED_BYTES_MAX, S3_SCHEME, Attachment
from processors.clients.mailbox import MailRefused
from processors.storage import ObjectMissing, Storage


async def fetch_objects(
    attachments: Sequence[Attachment], storage: Storage, tenant: str | None
) -> dict[str, bytes]:
    """The objects of all `s3://` paths, by path.

    Raises MailRefused for one that can never be attached (another bucket, another agency's,
    missing, too large), StorageUnavailable, and Fail if no bucket is set.
    """
    objects: dict[str, bytes] = {}
    room_bytes = ATTACHED_BYTES_MAX
    for index, attachment in enumerate(attachments):
        path = attachment.path
        if path is None or not path.startswith(S3_SCHEME) or path in objects:
            continue
        objects[path] = await _object(
            path, storage, tenant, f"attachments[{index}].path", room_bytes
        )
        room_bytes -= len(objects[path])
    return objects


async def _object(
    path: str, storage: Storage, tenant: str | None, field: str, bytes_max: int
) -> bytes:
    bucket, _, key = path.removeprefix(S3_SCHEME).partition("/")
    if bucket != storage.exports.name:
        raise MailRefused(field, f"{path!r} is not in {storage.exports.name} (EXPORT_BUCKET)")
    # `invoices/<agency>/...`, `reports/<agency>/...`
    if tenant is None:
        raise MailRefused(field, f"{path!r} belongs to an agency; say whose mail this is (tenant)")
    if key.split("/")[1:2] != [tenant]:
        raise MailRefused(field, f"{path!r} is not of agency {tenant}, whose mail this is")
    found = await storage.exports.info(key)
    if found is None:
        raise MailRefused(field, f"there is no object {path!r}")
    if found.size > bytes_max:
        raise MailRefused(
            field, f"{path!r} has {found.size} bytes, there is room for {bytes_max}; send a link"
        )
    try:
        return await storage.exports.get(key, bytes_max=bytes_max)
    except ObjectMissing as error:
        raise MailRefused(field, f"there is no object {path!r}") from error
