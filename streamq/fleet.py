"""Workers as people know them: a process at work on a queue, its lanes summed and not shown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streamq.store.reads import WorkerSeen

KINDS: Final[Mapping[str, str]] = {"d": "process", "e": "embedded", "a": "suspects"}


class WorkerView(msgspec.Struct, frozen=True):
    """A worker is a process at work on a queue: its lanes are summed and not shown."""

    id: str
    queue: str
    live: bool
    kind: str
    host: str
    pid: int
    slots: int
    names: tuple[str, ...]
    build: str
    label: str
    started_at_ms: int
    heard_at_ms: int
    died_at_ms: int | None
    lanes: int


def worker_views(seen: Sequence[WorkerSeen]) -> list[WorkerView]:
    """One for each process and queue; of its lanes the last that was heard speaks for all."""
    by_process: defaultdict[tuple[str, str], list[WorkerSeen]] = defaultdict(list)
    for worker in seen:
        by_process[worker.row.process, worker.row.queue].append(worker)
    return [_summed(process, lanes) for (process, _), lanes in sorted(by_process.items())]


def _summed(process: str, lanes: Sequence[WorkerSeen]) -> WorkerView:
    live = [lane for lane in lanes if lane.live]
    counted, first = live or lanes, lanes[0]
    return WorkerView(
        id=process,
        queue=first.row.queue,
        live=bool(live),
        kind=KINDS.get(first.kind, first.kind),
        host=first.row.host,
        pid=first.row.pid,
        slots=sum(lane.row.slots for lane in counted),
        names=tuple(sorted({name for lane in counted for name in lane.row.names})),
        build=first.row.build,
        label=first.row.label,
        started_at_ms=min(lane.row.started_at_ms for lane in counted),
        heard_at_ms=max(lane.heard_at_ms for lane in counted),
        died_at_ms=None if live else max(lane.died_at_ms or 0 for lane in lanes),
        lanes=len(counted),
    )
