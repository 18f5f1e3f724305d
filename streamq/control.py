"""An operator's word to one worker, on its way through Redis to the daemon that keeps it.

Published, not stored: it reaches whoever runs now, and what nobody heard is said again.
"""

from enum import StrEnum
from typing import Final

import msgspec

from streamq.store.client import Redis
from streamq.store.keys import control_channel

_BYTES_MAX: Final = 1_024


class Word(StrEnum):
    """What may be asked of a worker."""

    QUIET = "quiet"
    """No new jobs; it stays."""
    RESUME = "resume"
    """Takes jobs again."""
    STOP = "stop"
    """In order: no new jobs, what runs ends or is handed back, and nothing takes its place."""
    DUMP = "dump"
    """Its process logs the stacks of all tasks and threads."""


class Order(msgspec.Struct, frozen=True):
    """`worker`: its id, the id of its process in a worker's row, or the id of its daemon."""

    word: Word
    worker: str


async def give_order(redis: Redis, prefix: str, order: Order) -> int:
    """Publishes an order; how many daemons heard it. Raises StoreError."""
    channel = control_channel(prefix)
    heard: int = await redis.wire("scripts", channel).call(
        f"{order.word} of {order.worker}", ("PUBLISH", channel, msgspec.msgpack.encode(order))
    )
    return heard


def read_order(data: bytes) -> Order | None:
    """The order in a message; None for what is none: anybody with the password can publish."""
    if len(data) > _BYTES_MAX:
        return None
    try:
        return _orders.decode(data)
    except msgspec.MsgspecError:
        return None


_orders = msgspec.msgpack.Decoder(Order)
