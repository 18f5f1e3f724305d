"""Catches what is added: recorded, checked as ever, and not sent. Needs no Redis."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from streamq.app import App
from streamq.job import JobId, Options
from streamq.job import NewJob as SealedJob


class CapturedJob(msgspec.Struct, frozen=True):
    """A job as it would have been added; `data` as plain values."""

    queue: str
    id: JobId
    name: str
    data: object
    options: Options
    delay_ms: int | None
    at_ms: int | None


class Captured:
    """The jobs that were added, in their order."""

    def __init__(self) -> None:
        self._jobs: list[CapturedJob] = []
        self._ids: set[tuple[str, JobId]] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[CapturedJob]:
        return iter(self._jobs)

    def of(self, queue: str, name: str | None = None) -> list[CapturedJob]:
        """Those of a queue, and of a name."""
        return [
            job for job in self._jobs if job.queue == queue and (name is None or job.name == name)
        ]

    def one(self, queue: str, name: str | None = None) -> CapturedJob:
        """The only one. Raises AssertionError, with what there is, for none and for several."""
        found = self.of(queue, name)
        wanted = queue if name is None else f"{queue}/{name}"
        assert len(found) == 1, f"{len(found)} jobs of {wanted} were added, of all: {self._said()}"
        return found[0]

    def none(self, queue: str, name: str | None = None) -> None:
        """Raises AssertionError if there is one."""
        found = self.of(queue, name)
        assert not found, f"nothing was to be added, and there is: {self._said()}"

    def record(self, queue: str, jobs: Sequence[SealedJob]) -> list[bool]:
        """Takes jobs; for each, whether its id had been added within this capture."""
        existed = []
        for job in jobs:
            there = (queue, job.id) in self._ids
            existed.append(there)
            if not there:
                self._ids.add((queue, job.id))
                self._jobs.append(_captured(queue, job))
        return existed

    def _said(self) -> str:
        return ", ".join(f"{job.queue}/{job.name}" for job in self._jobs) or "none"


def _captured(queue: str, job: SealedJob) -> CapturedJob:
    return CapturedJob(
        queue=queue,
        id=job.id,
        name=job.name,
        data=msgspec.msgpack.decode(job.data),
        options=job.options,
        delay_ms=job.delay_ms,
        at_ms=job.at_ms,
    )


@contextmanager
def capture_adds(app: App) -> Iterator[Captured]:
    """Within it, what is added to `app` by whatever way is recorded, and not sent."""
    captured, before = Captured(), app.recorder
    app.recorder = captured.record
    try:
        yield captured
    finally:
        app.recorder = before
