"""For authors of handlers: run one inline, catch what is added, move the clock, run until idle.

The pytest plugin is `streamq.testing.plugin`; what stands here needs no test framework.
"""

from streamq.testing.captured import Captured, CapturedJob, capture_adds
from streamq.testing.idle import run_until_idle
from streamq.testing.inline import Performed, perform
from streamq.testing.moved import MovableClock

__all__ = [
    "Captured",
    "CapturedJob",
    "MovableClock",
    "Performed",
    "capture_adds",
    "perform",
    "run_until_idle",
]
