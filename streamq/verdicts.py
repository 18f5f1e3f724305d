"""What a handler may raise to say how its attempt ends.

Any other exception means: try again, by the backoff.
"""

from streamq.durations import Duration, Ms, to_ms
from streamq.errors import StreamqError


class Verdict(StreamqError):
    """The handler's own word on its attempt; never reported as a fault of the engine."""

    reason: str


class Fail(Verdict):
    """The job is failed now, for good, whatever attempts are left."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Retry(Verdict):
    """The attempt failed; the next comes `after` that time (None: by the backoff).

    It uses up an attempt: with none left the job is failed. `after` is checked in the handler's
    own stack.
    """

    def __init__(self, after: Duration | None = None, reason: str = "") -> None:
        self.after_ms: Ms | None = None if after is None else to_ms(after, "after")
        self.reason = reason
        super().__init__(reason or "the handler asked for another attempt")


class Snooze(Verdict):
    """Not now: the job comes again `after` that time, and this attempt does not count."""

    def __init__(self, after: Duration, reason: str = "") -> None:
        self.after_ms: Ms = to_ms(after, "after")
        self.reason = reason
        super().__init__(reason or "the handler asked to run later")
