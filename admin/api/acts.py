"""What is done to one job: add, retry, cancel, promote, change, remove.

Each call is safe to repeat: it says what it came to, and the same one again changes nothing more.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta

from admin.api.jobs import found_job, no_such_job
from admin.api.paths import AtJob, AtName, Done, done
from admin.call import Call
from admin.errors import Conflict, Unfit
from admin.policy import Role
from streamq import Effect, Job, JobState
from streamq.adding import ATTEMPTS_MAX, AddOptions
from streamq.backoff import from_wire
from streamq.bulk import NAME as BULK_NAME
from streamq.durations import DURATION_MS_MAX
from streamq.errors import (
    NAME_SETS,
    InvalidBackoff,
    InvalidPayload,
    NotSerialisable,
    PayloadTooLarge,
    StreamqError,
    UnknownJobName,
)
from streamq.job import PRIORITY_MAX, value_of

RETRIED_FROM: Final = "retry-of"
"""The header of a job that stands in for a failed one: that one's id."""
ID_CHARS_MAX: Final = 128
DIGEST_CHARS: Final = 16

Priority = Annotated[int, Meta(ge=1, le=PRIORITY_MAX, description="1 is first")]
DelayMs = Annotated[int, Meta(ge=0, le=DURATION_MS_MAX, description="ms from now; 0 is now")]


# ---- add


class AddBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: Annotated[str, Meta(pattern=f"^{NAME_SETS['job']}$")]
    data: object = None
    id: Annotated[str, Meta(pattern=f"^{NAME_SETS['id']}$")] | None = None
    priority: Priority | None = None
    delay: DelayMs | None = None
    attempts: Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)] | None = None
    timeout: Annotated[int, Meta(ge=1, le=DURATION_MS_MAX, description="ms")] | None = None
    headers: dict[str, str] | None = None
    force: Annotated[bool, Meta(description="though no handler here takes this name")] = False


class AddDone(msgspec.Struct, frozen=True, rename="camel"):
    """`existed`: a job of that id is there already, and nothing was changed."""

    success: bool
    message: str
    job_id: str
    existed: bool


async def add(call: Call, path: AtName, body: AddBody) -> AddDone:
    queue = await call.queue(path.name)
    if body.name == BULK_NAME:  # with its own rules of who may do what
        raise Unfit(
            "Unfit name", f"{BULK_NAME} is begun by retry-all, clean or drain, with a rate."
        )
    options = AddOptions(
        id=body.id,
        priority=body.priority,
        delay=_ms(body.delay),
        attempts=body.attempts,
        timeout=_ms(body.timeout),
        headers=body.headers,
    )
    try:
        added = await queue.add(body.name, body.data, force=body.force, create=True, **options)
    except PAYLOAD_ERRORS as error:
        raise unfit(error) from None
    call.note(job=added.id, after={"name": body.name, "data": body.data})
    said = "is there already" if added.existed else "was added"
    return AddDone(True, f"Job {added.id} {said}", added.id, added.existed)


def _ms(value: int | None) -> str | None:
    return None if value is None else f"{value}ms"


PAYLOAD_ERRORS: Final = (InvalidPayload, NotSerialisable, PayloadTooLarge, UnknownJobName)


def unfit(error: StreamqError) -> Unfit:
    """JSON that is right as JSON, and no payload of that job."""
    code = error.code or ""
    message = str(error).removeprefix(f"{code} ").replace("force=True", "force: true")
    return Unfit("Invalid payload", message, code=code)


# ---- retry


class RetryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    data: Annotated[
        object,
        Meta(description="another payload; then a new job stands in for it, and it stays as it is"),
    ] = UNSET


async def retry(call: Call, path: AtJob, body: RetryBody) -> Done:
    """Fresh attempts for a failed or parked job. With `data` a new job is added in its stead."""
    if body.data is not UNSET:
        return await _retry_with(call, path, body.data)
    queue = await call.queue(path.queue_name)
    before = await found_job(call, path)
    effect = await queue.retry(before.id)
    _note_state(call, before, JobState.WAITING, effect)
    return await _done(call, path, effect, "waits again", "Only failed and parked jobs are retried")


async def _retry_with(call: Call, path: AtJob, data: object) -> Done:
    call.require(Role.ADMIN, "To change a payload takes admin.")
    queue = await call.queue(path.queue_name)
    job = await found_job(call, path)
    if job.state not in (JobState.FAILED, JobState.PARKED):
        raise Conflict(f"Job {job.id} is {job.state}. Only failed and parked jobs are retried.")
    # The same request again has the same id, and so adds nothing again.
    wanted = _stand_in(job.id, data)
    try:
        added = await queue.add(job.name, data, force=True, create=True, **_options_of(job, wanted))
    except PAYLOAD_ERRORS as error:
        raise unfit(error) from None
    call.note(job=added.id, before=value_of(job.data), after=data)
    said = "stands in for it already" if added.existed else "was added in its stead"
    return done(f"Job {job.id} stays as it is, {added.id} {said}", job_id=added.id)


def _stand_in(job: str, data: object) -> str:
    digest = hashlib.sha256(msgspec.msgpack.encode(data, order="sorted")).hexdigest()
    tail = f":{digest[:DIGEST_CHARS]}"
    return job[: ID_CHARS_MAX - len(tail)] + tail


def _options_of(job: Job, wanted: str) -> AddOptions:
    """What the job was added with, but for its moments: those are past."""
    said = job.options
    options = AddOptions(
        id=wanted,
        priority=said.priority,
        attempts=said.attempts,
        timeout=_ms(said.timeout_ms),
        headers={**(said.headers or {}), RETRIED_FROM: job.id},
        keep=said.keep,
    )
    try:
        options["backoff"] = None if said.backoff is None else from_wire(said.backoff)
    except InvalidBackoff:
        options["backoff"] = None  # of a newer build: the handler's holds
    return options


# ---- the others


async def cancel(call: Call, path: AtJob) -> Done:
    queue = await call.queue(path.queue_name)
    before = await found_job(call, path)
    effect = await queue.cancel(before.id)
    _note_state(call, before, JobState.FAILED, effect)
    return await _done(call, path, effect, "is cancelled", "What has ended cannot be cancelled")


async def promote(call: Call, path: AtJob) -> Done:
    queue = await call.queue(path.queue_name)
    before = await found_job(call, path)
    effect = await queue.promote(before.id)
    _note_state(call, before, JobState.WAITING, effect)
    return await _done(call, path, effect, "waits no longer", "Only delayed jobs are promoted")


async def remove(call: Call, path: AtJob) -> Done:
    queue = await call.queue(path.queue_name)
    before = await found_job(call, path)
    effect = await queue.remove(before.id)
    _note_state(call, before, "removed", effect)
    return await _done(call, path, effect, "is removed", "It cannot be removed")


class ChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not given stays."""

    data: Annotated[object, Meta(description="another payload; needs admin")] = UNSET
    priority: Priority | None = None
    delay: DelayMs | None = None


async def change(call: Call, path: AtJob, body: ChangeBody) -> Done:
    """Another payload, priority or time for a job that waits or is delayed."""
    if body.data is UNSET and body.priority is None and body.delay is None:
        raise Unfit("Nothing to change", "Give data, priority or delay.")
    if body.data is not UNSET:
        call.require(Role.ADMIN, "To change a payload takes admin.")
    queue = await call.queue(path.queue_name)
    before = await found_job(call, path)
    try:
        effect = await queue.change(
            before.id, data=body.data, priority=body.priority, delay=_ms(body.delay)
        )
    except PAYLOAD_ERRORS as error:
        raise unfit(error) from None
    if effect is Effect.DONE:
        call.note(job=before.id, before=_changeable(before), after=_given(body))
    return await _done(
        call, path, effect, "is changed", "Only jobs that wait or are delayed are changed"
    )


def _changeable(job: Job) -> Mapping[str, object]:
    return {"data": value_of(job.data), "priority": job.options.priority, "dueOn": job.due_at_ms}


def _given(body: ChangeBody) -> Mapping[str, object]:
    said = {"data": body.data, "priority": body.priority, "delay": body.delay}
    return {name: value for name, value in said.items() if value is not UNSET and value is not None}


def _note_state(call: Call, before: Job, after: str, effect: Effect) -> None:
    if effect in (Effect.DONE, Effect.TOLD):
        call.note(job=before.id, before={"state": before.state}, after={"state": after})


async def _done(call: Call, path: AtJob, effect: Effect, did: str, rule: str) -> Done:
    """The answer for what a call came to. Raises NotFound, Conflict."""
    job = path.job_id
    if effect is Effect.ABSENT:
        raise no_such_job(path.queue_name, job)
    if effect is Effect.UNFIT:
        now = await call.app.queue(path.queue_name).get(job)
        raise Conflict(f"Job {job} is {now.state if now else 'gone'}. {rule}.")
    when = "" if effect is Effect.DONE else " as soon as its worker hears of it: it runs"
    call.detail = f"Job {job} {did}{when}"
    return done(call.detail)
