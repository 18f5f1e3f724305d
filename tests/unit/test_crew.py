"""When an empty seat is filled again."""

import time
from types import SimpleNamespace
from typing import cast

from streamq.run import crew
from streamq.run.crew import RESTART_PAUSE_MAX_S, Seat
from streamq.run.process import ChildProcess


def _taken(seat: Seat, *, lived_s: float) -> None:
    child = SimpleNamespace(born_at=time.monotonic() - lived_s)
    seat.child = cast(ChildProcess, child)


def test_the_pause_doubles_with_each_death_in_a_row_and_has_an_end() -> None:
    seat = Seat()

    pauses = []
    for _ in range(40):
        _taken(seat, lived_s=1)
        pauses.append(seat.vacate(died=True))

    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses[-1] == RESTART_PAUSE_MAX_S


def test_a_child_that_lived_for_a_while_begins_a_new_count() -> None:
    seat = Seat()
    for _ in range(5):
        _taken(seat, lived_s=1)
        seat.vacate(died=True)

    _taken(seat, lived_s=crew.GOOD_AFTER_S + 1)

    assert seat.vacate(died=True) == 0.5


def test_one_that_ended_in_order_is_followed_at_once() -> None:
    seat = Seat()
    _taken(seat, lived_s=1)

    assert seat.vacate(died=False) == 0.0
    assert seat.start_at <= time.monotonic()
