"""Finds a job by its id, in the queue that is named or in all that are known."""

from argparse import ArgumentParser
from collections.abc import Sequence

from streamq.cli.session import Session
from streamq.errors import InvalidInput, InvalidName, JobNotFound
from streamq.job import Job, JobId
from streamq.store import reads
from streamq.store.keys import ID
from streamq.store.scripts import Link


class AmbiguousJob(InvalidInput):
    """Ids are the producers' own: two queues may hold the same."""

    def __init__(self, job_id: str, queues: Sequence[str]) -> None:
        self.job_id, self.queues = job_id, tuple(queues)
        super().__init__(
            f"Job {job_id} is in {len(queues)} queues: {', '.join(queues)}."
            f" Say which:  -q {queues[0]}"
        )


def add_queue_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-q", "--queue", metavar="QUEUE", help="its queue (default: looks in all of them)"
    )


def checked_id(text: str) -> JobId:
    """Raises `InvalidName` for what cannot be an id."""
    if not ID.fullmatch(text):
        raise InvalidName("id", text)
    return JobId(text)


async def find(session: Session, job_id: str, queue: str | None) -> tuple[Link, Job]:
    """The job and its queue.

    Raises `NoSuchQueue`, `JobNotFound`, and `AmbiguousJob` if two queues have one of that id.
    """
    job = checked_id(job_id)
    links = [await session.known(queue)] if queue else await session.chosen([])
    found = [(at, seen) for at in links if (seen := await reads.get(at, job))]
    if not found:
        raise JobNotFound(job, queue or "")
    if len(found) > 1:
        raise AmbiguousJob(job, [at.queue for at, _ in found])
    return found[0]
