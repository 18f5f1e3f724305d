"""A push message as a browser's push service takes it: encrypted (RFC 8291, in the coding aes128gcm
of RFC 8188) and signed by us (VAPID, RFC 8292). Bytes in, bytes out; nothing is sent here.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import msgspec

from processors.notifications.vapid import KEY_BYTES, Vapid
from streamq.errors import MissingExtra

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ModuleNotFoundError as error:
    raise MissingExtra("web push", "cryptography", "push") from error

RECORD_BYTES: Final = 4_096
"""What every push service takes (RFC 8030, 7.2), and the size of our only record."""
_POINT_BYTES: Final = 65
_SECRET_BYTES: Final = 16
_SALT_BYTES: Final = 16
_HEADER_BYTES: Final = _SALT_BYTES + 4 + 1 + _POINT_BYTES
_TAG_BYTES: Final = 16
_LAST_RECORD: Final = b"\x02"
PLAIN_BYTES_MAX: Final = RECORD_BYTES - _HEADER_BYTES - _TAG_BYTES - len(_LAST_RECORD)

SIGNED_FOR: Final = timedelta(hours=12)
"""A push service refuses a signature that holds for more than 24 hours."""
_CURVE: Final = ec.SECP256R1()


class BadSubscription(ValueError):
    """Keys that no browser gave: the subscription is of no use."""


class Subscriber(msgspec.Struct, frozen=True):
    """The browser's two keys, as its subscription has them, decoded."""

    public_key: bytes
    secret: bytes


def subscriber(p256dh: str, auth: str) -> Subscriber:
    """Raises BadSubscription."""
    keys = Subscriber(_decoded(p256dh), _decoded(auth))
    if len(keys.public_key) != _POINT_BYTES or len(keys.secret) != _SECRET_BYTES:
        raise BadSubscription("its keys are not of the length that browsers give")
    return keys


def encrypt(
    plain: bytes,
    to: Subscriber,
    *,
    salt: bytes | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """The body of a push message. `salt` and `key` are made anew unless given (RFC's vectors).

    Raises BadSubscription for a public key that is no point of the curve. At most 3,993 bytes.
    """
    if len(plain) > PLAIN_BYTES_MAX:
        raise ValueError(f"{len(plain)} bytes, a push message holds {PLAIN_BYTES_MAX}")
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    key = ec.generate_private_key(_CURVE) if key is None else key
    try:
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, to.public_key)
        shared = key.exchange(ec.ECDH(), theirs)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSubscription("its public key is no point of P-256") from error
    ours = _point(key)
    # RFC 8291, 3.4: HKDF of one block each, so a step is two calls of HMAC.
    secret = _hkdf(to.secret, shared, b"WebPush: info\x00" + to.public_key + ours, 32)
    content_key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\x00", 12)
    sealed = AESGCM(content_key).encrypt(nonce, plain + _LAST_RECORD, None)
    return salt + RECORD_BYTES.to_bytes(4, "big") + bytes([len(ours)]) + ours + sealed


def authorization(vapid: Vapid, endpoint: str, at: datetime) -> str:
    """The header that says who we are, for that endpoint's push service only."""
    key = ec.derive_private_key(int.from_bytes(vapid.private_key, "big"), _CURVE)
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((at + SIGNED_FOR).timestamp()),
        "sub": vapid.subject,
    }
    signed = b".".join(
        _encoded(json.dumps(part, separators=(",", ":")).encode())
        for part in ({"typ": "JWT", "alg": "ES256"}, claims)
    )
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
    signature = _encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    token = (signed + b"." + signature).decode()
    return f"vapid t={token}, k={public_key(vapid)}"


def new_private_key() -> str:
    """As VAPID_PRIVATE_KEY takes it."""
    number = ec.generate_private_key(_CURVE).private_numbers().private_value
    return _encoded(number.to_bytes(KEY_BYTES, "big")).decode()


def public_key(vapid: Vapid) -> str:
    """What a page gives to `pushManager.subscribe` as applicationServerKey."""
    key = ec.derive_private_key(int.from_bytes(vapid.private_key, "big"), _CURVE)
    return _encoded(_point(key)).decode()


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:length]


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decoded(text: str) -> bytes:
    """Browsers write base64url without padding; some libraries keep it."""
    bare = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadSubscription("its keys are no base64url") from None
