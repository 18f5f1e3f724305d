"""Workers: who is at work on what; a word to one of them, wherever it runs."""

from typing import Annotated

import msgspec
from msgspec import Meta

from admin.api.paths import Done, OneQueue, done
from admin.api.reading import together
from admin.api.shown import EpochMs
from admin.call import Call
from admin.errors import Conflict, NotFound
from streamq import Word, WorkerView
from streamq.errors.wording import did_you_mean

DID = {
    Word.QUIET: "takes no new jobs",
    Word.RESUME: "takes jobs again",
    Word.STOP: "ends once its jobs have, and nothing takes its place",
    Word.DUMP: "writes the stacks of its threads to its log",
}


class WorkersQuery(msgspec.Struct, frozen=True):
    queue: OneQueue = ""
    all: Annotated[bool, Meta(description="those too that died in the last ten minutes")] = False


class WorkerShown(msgspec.Struct, frozen=True, rename="camel"):
    """A process at work on a queue."""

    id: str
    queue: str
    live: bool
    kind: Annotated[str, Meta(description="process, embedded, or suspects")]
    host: str
    pid: int
    slots: int
    names: list[str]
    build: str
    label: str
    started_on: EpochMs
    heard_on: EpochMs
    died_on: EpochMs | None


async def workers(call: Call, query: WorkersQuery) -> list[WorkerShown]:
    names = [(await call.queue(query.queue)).name] if query.queue else await call.queues()
    fleets = await together(call.app.queue(name).fleet() for name in names)
    return [_shown(each) for fleet in fleets for each in fleet if each.live or query.all]


def _shown(worker: WorkerView) -> WorkerShown:
    return WorkerShown(
        id=worker.id,
        queue=worker.queue,
        live=worker.live,
        kind=worker.kind,
        host=worker.host,
        pid=worker.pid,
        slots=worker.slots,
        names=list(worker.names),
        build=worker.build,
        label=worker.label,
        started_on=worker.started_at_ms,
        heard_on=worker.heard_at_ms,
        died_on=worker.died_at_ms,
    )


class AtWorker(msgspec.Struct, frozen=True, rename="camel"):
    worker_id: Annotated[str, Meta(description="as `workers` lists it")]


async def quiet(call: Call, path: AtWorker) -> Done:
    return await _tell(call, Word.QUIET, path.worker_id)


async def resume(call: Call, path: AtWorker) -> Done:
    return await _tell(call, Word.RESUME, path.worker_id)


async def stop(call: Call, path: AtWorker) -> Done:
    return await _tell(call, Word.STOP, path.worker_id)


async def dump(call: Call, path: AtWorker) -> Done:
    return await _tell(call, Word.DUMP, path.worker_id)


async def _tell(call: Call, word: Word, worker: str) -> Done:
    live = await workers(call, WorkersQuery())
    found = next((each for each in live if each.id == worker), None)
    if found is None:
        known = [each.id for each in live]
        raise NotFound(
            "Worker not found", f"No live worker of that id.{did_you_mean(worker, known)}"
        )
    call.queue_name = found.queue
    call.note(after={"worker": worker, "word": word})
    if not await call.app.tell(word, await _lane_of(call, found)):
        why = (
            "it is embedded in an application, which alone can stop it"
            if found.kind == "embedded"
            else "its daemon is not connected at this moment; say it again"
        )
        raise Conflict(f"Nobody heard the order for worker {worker}: {why}.")
    return done(f"Worker {worker} ({found.queue}) {DID[word]}")


async def _lane_of(call: Call, worker: WorkerShown) -> str:
    """The id of one of its lanes: by that its daemon knows it."""
    lanes = await call.app.queue(worker.queue).workers()
    found = (lane.id for lane in lanes if lane.live and lane.row.process == worker.id)
    return next(found, worker.id)
