"""Trouble that a server can be made to have: a key of another type, no memory left."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import redis

from streamq.errors import Refusal, ScriptFault
from streamq.store.scripts import script
from tests.support.by_hand import ByHand, Rechecked
from tests.support.torn import Aftermath, Case, Stage

ASIDE: Final = b"{q}:aside"
TOKENS: Final = ("wake", "wake0")


@contextmanager
def full(raw: redis.Redis) -> Iterator[None]:
    """Redis is out of memory: what needs some is refused."""
    raw.config_set("maxmemory", 1)
    try:
        yield
    finally:
        raw.config_set("maxmemory", 0)


async def plant_each(raw: redis.Redis, hand: ByHand, case: Case) -> list[str]:
    """Makes the call with a foreign string in place of each key that the script declares.

    Once the string is gone and the key is back, all can be put right. The keys that the call fails
    for.
    """
    stage = Stage(raw, hand, await case.prepare(hand))
    before = stage.in_order("the prepared state").states()
    await case.call(hand, stage.prepared)
    whole = stage.in_order("after the whole call").states()
    failed: list[str] = []
    try:
        for name, key in _keys_of(case, hand):
            stage.set()
            with suppress(redis.ResponseError):  # no such key
                raw.rename(key, ASIDE)
            raw.set(key, b"a foreign value")
            try:
                with suppress(Refusal, Rechecked):
                    await case.call(hand, stage.prepared)
            except ScriptFault as error:
                assert "WRONGTYPE" in str(error), error
                failed.append(name)
            raw.delete(key)
            with suppress(redis.ResponseError):
                # A token that stood aside came too late: the call did not see it.
                raw.delete(ASIDE) if name in TOKENS else raw.rename(ASIDE, key)
            what = f"{case.script}, a string for {name}"
            await Aftermath(what, case, stage, before, whole).repaired()
        return failed
    finally:
        raw.delete(ASIDE)
        stage.clear()


def _keys_of(case: Case, hand: ByHand) -> list[tuple[str, bytes]]:
    declared = script(case.script).keys
    keys = [(name, hand.at.keys.names[name]) for name in declared if name != "wait"]
    if "wait" in declared:
        keys += [(f"wait {line}", key) for line, key in hand.at.keys.lines.items()]
    return keys
