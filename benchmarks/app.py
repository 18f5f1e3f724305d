"""The App that the benchmark measures: handlers that do nothing, everything else as usual."""

from typing import Final

from streamq.app import App
from streamq.settings import Keep, Settings

QUEUE: Final = "bench"
QUEUE_KEEPS_ALL: Final = "bench-kept"
"""Keeps every completed job, so that what one costs can be weighed."""
IDLE_QUEUES: Final = tuple(f"idle-{n}" for n in range(1, 10))
"""Nine, as many as a whole application has."""
NOTHING: Final = "nothing"


def app_of(url: str) -> App:
    """An App on that server, with its queues and no handler yet; no file or variable is read."""
    app = App("benchmarks", settings=Settings().with_redis(url, "the benchmark's own server"))
    app.declare_queue(QUEUE)
    app.declare_queue(QUEUE_KEEPS_ALL, keep_completed=Keep())
    return app


async def _nothing(data: str) -> None:
    """What a job of an idle queue would do, if one came."""


app = App("benchmarks")
"""For `streamq run benchmarks.app:app`: the daemon that is listened to while it idles."""
for _queue in IDLE_QUEUES:
    app.job(_queue, name=NOTHING)(_nothing)
