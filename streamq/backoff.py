"""Retry policies: how long to wait before the attempt that follows a failed one.

Made by `fixed`, `linear`, `exponential`, `steps` and `calling`, or read from settings by
`from_settings`; a job's record carries one as a few bytes (`to_wire`, `from_wire`), all but
`calling`, which lives on a handler.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from streamq.durations import DURATION_MS_MAX, Duration, Ms, show_ms, to_ms
from streamq.errors import InvalidBackoff
from streamq.suggest import nearest
from streamq.verdicts import Fail, Retry, Snooze

STEPS_MAX: Final = 100
# 2**40 ms is over 34 years: beyond it every delay is at the cap, and the number is never made.
_DOUBLINGS_MAX: Final = 40

Rand = Callable[[], float]
"""Evenly from 0 up to 1, 1 excluded."""

Choose = Callable[[int, Exception], Duration | None]
"""Of the failed attempt (1 = the first) and its error: the wait, or None to give up."""

_Length = Annotated[int, msgspec.Meta(ge=0, le=DURATION_MS_MAX)]
_Part = Annotated[float, msgspec.Meta(ge=0, le=1)]


def _random() -> float:
    # Imported at the first jitter: `random` costs more to import than all the rest of this file.
    from random import random

    return random()


_WIRE_NAMES: Final = {"delay": "d", "max": "m", "jitter": "j", "waits": "w"}


class Backoff(msgspec.Struct, frozen=True, tag_field="k", rename=_WIRE_NAMES, omit_defaults=True):
    """A retry policy.

    Subclasses say the plain wait; cap, jitter and an error's own word are the same for all.
    """

    def delay_ms(self, attempt: int, error: Exception, rand: Rand = _random) -> Ms | None:
        """Wait before the retry that follows `attempt` (1 = the first try); None gives up.

        An error's own word wins and is not capped: `Retry(after=...)`, `Snooze`, `Fail`. Whether
        attempts are left is the caller's to know. Raises what a function given to `calling` raises.
        """
        assert attempt >= 1, f"attempts count from 1, got {attempt}"
        match error:
            case Fail():
                return None
            case Snooze(after_ms=after_ms):
                return after_ms
            case Retry(after_ms=after_ms) if after_ms is not None:
                return after_ms
        return self._own_ms(attempt, error, rand)

    def _own_ms(self, attempt: int, error: Exception, rand: Rand) -> Ms | None:
        raise NotImplementedError


class _Timed(Backoff, frozen=True):
    """A wait computed from the attempt's number alone, capped, then shortened by the jitter."""

    delay: _Length
    max: _Length = DURATION_MS_MAX
    jitter: _Part | None = None

    def _own_ms(self, attempt: int, error: Exception, rand: Rand) -> Ms | None:
        return _shortened(min(self._grown_ms(attempt), self.max), self.jitter, rand)

    def _grown_ms(self, attempt: int) -> int:
        raise NotImplementedError


class Fixed(_Timed, frozen=True, tag="f"):
    """The same wait each time."""

    def _grown_ms(self, attempt: int) -> int:
        return self.delay


class Linear(_Timed, frozen=True, tag="l"):
    """`delay * attempt`: 5, 10, 15 s."""

    def _grown_ms(self, attempt: int) -> int:
        return self.delay * attempt


class Exponential(_Timed, frozen=True, tag="e"):
    """`delay * 2 ** (attempt - 1)`: 5, 10, 20 s."""

    def _grown_ms(self, attempt: int) -> int:
        return self.delay << min(attempt - 1, _DOUBLINGS_MAX)


class Steps(Backoff, frozen=True, tag="s"):
    """One wait after another, as listed; the last one holds for all further attempts."""

    waits: Annotated[tuple[_Length, ...], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]
    jitter: _Part | None = None

    def _own_ms(self, attempt: int, error: Exception, rand: Rand) -> Ms | None:
        return _shortened(self.waits[min(attempt, len(self.waits)) - 1], self.jitter, rand)


class Calling(Backoff, frozen=True):
    """A function of the application decides.

    Not for a job's record: a record holds data, never code.
    """

    choose: Choose

    def _own_ms(self, attempt: int, error: Exception, rand: Rand) -> Ms | None:
        chosen = self.choose(attempt, error)
        return None if chosen is None else to_ms(chosen, "backoff")


def _shortened(wait_ms: int, jitter: float | None, rand: Rand) -> Ms:
    # Shortened, never lengthened: a cap stays a cap.
    return Ms(wait_ms - int(wait_ms * jitter * rand())) if jitter else Ms(wait_ms)


def fixed(delay: Duration, *, jitter: float = 0) -> Fixed:
    """`delay` each time.

    `jitter`, here and below, is the part of a wait, 0 to 1, that chance may take off it.
    """
    return Fixed(to_ms(delay, "backoff delay"), jitter=_checked_jitter(jitter))


def linear(delay: Duration, *, max: Duration | None = None, jitter: float = 0) -> Linear:
    """`delay` times the number of the failed attempt, at most `max`."""
    return Linear(to_ms(delay, "backoff delay"), _cap_ms(max), _checked_jitter(jitter))


def exponential(delay: Duration, *, max: Duration | None = None, jitter: float = 0) -> Exponential:
    """`delay`, then twice that after each further attempt, at most `max`."""
    return Exponential(to_ms(delay, "backoff delay"), _cap_ms(max), _checked_jitter(jitter))


def steps(waits: Sequence[Duration], *, jitter: float = 0) -> Steps:
    """The listed waits in turn, 1 to 100 of them; the last repeats."""
    if isinstance(waits, str) or not 1 <= len(waits) <= STEPS_MAX:
        raise InvalidBackoff(waits, f"give a list of 1 to {STEPS_MAX} durations.")
    return Steps(tuple(to_ms(wait, "backoff step") for wait in waits), _checked_jitter(jitter))


def calling(choose: Choose) -> Calling:
    """`choose(attempt, error)` gives the wait, or None to give up."""
    return Calling(choose)


def as_backoff(value: "Backoff | Sequence[Duration] | Choose") -> Backoff:
    """What an option `backoff=` takes: a policy, a list of durations, or a function."""
    if isinstance(value, Backoff):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return steps(value)
    if callable(value):
        return calling(value)
    raise InvalidBackoff(value, 'give exponential("5s"), fixed("5s"), ["1s", "1m"] or a function.')


def _cap_ms(cap: Duration | None) -> Ms:
    return DURATION_MS_MAX if cap is None else to_ms(cap, "backoff max")


def _checked_jitter(jitter: float) -> float | None:
    if not 0 <= jitter <= 1:  # false for NaN too
        raise InvalidBackoff(
            jitter, "jitter is the part of a wait that chance may take off it: 0 to 1."
        )
    # None rather than 0.0: a field at its default is left out of the record.
    return float(jitter) or None


# ---- as bytes, for a job's record

_wire_encoder = msgspec.msgpack.Encoder()
_wire_decoder: msgspec.msgpack.Decoder[Backoff] = msgspec.msgpack.Decoder(
    Fixed | Linear | Exponential | Steps
)


def to_wire(policy: Backoff) -> bytes:
    """A policy as msgpack, some ten bytes.

    Raises `InvalidBackoff` for a function: put it on the handler.
    """
    if isinstance(policy, Calling):
        raise InvalidBackoff(
            getattr(policy.choose, "__qualname__", policy.choose),
            "a function cannot travel with a job. Put it on the handler, or give exponential(...).",
        )
    return _wire_encoder.encode(policy)


def from_wire(data: bytes | msgspec.Raw) -> Backoff:
    """The policy of a job's record. Raises `InvalidBackoff` for bytes that are none."""
    try:
        return _wire_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidBackoff(bytes(data), f"it is no stored policy ({error}).") from error


# ---- from settings


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A policy as it is written in a settings file or in variables."""

    kind: Literal["fixed", "linear", "exponential", "list"] = "exponential"
    delay: str | None = None
    max: str | None = None
    jitter: float = 0
    steps: list[str] | None = None


def from_settings(value: Mapping[str, object]) -> Backoff:
    """The policy that a table in a file describes.

    `{kind = "exponential", delay = "5s", max = "10m", jitter = 0}` or `{kind = "list", steps =
    ["1s", "1m"]}`. Raises `InvalidBackoff`, or what a duration in it raises.
    """
    for key in value:
        if key not in _Written.__struct_fields__:
            meant = nearest(key, _Written.__struct_fields__)
            hint = f' Did you mean "{meant}"?' if meant else ""
            raise InvalidBackoff(value, f'it has no "{key}".{hint}')
    try:
        written = msgspec.convert(value, _Written, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidBackoff(value, str(error).replace("`", "")) from error
    return _built(written, value)


def to_settings(policy: Backoff) -> Mapping[str, str | float | list[str]]:
    """A policy as a file writes it: what `from_settings` reads back. Not for a function."""
    table: dict[str, str | float | list[str]] = {}
    match policy:
        case Steps(waits=waits):
            table |= {"kind": "list", "steps": [show_ms(wait) for wait in waits]}
        case Fixed(delay=delay):
            table |= {"kind": "fixed", "delay": show_ms(delay)}
        case Linear(delay=delay, max=cap) | Exponential(delay=delay, max=cap):
            table |= {"kind": type(policy).__name__.lower(), "delay": show_ms(delay)}
            table |= {"max": show_ms(cap)} if cap != DURATION_MS_MAX else {}
        case _:
            raise InvalidBackoff(policy, "a function cannot stand in a file.")
    return table | ({"jitter": policy.jitter} if policy.jitter else {})


def _built(written: _Written, value: Mapping[str, object]) -> Backoff:
    if written.kind == "list":
        if written.steps is None or written.delay or written.max:
            raise InvalidBackoff(value, 'a list has "steps", and neither "delay" nor "max".')
        return steps(written.steps, jitter=written.jitter)
    if written.delay is None or written.steps is not None:
        raise InvalidBackoff(value, f'kind "{written.kind}" has a "delay", and no "steps".')
    if written.kind == "fixed":
        if written.max is not None:
            raise InvalidBackoff(value, 'kind "fixed" has no "max": its delay never grows.')
        return fixed(written.delay, jitter=written.jitter)
    make = linear if written.kind == "linear" else exponential
    return make(written.delay, max=written.max, jitter=written.jitter)
