"""What happens in a simulation, and when: the seed's own list of deeds and mishaps."""

from collections.abc import Mapping
from random import Random
from typing import Final

import msgspec

from streamq.testing.sim.jobs import Kind
from streamq.testing.sim.net import Weather


class Profile(msgspec.Struct, frozen=True):
    """The character of a seed: what may happen in it, and how often."""

    hosts: tuple[int, ...]
    """Children of each; 0 is an embedded process."""
    slots: int
    weather: Weather
    weights: Mapping[str, float]
    """Of what happens."""
    pause_s: float
    """Between two happenings, at most."""
    kinds: tuple[Kind, ...]
    keep_completed: int | None = None


QUIET: Final[Mapping[str, float]] = {"add": 10.0}
DEATHS: Final[Mapping[str, float]] = {
    "kill child": 2.0, "kill host": 1.0, "stop child": 1.0, "freeze": 1.5, "hang": 0.7,
}  # fmt: skip
REDIS: Final[Mapping[str, float]] = {
    "cut": 1.0, "away": 0.6, "refuse": 0.6, "full": 0.5, "flush scripts": 0.6, "fail over": 0.8,
    "clock": 0.5,
}  # fmt: skip
OPERATORS: Final[Mapping[str, float]] = {
    "pause": 0.6, "limit": 0.6, "rate": 1.0, "cancel": 1.0, "remove": 0.8, "retry": 1.0,
    "promote": 0.6, "storm": 0.6,
}  # fmt: skip


def profile(rng: Random) -> Profile:
    """The character of a seed."""
    weights = dict(QUIET)
    for group in (DEATHS, REDIS, OPERATORS):
        if rng.random() < 0.6:
            weights |= {name: weight for name, weight in group.items() if rng.random() < 0.8}
    if "clock" in weights:
        weights.pop("rate", None)  # a window has no length while the clock jumps
    return Profile(
        hosts=tuple(rng.choice((0, 1, 1, 2)) for _ in range(rng.randint(1, 3))),
        slots=rng.choice((1, 2, 3, 5, 20)),
        weather=_weather(rng),
        weights=weights,
        pause_s=rng.choice((0.02, 0.5, 5.0, 20.0)),
        kinds=tuple(k for k in Kind if k is Kind.OK or rng.random() < 0.5),
        keep_completed=rng.choice((None, None, 0, 3)),
    )


def _weather(rng: Random) -> Weather:
    bad = rng.random() < 0.7

    def part(most: float) -> float:
        return rng.random() * most if bad and rng.random() < 0.7 else 0.0

    return Weather(
        slow=part(0.1),
        slow_s=rng.choice((0.05, 1.0, 12.0)),
        lose_request=part(0.06),
        lose_reply=part(0.1),
        silence=part(0.02),
        late_copy=part(0.06),
        late_s=rng.choice((0.01, 2.0, 25.0)),
    )


def chosen(rng: Random, weights: Mapping[str, float]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
