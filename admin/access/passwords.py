"""Passwords: the three forms in which they are kept, and checking them without a word by the clock.

Ours is scrypt, in a text that no shell, compose file or list trips over:
`scrypt.<log2 N>.<r>.<p>.<salt>.<hash>`. The application before wrote two more into its `users`
table; those are checked and never written.

A check costs what the kinds of hash cost that there can be, whichever of them the account has, and
whether or not there is one: so the time of an answer does not tell who exists.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import sys
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Final

import msgspec

from admin.access.refusals import NotNow

AT_ONCE_MAX: Final = 4
"""A hash takes 128 MiB and a processor for half a second: more of them would starve the loop."""
WAITING_MAX: Final = 64
"""Logins that wait for one of the four; the next is told to come back."""
PASSWORD_CHARS_MAX: Final = 1_024
BUSY_RETRY_S: Final = 10
NICE: Final = 10
"""Of the threads that hash, where threads have one (Linux): all else goes first."""

_HASH_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NODE_HASH_BYTES: Final = 64
_BCRYPT_BYTES_MAX: Final = 72
"""bcrypt looks at no more; the package raises for more, the one in Node cuts."""
_OURS: Final = re.compile(
    r"scrypt\.([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{1,2})\.([\w-]{11,86})\.([\w-]{22,86})", re.ASCII
)
_NODE_SCRYPT: Final = re.compile(r"([0-9a-f]{128})\.([0-9a-zA-Z]{1,128})", re.ASCII)
_BCRYPT: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_BCRYPT_COST_MAX: Final = 16
"""Each step doubles it; 16 takes eight seconds."""


class Form(StrEnum):
    """How a password is kept."""

    SCRYPT = "scrypt"
    """Ours."""
    BCRYPT = "bcrypt"
    NODE_SCRYPT = "node-scrypt"
    """`hex(64 bytes).salt`, with the costs that Node's crypto.scrypt has by itself."""


class Cost(msgspec.Struct, frozen=True):
    """Of scrypt. The default takes 128 MiB and some 0.5 s: what OWASP asks for."""

    log2_n: int = 17
    r: int = 8
    p: int = 1

    @property
    def memory_bytes(self) -> int:
        return 128 * self.r * ((1 << self.log2_n) + self.p + 2)

    @property
    def work(self) -> int:
        """To compare two costs by."""
        return (1 << self.log2_n) * self.r * self.p


COST: Final = Cost()
NODE_COST: Final = Cost(14, 8, 1)
BCRYPT_COST: Final = 12
"""What the application before took; what its table really has is learned from the hashes met."""


class Costs(msgspec.Struct, frozen=True):
    """Of the forms whose cost can be chosen."""

    scrypt: Cost = COST
    bcrypt: int = BCRYPT_COST


COSTS: Final = Costs()
_MEMORY_BYTES_MAX: Final = 512 << 20
_LOG2_N_MIN: Final = 10


class UnknownForm(ValueError):
    """A stored text that is no hash of a kind we know."""


def form_of(stored: str) -> Form:
    """Raises UnknownForm; the text itself is not in its message."""
    if (found := _BCRYPT.fullmatch(stored)) and int(found[1]) <= _BCRYPT_COST_MAX:
        return Form.BCRYPT
    if _NODE_SCRYPT.fullmatch(stored):
        return Form.NODE_SCRYPT
    _parsed(stored)
    return Form.SCRYPT


def cost_of(stored: str) -> Cost:
    """What a hash of ours costs. Raises UnknownForm."""
    return _parsed(stored)[0]


def hashed(password: str, cost: Cost = COST) -> str:
    """The password as it is kept, with a salt of its own. Takes `cost`: not for an event loop."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, cost, _HASH_BYTES)
    return f"scrypt.{cost.log2_n}.{cost.r}.{cost.p}.{_text(salt)}.{_text(key)}"


def _parsed(stored: str) -> tuple[Cost, bytes, bytes]:
    found = _OURS.fullmatch(stored)
    if found is None:
        raise UnknownForm("not the output of `streamq hash-password`")
    cost = Cost(int(found[1]), int(found[2]), int(found[3]))
    if cost.log2_n < _LOG2_N_MIN or not cost.r * cost.p or cost.memory_bytes > _MEMORY_BYTES_MAX:
        raise UnknownForm("its costs are out of range")
    try:
        return cost, _bytes(found[4]), _bytes(found[5])
    except ValueError:
        raise UnknownForm("its salt or hash is no base64") from None


def _scrypt(password: str, salt: bytes, cost: Cost, length: int) -> bytes:
    return hashlib.scrypt(
        password.encode(errors="surrogatepass"),
        salt=salt,
        n=1 << cost.log2_n,
        r=cost.r,
        p=cost.p,
        maxmem=cost.memory_bytes + (1 << 20),
        dklen=length,
    )


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


# ---- checking


def fits(form: Form, stored: str, password: str) -> bool:
    """Whether it is the password of a hash of that form. Takes its time: not for an event loop."""
    match form:
        case Form.SCRYPT:
            cost, salt, key = _parsed(stored)
            return hmac.compare_digest(_scrypt(password, salt, cost, len(key)), key)
        case Form.NODE_SCRYPT:
            head, _, node_salt = stored.partition(".")
            # Node was given the salt as text, and hashed that text's bytes.
            given = _scrypt(password, node_salt.encode(), NODE_COST, _NODE_HASH_BYTES)
            return hmac.compare_digest(given.hex(), head)
        case Form.BCRYPT:
            import bcrypt  # an extra, and asked only where there is a table

            given = password.encode(errors="surrogatepass")[:_BCRYPT_BYTES_MAX]
            return bcrypt.checkpw(given, stored.encode())


class Checker:
    """Checks passwords in threads of its own, at most four at once.

    `forms` are those that any account here may have; each check does every one of them once, with
    the account's hash or with one that is nobody's.
    """

    def __init__(self, forms: Sequence[Form], costs: Costs = COSTS) -> None:
        """`costs`: of the hashes that are nobody's; of ours what the costliest account has."""
        self._forms = tuple(sorted(set(forms)))
        self._nobodys = {form: _nobodys(form, costs) for form in self._forms}
        self._threads = ThreadPoolExecutor(AT_ONCE_MAX, "password", initializer=_yield_to_others)
        self._under_way = 0

    async def check(self, stored: str | None, password: str) -> bool:
        """Whether it is the password behind `stored`; of nobody's account (None) it never is.

        Raises NotNow if too many logins wait.
        """
        if self._under_way >= AT_ONCE_MAX + WAITING_MAX:
            raise NotNow(
                "Too many logins at once", "Try again in a moment.", retry_after_s=BUSY_RETRY_S
            )
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._checked, stored, password)
        finally:
            self._under_way -= 1

    def _checked(self, stored: str | None, password: str) -> bool:
        own: Form | None = None
        if stored is not None:
            try:
                own = form_of(stored)
            except UnknownForm:
                own = None  # it cannot be logged in with, and costs the same
        found = False
        for form in self._forms:
            if form is own and stored is not None:
                found = fits(form, stored, password)
                if cost := _BCRYPT.fullmatch(stored):
                    # It stands in each hash: nobody's is to cost what somebody's does.
                    self._nobodys[form] = _nobodys_bcrypt(int(cost[1]))
            else:
                fits(form, self._nobodys[form], password)
        return found

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _nobodys(form: Form, costs: Costs) -> str:
    """A hash that no password fits, as far as anybody can find out; no work went into it."""
    match form:
        case Form.SCRYPT:
            salt, key = _text(os.urandom(_SALT_BYTES)), _text(os.urandom(_HASH_BYTES))
            return f"scrypt.{costs.scrypt.log2_n}.{costs.scrypt.r}.{costs.scrypt.p}.{salt}.{key}"
        case Form.NODE_SCRYPT:
            return f"{secrets.token_hex(_NODE_HASH_BYTES)}.{secrets.token_hex(16)}"
        case Form.BCRYPT:
            return _nobodys_bcrypt(costs.bcrypt)


def _nobodys_bcrypt(cost: int) -> str:
    # 22 signs of salt and 31 of hash; of the last of each only some bits count.
    signs = secrets.token_hex(26)
    return f"$2b${cost:02}${signs[:21]}u{signs[21:51]}u"


def _yield_to_others() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
