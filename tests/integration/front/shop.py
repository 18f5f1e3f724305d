"""A small application: a few handlers in one queue."""

import asyncio
from collections.abc import Mapping

from redis.asyncio import Redis

from streamq import App, Context, Fail, Payload


class Welcome(Payload):
    to: str
    name: str = "friend"


class Shop:
    """Registers its handlers with an App."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.runs: list[str] = []
        """The ids of attempts, in the order in which they began."""
        self.may_end = asyncio.Event()
        """What `slow` waits for."""

        @app.job("email", name="welcome", attempts=3, timeout="30s")
        async def welcome(data: Welcome, job: Context) -> str:
            self.runs.append(job.id)
            job.log(f"to {data.to}")
            return f"sent to {data.to}"

        @app.job("email", name="measure")
        def measure(data: Mapping[str, int]) -> dict[str, int]:
            return {"sum": sum(data.values())}

        @app.job("email", name="forget", keep=False)
        async def forget(data: int) -> list[int]:
            return [data] * data

        @app.job("email", name="nothing", keep=False)
        async def nothing(data: None) -> None: ...

        @app.job("email", name="break", attempts=2)
        async def broken(data: str, job: Context) -> None:
            self.runs.append(job.id)
            if data == "for good":
                raise Fail("no such person")
            raise ValueError(data)

        @app.job("email", name="slow")
        async def slow(data: None) -> str:
            await self.may_end.wait()
            return "at last"

        @app.job("email", name="sync-*", priority=1)
        async def sync(data: object, job: Context) -> str:
            return job.name

        self.welcome = welcome
        self.measure = measure
        self.forget = forget
        self.nothing = nothing
        self.broken = broken
        self.slow = slow
        self.sync = sync


async def calls_made(raw: Redis, prefix: str, queue: str = "email") -> list[int]:
    """How many adds each producer of a queue has made, the fewest first."""
    return sorted(map(number_of, await raw.hvals(f"{prefix}:{{{queue}}}:adds")))


def number_of(value: bytes | str) -> int:
    """Of a producer's last add, from its row."""
    text = value.decode() if isinstance(value, bytes) else value
    return int(text.partition(":")[0])
