"""The turn that an idle lane sent ahead of a token: its number, its slots, and what became of it.

At most one at a time. Any turn that the lane sends meanwhile makes it stale, or finds that it came
first.
"""

import asyncio
from typing import Final

from streamq.errors import OutcomeUnknown, ScriptFault, StoreError
from streamq.store.client import Reply

REPLY_LIMIT_S: Final = 10.0
"""For the reply of a turn that Redis has carried out: it is on its way."""


class Ahead:
    """See the module."""

    def __init__(self) -> None:
        self._reply: asyncio.Future[Reply] | None = None
        self._number = 0
        self.slots = 0

    @property
    def heard(self) -> bool:
        """Whether its reply is there and nobody took it yet."""
        return self._reply is not None and self._reply.done()

    def sent(self, number: int, slots: int) -> None:
        self._reply = asyncio.get_running_loop().create_future()
        self._number, self.slots = number, slots

    def hear(self, reply: Reply) -> None:
        """A reply, or the StoreError that it came to."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def drop(self) -> None:
        """The lane has another id now: whatever comes is not for it."""
        self._reply = None

    async def wait(self, number: int) -> None:
        """Until the reply of the turn of that number is there, if it was sent.

        Raises OutcomeUnknown if it does not come.
        """
        if self._reply is None or self._number != number:
            return
        try:
            async with asyncio.timeout(REPLY_LIMIT_S):
                await self._reply
        except TimeoutError as error:
            self.drop()
            raise OutcomeUnknown("step sent ahead", "time-out") from error

    def take(self, number: int) -> Reply | None:
        """The reply that came, if it is that of the turn of that number and Redis took it.

        Raises OutcomeUnknown if it may have been taken and its reply is lost, and ScriptFault.
        """
        if self._reply is None or not self._reply.done():
            return None
        reply = self._reply.result() if self._number == number else None
        self._reply = None
        if isinstance(reply, OutcomeUnknown | ScriptFault):
            raise reply  # a part of it may have been done
        # Stale, or refused: nothing was done.
        return None if isinstance(reply, StoreError) else reply
