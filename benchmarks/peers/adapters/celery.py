"""Celery. Worker: `celery --app benchmarks.peers.adapters.celery worker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from celery import Celery

from benchmarks.peers.adding import PAYLOAD, Adder, url
from benchmarks.peers.tally import tally

app = Celery("peers", broker=url())
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


def _nothing(data: str) -> None:
    tally().nothing(data)


def _since(added_ns: int) -> None:
    tally().since(added_ns)


nothing = app.task(_nothing, name="nothing")
since = app.task(_since, name="since")


class _Adder:
    bulk = False

    async def add(self, since_ns: int | None = None) -> None:
        if since_ns is None:
            nothing.delay(PAYLOAD)
        else:
            since.delay(since_ns)

    async def add_many(self, jobs: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def adder() -> AsyncIterator[Adder]:
    with app.connection_for_write() as connection:
        connection.ensure_connection()
    yield _Adder()
    app.close()
