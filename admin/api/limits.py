"""Limits of a queue: jobs at a time, and starts in a time, for the whole fleet."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from admin.api.paths import AtQueue
from admin.call import Call
from admin.errors import Unfit
from streamq import QueueState
from streamq.declaring import LIMIT_MAX, PERIOD_MS_MAX


class Rate(msgspec.Struct, frozen=True, rename="camel"):
    """At most `count` starts in any window of `per_ms`."""

    count: int
    per_ms: int


class Limits(msgspec.Struct, frozen=True, rename="camel"):
    """What holds for the whole fleet. `own...`: an operator said so; else the code did."""

    max_active: int | None
    rate: Rate | None
    own_max_active: bool
    own_rate: bool


def limits_of(state: QueueState) -> Limits:
    rate = None if state.rate is None else Rate(*state.rate)
    return Limits(state.max_active, rate, state.own_max_active, state.own_rate)


class RateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    count: Annotated[int, Meta(ge=1, le=LIMIT_MAX)]
    per_ms: Annotated[int, Meta(ge=1, le=PERIOD_MS_MAX)]


class LimitsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What shall hold from now on. null: no limit; not given: as it is."""

    max_active: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] | UnsetType | None = UNSET
    rate: RateBody | UnsetType | None = UNSET
    reset: Annotated[bool, Meta(description="what the code says holds again")] = False


async def limits(call: Call, path: AtQueue) -> Limits:
    return limits_of(await (await call.queue(path.queue_name)).state())


async def set_limits(call: Call, path: AtQueue, body: LimitsBody) -> Limits:
    queue = await call.queue(path.queue_name)
    said = body.max_active is not UNSET or body.rate is not UNSET
    if said is body.reset:
        raise Unfit("Nothing to set", "Give maxActive or rate or both, or reset alone.")
    before = limits_of(await queue.state())
    if body.reset:
        state = await queue.limit_reset()
    elif isinstance(body.rate, RateBody):
        rate = (body.rate.count, f"{body.rate.per_ms}ms")
        state = await queue.limit(body.max_active, rate=rate)
    else:
        state = await queue.limit(body.max_active, rate=body.rate)
    after = limits_of(state)
    call.note(before=before, after=after)
    return after
