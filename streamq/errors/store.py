"""Redis is away, unfit, or answered with a refusal."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from streamq.errors.root import StreamqError
from streamq.errors.wording import running_version


class StoreError(StreamqError):
    """Redis is away, unfit, or refused."""

    exit_code = 3


class RedisUnavailable(StoreError):
    """No connection: nothing was sent.

    `where` is host:port or a socket's path, `origin` what named it.
    """

    code = "SQ101"

    def __init__(self, where: str, origin: str, why: str) -> None:
        self.where, self.origin, self.why = where, origin, why
        super().__init__(
            f"Cannot reach Redis at {where} (from {origin}): {why}."
            " Is it running? Start one:  streamq dev   or   redis-server."
        )

    @property
    def cli_text(self) -> str:
        return f"{self}   Exit code {self.exit_code}."


class RedisRefusedPassword(StoreError):
    code = "SQ102"

    def __init__(self, origin: str, user: str = "default") -> None:
        self.origin, self.user = origin, user
        super().__init__(f"Redis refused the password of {origin} (user {user}).")


class RedisSpeaksTls(StoreError):
    code = "SQ103"

    def __init__(self, where: str, origin: str) -> None:
        self.where, self.origin = where, origin
        super().__init__(
            f"Redis at {where} (from {origin}) speaks TLS: use rediss:// or REDIS_TLS=true"
        )


class OutcomeUnknown(StoreError):
    """The request was sent and no reply came: it may have been applied, now or later."""

    code = "SQ104"

    def __init__(self, call: str, why: str) -> None:
        self.call, self.why = call, why
        super().__init__(
            f"{call}: sent to Redis, no reply ({why})."
            " It may have been applied: repeat it with the same ids."
        )


class NotApplied(StoreError):
    """Redis refused before it did anything (`word`: LOADING, READONLY, ...): a repeat is safe."""

    code = "SQ105"

    def __init__(self, call: str, word: str, detail: str = "") -> None:
        self.call, self.word, self.detail = call, word, detail
        super().__init__(
            f"{call}: Redis answered {word}{f' ({detail})' if detail else ''}; nothing was applied."
        )


class ScriptFault(StoreError):
    """A script failed with none of its own words: a fault of streamq or of the data."""

    code = "SQ106"
    exit_code = 1

    def __init__(self, script: str, line: int | None, detail: str) -> None:
        self.script, self.line, self.detail = script, line, detail
        at = f"{script}.lua:{line}" if line else f"{script}.lua"
        super().__init__(
            f"{at}: {detail}. Please report it;  streamq doctor --fix  puts torn data right."
        )


class EvictingPolicy(StoreError):
    """Said by `doctor` as an error, by `run` as a warning."""

    code = "SQ110"

    def __init__(self, policy: str) -> None:
        self.policy = policy
        super().__init__(
            f"Redis may delete jobs: maxmemory-policy is {policy}. Set noeviction:"
            "  redis-cli config set maxmemory-policy noeviction"
        )


class RedisTooOld(StoreError):
    code = "SQ111"

    def __init__(self, version: str, server: str = "Redis") -> None:
        self.version, self.server = version, server
        super().__init__(
            f"{server} {version} is too old: streamq needs 6.2 or newer (XAUTOCLAIM, LMOVE)."
            " Valkey 7.2+ works too."
        )


class Refusal(StoreError):
    """A script read, refused with a word of its own (`WORD detail`), and changed nothing."""

    word: ClassVar[str]
    sentence: ClassVar[str]
    exit_code = 1

    def __init__(self, queue: str, detail: str = "") -> None:
        self.queue, self.detail = queue, detail
        at = f"queue {queue}: " if queue else ""
        super().__init__(at + self.sentence.format(detail=f" ({detail})" if detail else ""))


class Gone(Refusal):
    """The worker has no live row; dead is for ever: it cancels what it runs and takes a new id."""

    code = "SQ120"
    word = "GONE"
    sentence = "this worker was declared dead{detail}. It registers anew under a new id."


class StaleTurn(Refusal):
    """A late copy, or a turn was lost: `resync` says what is held."""

    code = "SQ121"
    word = "STALE"
    sentence = "the turn's number is not the next one{detail}. Resync before the next turn."


class VersionConflict(Refusal):
    """The queue's settings changed since the caller read them."""

    code = "SQ122"
    word = "VERSION"
    sentence = "its settings changed meanwhile{detail}. Read them and decide again."


class StoreFull(Refusal):
    """Redis is out of memory: adds fail, workers go on draining."""

    code = "SQ123"
    word = "FULL"
    sentence = (
        "Redis is out of memory{detail}; nothing was added."
        " Raise maxmemory, or make room:  streamq clean"
    )


class WrongState(Refusal):
    """The job is not in a state that allows the call."""

    code = "SQ124"
    word = "STATE"
    sentence = "the job is in a state that does not allow this{detail}."


class OverLimit(Refusal):
    """More in one call than a script's bound."""

    code = "SQ125"
    word = "LIMIT"
    sentence = "more in one call than its bound{detail}. Split it."


class CallAgain(Refusal):
    """Not possible at this moment, and nothing is wrong: the same call a moment later."""

    code = "SQ126"
    word = "AGAIN"
    sentence = "not at this moment{detail}. Call again."


class LayoutNewer(Refusal):
    """The keys were written by a newer streamq. The detail is `found known`, such as `3 1-2`."""

    code = "SQ112"
    word = "LAYOUT"
    exit_code = 3

    def __init__(self, queue: str, detail: str = "") -> None:
        self.queue, self.detail = queue, detail
        self.found, _, self.known = detail.partition(" ")
        StoreError.__init__(
            self,
            f"Queue {queue} has layout {self.found},"
            f" this streamq ({running_version()}) knows {self.known}."
            " Update the workers, or roll the producers back; nothing was changed.",
        )


REFUSALS: Final[Mapping[str, type[Refusal]]] = MappingProxyType(
    {
        cls.word: cls
        for cls in (
            Gone,
            StaleTurn,
            LayoutNewer,
            StoreFull,
            VersionConflict,
            WrongState,
            OverLimit,
            CallAgain,
        )
    }
)


def refusal(queue: str, reply: str) -> Refusal | None:
    """The error of a script's `WORD detail` reply; None if the word is not ours."""
    word, _, detail = reply.partition(" ")
    cls = REFUSALS.get(word)
    return cls(queue, detail.strip()) if cls else None
