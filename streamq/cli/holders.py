"""Who holds the jobs that run, and since when: read from their leases."""

from collections.abc import Sequence

import msgspec

from streamq.cli.views import JobView
from streamq.job import JobState
from streamq.store import reads
from streamq.store.reads import WorkerSeen
from streamq.store.scripts import Link


class Holder(msgspec.Struct, frozen=True):
    """`since_ms` is Redis's clock: a lease's fence is the microsecond in which it was given."""

    worker: str
    since_ms: int


async def held(
    at: Link, views: Sequence[JobView], workers: Sequence[WorkerSeen] | None = None
) -> list[JobView]:
    """The views; those of running jobs say since when, and the worker by host and process."""
    running = [view.id for view in views if view.state is JobState.ACTIVE]
    if not running:
        return [*views]
    seen = await reads.workers(at) if workers is None else workers
    hosts: dict[str, str] = {worker.id: f"{worker.row.host}:{worker.row.pid}" for worker in seen}
    leases = await reads.ask(at, "HMGET", at.keys.names["leases"], *running)
    holders = {
        job: _holder(lease) for job, lease in zip(running, leases, strict=True) if lease is not None
    }
    return [_with(view, holders[view.id], hosts) if view.id in holders else view for view in views]


def _holder(lease: bytes) -> Holder:
    _, _, fence, worker = lease.decode().split("|", 3)
    return Holder(worker, int(fence) // 1_000)


def _with(view: JobView, holder: Holder, hosts: dict[str, str]) -> JobView:
    return msgspec.structs.replace(
        view,
        claimed_at_ms=holder.since_ms,
        worker=hosts.get(holder.worker, holder.worker),
    )
