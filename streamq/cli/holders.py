"""Who holds the jobs that run, and since when; and who had the others, as people know them."""

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
    """The views; those of running jobs say since when, and the worker by host and process.

    Jobs are given to lanes, which are nobody's business but Redis's and the worker's.
    """
    met = [view for view in views if view.state is JobState.ACTIVE or view.worker or view.errors]
    if not met:
        return [*views]
    seen = await reads.workers(at) if workers is None else workers
    known: dict[str, str] = {lane.id: lane.row.process for lane in seen}
    hosts: dict[str, str] = {lane.id: f"{lane.row.host}:{lane.row.pid}" for lane in seen}
    running = [view.id for view in met if view.state is JobState.ACTIVE]
    leases = await reads.ask(at, "HMGET", at.keys.names["leases"], *running) if running else []
    holders = {
        job: _holder(lease) for job, lease in zip(running, leases, strict=True) if lease is not None
    }
    named = [_by_process(view, known) for view in views]
    return [_with(view, holders[view.id], hosts) if view.id in holders else view for view in named]


def _by_process(view: JobView, known: dict[str, str]) -> JobView:
    """Workers as `streamq workers` names them; of one that is gone for ten minutes nothing is."""
    errors = tuple(
        msgspec.structs.replace(error, worker=known.get(error.worker, "")) for error in view.errors
    )
    return msgspec.structs.replace(view, worker=known.get(view.worker, ""), errors=errors)


def _holder(lease: bytes) -> Holder:
    _, _, fence, worker = lease.decode().split("|", 3)
    return Holder(worker, int(fence) // 1_000)


def _with(view: JobView, holder: Holder, hosts: dict[str, str]) -> JobView:
    return msgspec.structs.replace(
        view,
        claimed_at_ms=holder.since_ms,
        worker=hosts.get(holder.worker, holder.worker),
    )
