"""What the admin takes to answer with very many jobs waiting, and what each answer costs Redis.

A process of `streamq web`, asked over HTTP one request after another, its guards and tokens on.
"""

import asyncio
import http.client
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import msgspec

from benchmarks.app import NOTHING, QUEUE
from benchmarks.figures import BenchmarkFault, Better, Figure, Sheet, Side, percentile
from benchmarks.harness import Ground
from benchmarks.idle import APP
from benchmarks.machine import ROOT
from benchmarks.throughput import PAYLOAD, PREFIX
from streamq.adding import NewJob
from streamq.metrics.exporter import READ_EVERY_S
from streamq.store import reads

API: Final = "/api/admin/jobs"
PAGE: Final = f"{API}/queue/{QUEUE}/jobs?state=waiting&limit=50"
METRICS: Final = "/metrics"
PATHS: Final = {
    "admin stats": f"{API}/stats",
    "admin queues": f"{API}/queues",
    "admin queue": f"{API}/queue/{QUEUE}",
    "admin health": f"{API}/health",
    "admin page": PAGE,
    "admin metrics": METRICS,
}
"""And `admin next page`, which takes a cursor."""
NEXT_PAGE: Final = "admin next page"
FILL: Final = 50_000
START_LIMIT_S: Final = 30.0
END_LIMIT_S: Final = 15.0
ANSWER_LIMIT_S: Final = 30.0
WARM: Final = 3


class Web:
    """A `streamq web` that listens."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._http = http.client.HTTPConnection(host, int(port), timeout=ANSWER_LIMIT_S)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> tuple[float, bytes]:
        """How many ms the answer took, and what it is. Raises BenchmarkFault if it is no good."""
        began = time.perf_counter()
        self._http.request("GET", path, headers=self._headers)
        answer = self._http.getresponse()
        body = answer.read()
        took_ms = (time.perf_counter() - began) * 1e3
        if answer.status != http.HTTPStatus.OK:
            raise BenchmarkFault(f"{path} was answered with {answer.status}: {body.decode()[:500]}")
        return took_ms, body

    def close(self) -> None:
        self._http.close()


@asynccontextmanager
async def web(ground: Ground) -> AsyncIterator[Web]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamq", "web", APP, "--dev", "--port", "0",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "STREAMQ_REDIS": ground.server.url,
             "ADMIN_REQUESTS_PER_MINUTE": "1000000"},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            said = (await process.stdout.readuntil(b"\n\n")).decode()
        facts = dict(line.split("  ", 1) for line in said.splitlines() if line)
        opened = Web(facts["admin"].split()[0], facts["token"])
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.stdin.close()
        async with asyncio.timeout(END_LIMIT_S):
            await process.wait()


async def _fill(ground: Ground, jobs: int) -> None:
    ground.probe.flush()
    queue = ground.app.queue(QUEUE)
    for first in range(0, jobs, FILL):
        some = min(FILL, jobs - first)
        await queue.add_many([NewJob(NOTHING, PAYLOAD) for _ in range(some)])
    # An App notes each queue once, and that note was flushed.
    await reads.note_queue(ground.app.connection(), PREFIX, QUEUE)
    if (there := (await queue.counts()).waiting) != jobs:
        raise BenchmarkFault(f"{there} jobs wait, not {jobs}")


async def _asked(ground: Ground, web: Web, sheet: Sheet, name: str, path: str) -> bytes:
    """Asks as often as the pace says; the last answer."""
    body = b""
    for _ in range(WARM):
        _, body = await asyncio.to_thread(web.get, path)
    # What was read within the last second is told again: only what is read anew is measured.
    rests_s = READ_EVERY_S * 1.05 if path == METRICS else 0.0
    times = ground.pace.scrapes if rests_s else ground.pace.requests
    took: list[float] = []
    before = ground.probe.cpu_us()
    ground.probe.forget()
    for _ in range(times):
        await asyncio.sleep(rests_s)
        ms, body = await asyncio.to_thread(web.get, path)
        took.append(ms)
    commands = sum(n for name, n in ground.probe.commands().items() if name != "config|resetstat")
    cpu_us = ground.probe.cpu_us() - before
    for quantity, unit, value in (
        ("p50", "ms", percentile(took, 50)),
        ("p99", "ms", percentile(took, 99)),
        ("Redis CPU", "µs/request", cpu_us / times),
        ("commands", "/request", commands / times),
    ):
        sheet.note(name, quantity, unit, Side.STREAMQ, value, better=Better.LOWER)
    return body


async def measure(ground: Ground) -> list[Figure]:
    sheet = Sheet()
    await _fill(ground, ground.pace.browsed)
    async with web(ground) as opened:
        for _ in range(ground.pace.rounds):
            for name, path in PATHS.items():
                body = await _asked(ground, opened, sheet, name, path)
                if path == PAGE:
                    cursor = quote(msgspec.json.decode(body)["cursor"])
                    path = f"{PAGE}&cursor={cursor}"
                    await _asked(ground, opened, sheet, NEXT_PAGE, path)
    ground.probe.flush()
    return sheet.figures()
