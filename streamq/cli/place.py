"""Which Redis a command line means: the first of the places that answers."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from streamq.cli.ping import LIMIT_S, ping
from streamq.errors import RedisUnavailable
from streamq.lookup import RedisPlace, redis_places

DEFAULT_SHOWN: Final = "the default"


class Answer(NamedTuple):
    """A place that answered PING, and in how many milliseconds."""

    place: RedisPlace
    ms: float


def places_of(args: Namespace, environ: Mapping[str, str] = os.environ) -> list[RedisPlace]:
    """Where to look: --redis, else the environment, a file, `streamq dev`, localhost."""
    config = Path(args.config) if args.config else None
    found = redis_places(args.redis, environ, Path.cwd(), config)
    return [RedisPlace(place.url, named(place.origin)) for place in found]


def first_that_answers(places: Sequence[RedisPlace], limit_s: float = LIMIT_S) -> Answer:
    """Raises what the last of them says: that a `streamq dev` has ended is no trouble."""
    *dev, last = places
    for place in dev:
        try:
            return Answer(place, ping(place, limit_s))
        except RedisUnavailable:
            continue
    return Answer(last, ping(last, limit_s))


def named(origin: str) -> str:
    """An origin as a message has it: a file by its way from here."""
    if origin == "default":
        return DEFAULT_SHOWN
    path = Path(origin)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return origin
