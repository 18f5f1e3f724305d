"""The sleep of an idle worker: one blocking pop in Redis for all of its lanes.

A token only says "look". Owns which lane sleeps for the worker (that one holds the timer), and
nudges the lane that can use what a token stands for.
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from streamq.clock import Clock
from streamq.errors import NotApplied, OutcomeUnknown, StoreError
from streamq.run.lane import Lane
from streamq.store.address import Address
from streamq.store.client import BLOCK_MARGIN_S, Arg, ErrorReply, Wire
from streamq.store.keys import Keys
from streamq.store.scripts import named

SLEEP_MAX_S: Final = 60.0  # of one pop; no more than the timer's longest time
REST_LIMIT_S: Final = 0.003
PAUSE_S: Final = 1.0  # before a pop that follows two in a row that Redis did not take

log = logging.getLogger("streamq.worker")


class Sleep:
    """See the module. One for a worker, but none for the suspects' process, which looks."""

    def __init__(self, lanes: Sequence[Lane], address: Address, keys: Keys, clock: Clock) -> None:
        self._lanes = tuple(lanes)
        self._queue = keys.queue
        self._wake, self._wake_given_back = keys.names["wake"], keys.names["wake0"]
        self._wire = Wire(address, self._wake, name=f"streamq-{keys.queue}")
        self._clock = clock
        self._may_pop = asyncio.Event()
        self._told = False
        self._sleeper = self._lanes[0]
        self._sleeper.waits = True

    def change(self, lanes: Sequence[Lane]) -> None:
        """Other lanes took over: one of them sleeps for the worker from now on."""
        self._sleeper.waits = False
        self._lanes, self._sleeper = tuple(lanes), lanes[0]
        self._sleeper.waits = True

    def on_turn(self) -> None:
        """A lane has turned: whether somebody is to sleep, and who."""
        if not self._sleeper.free_slots:
            self._hand_over()
        if self._sleeper.hungry and self._sleeper.free_slots:
            self._may_pop.set()

    def _hand_over(self) -> None:
        """A full lane cannot use a token: one with free slots sleeps for the worker from now on."""
        for lane in self._lanes:
            if lane.hungry and lane.free_slots:
                self._sleeper.waits, lane.waits = False, True
                self._sleeper = lane
                lane.nudge()
                return

    async def run(self) -> None:
        """Pops tokens until cancelled.

        The pop stays open while turns go on; a token that comes when all slots are taken is
        answered with a turn as well, which passes it on.
        """
        failed_at = -math.inf
        try:
            while True:
                await self._may_pop.wait()
                self._may_pop.clear()
                await self._rest()
                try:
                    token = await self._pop()
                except StoreError as error:
                    self._tell(error)
                    # Again at once, but for one that fails again at once.
                    failed_at, before = self._clock.monotonic(), failed_at
                    if failed_at - before < PAUSE_S:
                        await asyncio.sleep(PAUSE_S)
                    self._may_pop.set()
                    continue
                if token is None:
                    self._may_pop.set()
                elif token == self._wake_given_back:
                    (self._takes_given_back() or self._sleeper).nudge()
                else:
                    self._sleeper.nudge()
        finally:
            await self._wire.close()

    async def _pop(self) -> bytes | None:
        """The list that a token came from; None if none came."""
        lists: list[Arg] = [self._wake]
        if self._takes_given_back() is not None:
            lists.append(self._wake_given_back)
        lane, commands = self._sleeper, [("BLPOP", *lists, int(SLEEP_MAX_S))]
        ahead = lane.send_ahead()
        if ahead is not None:
            commands.append(ahead)
        what = f"sleep of queue {self._queue}"
        try:
            token, *turn = await self._wire.exchange(
                what, commands, timeout_s=SLEEP_MAX_S + BLOCK_MARGIN_S
            )
        except BaseException as error:
            if ahead is not None:
                sent = isinstance(error, OutcomeUnknown | asyncio.CancelledError)
                why = OutcomeUnknown(what, str(error)) if sent else NotApplied(what, "unsent")
                lane.hear_ahead(why)
            raise
        if turn:
            reply = turn[0]
            if isinstance(reply, ErrorReply):
                reply = named(self._queue, "step", reply)
            lane.hear_ahead(reply)
        if isinstance(token, StoreError):
            raise token
        popped: bytes | None = None if token is None else token[0]
        return popped

    async def _rest(self) -> None:
        """Lets what just began end: an idle lane can send its next turn ahead of the token."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_LIMIT_S):
                await self._sleeper.rests.wait()

    def _takes_given_back(self) -> Lane | None:
        """A lane with free slots whose share of the given-back jobs is not used up."""
        return next((n for n in self._lanes if n.free_slots and n.takes_given_back), None)

    def _tell(self, error: StoreError) -> None:
        # A user who may not pop: jobs start late, and that must be seen, once.
        refused = isinstance(error, ErrorReply) and not self._told
        self._told |= refused
        log.log(
            logging.WARNING if refused else logging.DEBUG,
            "the sleep of queue %s ended: %s", self._queue, error,
        )  # fmt: skip
