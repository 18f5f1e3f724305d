"""The seam through which tests move time: everything that asks what time it is asks this."""

import time

from streamq.durations import Ms


class Clock:
    """Real time. `now_ms` None tells the scripts to use Redis's own."""

    def now_ms(self) -> Ms | None:
        """What to tell Redis that the time is; None: its own."""
        return None

    def monotonic(self) -> float:
        """Seconds that never go back, for waits and for the age of things in this process."""
        return time.monotonic()


REAL = Clock()
