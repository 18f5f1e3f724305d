"""Our key for web push: VAPID_PRIVATE_KEY, and whom a push service may write to about us."""

import base64
import binascii
from typing import Final

import msgspec

KEY_BYTES: Final = 32
# The order of P-256: a private key is from 1 to one less.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class InvalidVapid(ValueError):
    """A key or subject that no push service would take. Its text holds neither."""


class Vapid(msgspec.Struct, frozen=True):
    """`subject`: `mailto:...` or `https://...`."""

    private_key: bytes
    subject: str

    def __repr__(self) -> str:
        return f"Vapid(subject={self.subject!r})"


def parse_vapid(private_key: str, subject: str) -> Vapid:
    """Raises InvalidVapid."""
    bare = private_key.strip().rstrip("=")
    try:
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidVapid(
            "it is no base64url; make one:  python -m processors.notifications"
        ) from None
    if len(raw) != KEY_BYTES or not 0 < int.from_bytes(raw, "big") < _ORDER:
        raise InvalidVapid(
            f"it is no private key of P-256 ({KEY_BYTES} bytes, without a PEM's armour)"
        )
    if not subject.startswith(("mailto:", "https://")):
        raise InvalidVapid("its subject is no mailto: or https: address")
    return Vapid(raw, subject)
