"""Keys that a newer streamq wrote are left alone, by every script."""

from collections.abc import Awaitable, Callable

import pytest

from streamq.errors import LayoutNewer
from streamq.job import JobState
from streamq.store import transitions
from streamq.store.keys import LAYOUT
from tests.support.by_hand import W1, W2, ByHand, new
from tests.transitions.conftest import Look

CALLS: dict[str, Callable[[ByHand], Awaitable[object]]] = {
    "register": lambda hand: hand.register(W2),
    "add": lambda hand: hand.add("b"),
    "step": lambda hand: hand.claim(W1),
    "resync": lambda hand: hand.resync(W1),
    "beat": lambda hand: hand.beat(W1),
    "reap": lambda hand: hand.reap(W1),
    "retry": lambda hand: hand.retry("a"),
    "unpark": lambda hand: hand.unpark("a"),
    "promote": lambda hand: hand.promote("a"),
    "cancel": lambda hand: hand.cancel("a"),
    "change": lambda hand: transitions.change(hand.at, new("a").id, before=b"", after=new("a")),
    "remove": lambda hand: hand.remove("a"),
    "clean": lambda hand: transitions.clean(hand.at, JobState.FAILED, older_than_ms=0),
    "drain": lambda hand: hand.drain(),
    "limit": lambda hand: hand.limit(0, paused=True),
    "repair": lambda hand: transitions.repair(hand.at, "groups"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_newer_layout_is_refused_and_nothing_is_changed(
    hand: ByHand, look: Look, name: str
) -> None:
    await hand.register(W1)
    await hand.add("a")
    look.raw.hset(hand.at.keys.names["meta"], "layout", LAYOUT + 1)
    before = look.dump()

    with pytest.raises(LayoutNewer, match=f"layout {LAYOUT + 1}"):
        await CALLS[name](hand)

    assert look.dump() == before


@pytest.mark.parametrize("name", ["register", "add"])
async def test_the_first_to_write_says_which_layout_it_is(
    hand: ByHand, look: Look, name: str
) -> None:
    await CALLS[name](hand)

    assert look.meta("layout") == str(LAYOUT)
