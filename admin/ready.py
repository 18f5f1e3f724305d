"""Access for one run of `streamq dev`: a token and a login that nothing but this process knows."""

import secrets
from typing import Final

import msgspec

from admin.access.passwords import hashed
from admin.access.tokens import made
from admin.policy import Role
from admin.settings import Settings

NAME: Final = "dev"
EXPIRES_MS: Final = 7 * 86_400_000
"""It ends with the process; one that is forgotten in a terminal ends too."""
_PASSWORD_BYTES: Final = 12


class Ready(msgspec.Struct, frozen=True):
    """What to paste. `password` None: there are users of the configuration, so none was added."""

    token: str
    password: str | None

    def __repr__(self) -> str:
        return "Ready()"


def with_ready(settings: Settings) -> tuple[Settings, Ready]:
    """The settings with one admin more. Hashes a password: not for an event loop at work."""
    token = made(NAME, Role.ADMIN, EXPIRES_MS)
    tokens = f"{settings.tokens} {token.kept.entry}"
    if settings.users:
        return msgspec.structs.replace(settings, tokens=tokens), Ready(token.token, None)
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    users = f"{NAME}:{Role.ADMIN}:{hashed(password)}"
    changed = msgspec.structs.replace(settings, tokens=tokens, users=users)
    return changed, Ready(token.token, password)
