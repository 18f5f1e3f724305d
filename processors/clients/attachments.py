"""Files that go with a mail: given in the payload, read from one folder that the operator allowed,
or fetched from the bucket for exports.
"""

import base64
import binascii
import errno
import mimetypes
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

import msgspec

from processors.clients.mailbox import MailRefused, check_line

ATTACHMENTS_MAX = 10
FILENAME_CHARS_MAX = 150
PATH_CHARS_MAX = 1_024
# Base64 makes 20 MiB of it; the large mailbox providers take 25 MB a message.
ATTACHED_BYTES_MAX = 15 * 1024 * 1024

S3_SCHEME = "s3://"
_S3_PATH = re.compile(r"s3://[a-z0-9.-]{3,63}/[A-Za-z0-9_][A-Za-z0-9_.:=@+/-]{0,511}")
_BINARY = "application/octet-stream"
# Types whose content in a payload is the text itself; of any other it must be base64.
_TEXT_TYPES = frozenset({"application/json", "application/xml", "image/svg+xml"})
# A link (ELOOP), a plain file or a link on the way to it (ENOTDIR), a socket (ENXIO), a name that
# no file can have (ENAMETOOLONG).
_NOT_A_FILE_ERRNOS = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENAMETOOLONG})
# From the standard library's table alone: the files of a host would make one mail differ from the
# next.
_TYPES = mimetypes.MimeTypes()


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file of a mail: its name for the reader, and either its content or where it lies.

    `content` is text for a file of text by its name (`.txt`, `.csv`, `.json`, `.html`, ...) and
    base64 for any other; `encoding` says it outright. `path` is relative to MAIL_ATTACHMENTS_DIR,
    or absolute and below it; or `s3://<bucket>/<key>`, an object of the agency's own in
    EXPORT_BUCKET.
    """

    filename: str
    content: str | None = None
    path: str | None = None
    encoding: Literal["base64", "utf-8"] | None = None


class AttachedFile(msgspec.Struct, frozen=True):
    """A file as it goes into the mail."""

    filename: str
    content_type: str
    data: bytes


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """MailRefused unless each can be attached as far as its own words tell; opens nothing."""
    if len(attachments) > ATTACHMENTS_MAX:
        raise MailRefused(
            "attachments", f"{len(attachments)} files, at most {ATTACHMENTS_MAX} are allowed"
        )
    for index, attachment in enumerate(attachments):
        field = f"attachments[{index}]"
        _check_filename(attachment.filename, f"{field}.filename")
        if (attachment.content is None) == (attachment.path is None):
            raise MailRefused(field, "give either content or path")
        if attachment.content is not None:
            _content_bytes(attachment, attachment.content, f"{field}.content")
        elif attachment.path is not None:
            _check_path(attachment.path, f"{field}.path")


def load_attachments(
    attachments: Sequence[Attachment],
    folder: Path | None,
    objects: Mapping[str, bytes] = MappingProxyType({}),
) -> tuple[AttachedFile, ...]:
    """The files' bytes; blocking, so call it in a thread. `folder` is the one place that `path` may
    name; `objects` are those of `s3://` paths, fetched already.

    Raises MailRefused for what can never be attached (outside of the folder, a symbolic link,
    missing, too large) and OSError for trouble that may pass.
    """
    check_attachments(attachments)
    files: list[AttachedFile] = []
    room_bytes = ATTACHED_BYTES_MAX
    for index, attachment in enumerate(attachments):
        field = f"attachments[{index}]"
        if attachment.content is not None:
            data = _content_bytes(attachment, attachment.content, f"{field}.content")
        elif (path := attachment.path or "") in objects:
            data = objects[path]
        else:
            data = _read_below(folder, path, f"{field}.path", room_bytes)
        room_bytes -= len(data)
        if room_bytes < 0:
            raise MailRefused(
                "attachments",
                f"more than {ATTACHED_BYTES_MAX // 1024**2} MiB in all; send a link instead",
            )
        files.append(AttachedFile(attachment.filename, _content_type(attachment.filename), data))
    return tuple(files)


def _check_filename(filename: str, field: str) -> None:
    check_line(filename, field, chars_max=FILENAME_CHARS_MAX)
    if not filename.strip(" .") or any(mark in filename for mark in '/\\<>:"|?*'):
        raise MailRefused(field, f"{filename!r} is no name of a file; give a bare name: boleto.pdf")


def _check_path(path: str, field: str) -> None:
    check_line(path, field, chars_max=PATH_CHARS_MAX)
    if path.startswith(S3_SCHEME):
        if _S3_PATH.fullmatch(path) is None or ".." in path or "//" in path[len(S3_SCHEME) :]:
            raise MailRefused(field, f"{path[:80]!r} is no object; write s3://<bucket>/<key>")
    elif not path or "\\" in path or ".." in PurePosixPath(path).parts:
        raise MailRefused(field, f"{path!r} is no path below MAIL_ATTACHMENTS_DIR")


def _content_bytes(attachment: Attachment, content: str, field: str) -> bytes:
    if _is_text(attachment):
        try:
            return content.encode()
        except UnicodeEncodeError as error:
            raise MailRefused(field, "holds half a surrogate pair, which is no text") from error
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MailRefused(
            field,
            f"is not base64, as a file of type {_content_type(attachment.filename)} must be;"
            ' if it is the text itself, say so: "encoding": "utf-8"',
        ) from error


def _is_text(attachment: Attachment) -> bool:
    if attachment.encoding is not None:
        return attachment.encoding == "utf-8"
    content_type = _content_type(attachment.filename)
    return content_type.startswith("text/") or content_type in _TEXT_TYPES


def _content_type(filename: str) -> str:
    content_type, packing = _TYPES.guess_type(filename, strict=True)
    # `.csv.gz` is guessed as text in gzip; and a message in a message may not be base64 (RFC 2046,
    # 5.2.1).
    if content_type is None or packing or content_type.startswith(("message/", "multipart/")):
        return _BINARY
    return content_type


def _read_below(folder: Path | None, path: str, field: str, bytes_max: int) -> bytes:
    if folder is None:
        raise MailRefused(
            field, "no folder is allowed for attachments; set MAIL_ATTACHMENTS_DIR to one"
        )
    try:
        handle = _open_below(folder.resolve(), path, field)
    except FileNotFoundError as error:
        raise MailRefused(field, f"there is no file {path!r} in {folder}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise MailRefused(field, f"{path!r} is not a plain file")
    with os.fdopen(handle, "rb") as file:
        # One byte more than there is room for: the caller sees that it is too much without reading
        # it all.
        return file.read(bytes_max + 1)


def _open_below(folder: Path, path: str, field: str) -> int:
    """A descriptor of the file, reached from `folder` name by name, none of them a link.

    `Path.resolve` and then `open` would leave a moment in which a folder on the way is exchanged
    for a link.
    """
    inside = Path(os.path.normpath(folder / path))
    if not inside.is_relative_to(folder) or inside == folder:
        raise MailRefused(field, f"{path!r} is outside of {folder}")
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, filename = inside.relative_to(folder).parts
        for name in folders:
            there = os.open(
                name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
            )
            os.close(here)
            here = there
        # O_NONBLOCK: opening a named pipe would else wait for its other end.
        return os.open(
            filename, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here
        )
    except OSError as error:
        if error.errno in _NOT_A_FILE_ERRNOS:
            raise MailRefused(field, f"{path!r} is not a plain file") from error
        raise
    finally:
        os.close(here)
