"""Sessions of the Node application: the cookie that express-session signed, the record in Redis.

The cookie is `s:<sid>.<HMAC-SHA256 of the sid, in base64>`, escaped as URLs are, signed with
SESSION_SECRET; the record is JSON under `sess:<sid>`. A record's own word on its end is that of its
last change: express-session lengthens a visited session's life in Redis alone, so Redis is asked.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from typing import Final
from urllib.parse import unquote

import msgspec

RECORD_BYTES_MAX: Final = 64 << 10
USER_CHARS_MAX: Final = 128

_SID: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")


class _Passport(msgspec.Struct):
    user: str | int | None = None


class _Record(msgspec.Struct):
    """What stands in it for us. express-session always writes `cookie`; ours have none."""

    cookie: dict[str, object]
    passport: _Passport | None = None


def signed(value: str) -> bool:
    """Whether a cookie's value is one that express-session writes, by its looks."""
    return unquote(value[:4]).startswith("s:")


def sid_of(value: str, secret: str) -> str | None:
    """The session's id, if the cookie was signed with this secret."""
    sid, dot, signature = unquote(value).removeprefix("s:").rpartition(".")
    if not dot or not _SID.fullmatch(sid):
        return None
    made = b64encode(hmac.digest(secret.encode(), sid.encode(), hashlib.sha256)).rstrip(b"=")
    return sid if hmac.compare_digest(made, signature.encode(errors="replace")) else None


def user_of(record: bytes) -> str | None:
    """The id of the user who is logged in there, as text; None if nobody is."""
    if len(record) > RECORD_BYTES_MAX:
        return None
    try:
        found = msgspec.json.decode(record, type=_Record)
    except msgspec.MsgspecError:
        return None
    user = None if found.passport is None else found.passport.user
    if user is None or not 0 < len(str(user)) <= USER_CHARS_MAX:
        return None
    return str(user)
