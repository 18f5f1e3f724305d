"""An App bound to a test's Redis, and its workers in the test's process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from streamq.app import App
from streamq.settings import Origins
from streamq.testing.idle import LIMIT_S, run_until_idle


@contextmanager
def bound(app: App, url: str, prefix: str) -> Iterator[App]:
    """Within it, `app` speaks to that Redis under that prefix, whatever its settings say."""
    before, clock = app.settings, app.clock
    # As the command line says it: that wins over what the code gave.
    said = Origins({**before.origins.by_key, "redis": "--redis", "prefix": "--prefix"})
    app.configure(msgspec.structs.replace(before, redis=url, prefix=prefix, origins=said))
    try:
        yield app
    finally:
        app.configure(before)
        app.clock = clock


class InProcess:
    """The App's workers, run by the test."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def run_until_idle(
        self, queue: str | Sequence[str] | None = None, *, limit_s: float = LIMIT_S
    ) -> None:
        """See `streamq.testing.run_until_idle`."""
        await run_until_idle(self._app, queue, limit_s=limit_s)
