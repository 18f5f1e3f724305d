"""The lanes of one worker: those that claim, and those that only end what they run.

A lane's row in Redis says how many slots it has, and its register what limits the code has; neither
is said twice. For other slots or other terms, other lanes take over. What runs goes on in the lane
that claimed it, and its slot is not there for the others until it ends.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

from streamq.job import WorkerId
from streamq.run.lane import Lane
from streamq.store.transitions import SLOTS_MAX

LANES_FROM_SLOTS: Final = 20  # a worker with fewer slots has one lane: nothing to overlap


class Roster:
    """See the module. `made` makes a lane of so many slots; nobody runs it here."""

    def __init__(self, slots: int, made: Callable[[int], Lane]) -> None:
        self._made = made
        self.slots = slots
        self.lanes = self._fresh()
        self.leaving: list[Lane] = []
        """They claim nothing more; at most one for each slot that is in use."""

    def __iter__(self) -> Iterator[Lane]:
        yield from self.lanes
        yield from self.leaving

    def change(self, slots: int) -> None:
        """Other lanes, of so many slots together, claim from now on."""
        before, self.slots = self.lanes, slots
        self.lanes = self._fresh()
        for lane in self.lanes:
            lane.follow(before[0])
        for lane in before:
            lane.stopping = True
            lane.nudge()
        self.leaving += before
        self.share_out()

    def share_out(self) -> None:
        """The slots that leaving lanes do not hold, to those that claim."""
        self.leaving = [lane for lane in self.leaving if lane.id or lane.busy]
        free = max(0, self.slots - sum(lane.busy for lane in self.leaving))
        for i, lane in enumerate(self.lanes):
            before, lane.slots = lane.slots, _part(free, len(self.lanes), i)
            if lane.slots > before:
                lane.nudge()

    def ended(self, lane: Lane) -> None:
        """A lane's line of calls has ended."""
        if lane in self.leaving:
            lane.id = WorkerId("")
            self.share_out()

    def _fresh(self) -> list[Lane]:
        slots = self.slots
        count = 1 if slots < LANES_FROM_SLOTS else max(2, math.ceil(slots / SLOTS_MAX))
        return [self._made(_part(slots, count, i)) for i in range(count)]


def _part(slots: int, lanes: int, lane: int) -> int:
    """A lane's share of the slots."""
    return slots // lanes + (lane < slots % lanes)
