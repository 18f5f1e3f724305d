"""Jobs on their way into `add`: packed ahead of their call, joined to those that ride in it too."""

from collections.abc import Sequence
from itertools import chain

import msgspec

from streamq.job import JobId, NewJob, pack


class Packed(msgspec.Struct, frozen=True):
    """Jobs as `add` takes them, by columns: Lua takes ARGV in ranges."""

    ids: Sequence[JobId]
    records: Sequence[bytes]
    places: Sequence[str]
    labels: Sequence[str]
    """Their names for the counters."""

    def __len__(self) -> int:
        return len(self.ids)


def packed(jobs: Sequence[NewJob], labels: Sequence[str]) -> Packed:
    """See there. `labels` are the names for the counters."""
    assert len(jobs) == len(labels)
    ids, records = [job.id for job in jobs], [pack(job) for job in jobs]
    return Packed(ids, records, [place(job) for job in jobs], labels)


def joined(parts: Sequence[Packed]) -> Packed:
    """All of them, in their order."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*map(msgspec.structs.astuple, parts), strict=True)
    return Packed(*[[*chain.from_iterable(column)] for column in columns])


def place(job: NewJob) -> str:
    """Where a job goes: its line; line+delay in ms; line@epoch ms."""
    if job.at_ms is not None:
        return f"{job.line}@{job.at_ms}"
    return job.line if not job.delay_ms else f"{job.line}+{job.delay_ms}"
