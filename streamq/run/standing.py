"""How a daemon and its children stand, as the health port says it."""

import socket
import time
from typing import Final

from streamq.errors.wording import running_version
from streamq.metrics import Process
from streamq.run.crew import Crew
from streamq.run.health import Answers, Health, QueueHealth, RedisHealth, WorkerHealth
from streamq.run.process import ChildProcess
from streamq.run.rounds import Rounds

TICK_EVERY_S: Final = 1.0
"""A child whose loop turns is heard of at least so often."""

TURN_LIMIT_MS: Final = 90_000
"""A loop that did not turn for so long is stuck: half a minute beyond the longest sleep of an idle
worker (`sleep.SLEEP_MAX_S`)."""


def answers_of(crew: Crew, rounds: Rounds | None, *, draining: bool, quiet: bool) -> Answers:
    away = rounds is not None and rounds.redis_is_away
    # While Redis is away no loop can turn: an outage must not restart the whole fleet.
    stuck = "" if away else _stuck(crew)
    return Answers(
        not_live=stuck,
        not_ready=_not_ready(crew, rounds, draining=draining, quiet=quiet),
        health=Health(
            status="draining" if draining else "unhealthy" if away or stuck else "healthy",
            version=running_version(),
            redis=RedisHealth(
                ok=rounds is not None and not away,
                latency_ms=None if rounds is None else rounds.latency_ms,
            ),
            workers=tuple(_worker(child) for child in crew),
            queues=tuple(_queue(crew, name) for name in (rounds.queues if rounds else ())),
        ),
    )


def processes_of(crew: Crew) -> list[Process]:
    """What only their daemon knows of its processes, for /metrics."""
    now, host = time.monotonic(), socket.gethostname()
    return [
        Process(
            name=f"{host}:{child.pid}",
            busy=child.tick.busy,
            stuck=child.tick.stuck,
            rss_bytes=child.watch.rss_bytes,
            loop_lag_s=round(max(0.0, now - child.heard_at - TICK_EVERY_S), 3),
        )
        for child in crew
    ]


def _turned_ms(child: ChildProcess) -> int | None:
    turned = child.tick.turned_ms
    return None if turned is None else turned + int((time.monotonic() - child.heard_at) * 1000)


def _stuck(crew: Crew) -> str:
    for child in crew:
        turned = _turned_ms(child)
        if turned is not None and turned > TURN_LIMIT_MS:
            return f"process {child.pid} has not turned for {turned // 1000} s"
    return ""


def _not_ready(crew: Crew, rounds: Rounds | None, *, draining: bool, quiet: bool) -> str:
    if draining:
        return "draining"
    if quiet:
        return "quiet"
    if rounds is None:
        return "starting"
    if rounds.redis_is_away:
        return "Redis is away"
    turned = [child for child in crew.seated if child.tick.turned_ms is not None]
    missing = sum(not seat.closed for seat in crew.seats) - len(turned)
    return f"starting: {missing} of {len(crew.seats)} processes" if missing > 0 else ""


def _worker(child: ChildProcess) -> WorkerHealth:
    tick = child.tick
    return WorkerHealth(
        pid=child.pid,
        state=child.sight.value if child.sight.value != "lives" else tick.state.value,
        slots=tick.slots,
        busy=tick.busy,
        stuck=tick.stuck,
        jobs_done=tick.jobs_done,
        rss_bytes=child.watch.rss_bytes,
        turned_ms=_turned_ms(child),
    )


def _queue(crew: Crew, name: str) -> QueueHealth:
    if any(child.workers.get(name) for child in crew):
        return QueueHealth(name, "healthy")
    return QueueHealth(name, "critical", ("No worker",))
