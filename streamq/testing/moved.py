"""A clock that a test moves: for scripts, workers, and whatever asks an App what time it is."""

import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

from streamq.app import App
from streamq.clock import Clock
from streamq.durations import Ms
from streamq.errors import OutOfRange
from streamq.store import transitions


class MovableClock(Clock):
    """Goes on as time does, ahead of it by what it was advanced.

    `app.clock = MovableClock(app)`, before the app's first call. Waits in this process are not cut
    short by it: the jobs that it makes due are.
    """

    def __init__(self, *apps: App) -> None:
        self._ahead = timedelta()
        self._apps = apps

    def now_ms(self) -> Ms:
        return Ms(time.time_ns() // 1_000_000 + self._ahead // timedelta(milliseconds=1))

    def now(self) -> datetime:
        """The moved time, aware."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> "Advanced":
        """Moves the clock forward, at once.

        Awaited, it also wakes the workers that sleep, for jobs that are due by now. Raises
        OutOfRange for a move back: Redis's own clock is what goes back in life, and `doctor` tells.
        """
        by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if by < timedelta():
            raise OutOfRange("advance", by, 0, timedelta.max.total_seconds())
        self._ahead += by
        return Advanced(self._apps)


class Advanced:
    """What `advance` gives; `await` is optional."""

    def __init__(self, apps: tuple[App, ...]) -> None:
        self._apps = apps

    def __await__(self) -> Generator[None, None, None]:
        return self._wake().__await__()

    async def _wake(self) -> None:
        for app in self._apps:
            for queue in app.queue_names():
                # It promotes nothing, and ends as every script does: with a token for those who
                # sleep, if there is something to do.
                at = app.session().link(queue)
                await transitions.promote(at, [], now_ms=app.clock.now_ms())
