"""A browser's side of web push: its keys, and reading what was encrypted for it (RFC 8291)."""

import base64
import os

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Browser:
    """`p256dh` and `auth` are what its subscription gives to the application."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey | None = None, secret: bytes | None = None
    ) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self._secret = secret or os.urandom(16)
        self._point = self._key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        self.p256dh = base64.urlsafe_b64encode(self._point).decode().rstrip("=")
        self.auth = base64.urlsafe_b64encode(self._secret).decode().rstrip("=")

    def read(self, body: bytes) -> bytes:
        """The message. Raises InvalidTag if it is for another browser."""
        salt, length = body[:16], body[20]
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
        shared = self._key.exchange(ec.ECDH(), point)
        secret = _hkdf(shared, self._secret, b"WebPush: info\x00" + self._point + theirs, 32)
        key = _hkdf(secret, salt, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = _hkdf(secret, salt, b"Content-Encoding: nonce\x00", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None)
        plain, mark, _ = padded.rstrip(b"\x00").rpartition(b"\x02")
        assert mark, "the last record ends with a 2"
        return plain


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
