"""What stands in the paths and queries of several routes."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from admin.wire import CLAMP
from streamq.errors import NAME_SETS

LISTED_MAX: Final = 200
"""Of jobs in one answer."""
IS_QUEUE: Final = "queue"
"""In the `extra` of a part that names a queue: the OpenAPI lists those there are."""

QueueName = Annotated[str, Meta(description="a queue of the application", extra={"is": IS_QUEUE})]
OneQueue = Annotated[str, Meta(description="only this one", extra={"is": IS_QUEUE})]
JobId = Annotated[
    str, Meta(description="a job's id", extra_json_schema={"pattern": f"^{NAME_SETS['id']}$"})
]
ListLimit = Annotated[
    int,
    Meta(
        description=f"at most so many; 1 to {LISTED_MAX}, and what is outside is taken for that",
        extra={CLAMP: (1, LISTED_MAX)},
    ),
]


class AtName(msgspec.Struct, frozen=True):
    """The seed's `queue/:name`."""

    name: QueueName


class AtQueue(msgspec.Struct, frozen=True, rename="camel"):
    """The seed's `:queueName`."""

    queue_name: QueueName


class AtJob(msgspec.Struct, frozen=True, rename="camel"):
    """The seed's `:queueName/:jobId`."""

    queue_name: QueueName
    job_id: JobId


class Done(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a change answers. `count`: of the jobs that it changed, where it is about several."""

    success: bool
    message: str
    count: int | None = None
    job_id: str | None = None


def done(message: str, *, count: int | None = None, job_id: str | None = None) -> Done:
    return Done(True, message, count, job_id)
