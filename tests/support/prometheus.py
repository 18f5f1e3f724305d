"""A real Prometheus that scrapes what a test tells it to: Debian's package, where it can be had."""

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tests.support import apt
from tests.support.waiting import until

PACKAGE: Final = "prometheus"
LIMIT_S: Final = 30.0


class Value(msgspec.Struct, frozen=True):
    """One series of an answer."""

    labels: dict[str, str]
    value: float


# As it answers.


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Result(msgspec.Struct):
    result: list[_Series]


class _Found(msgspec.Struct):
    data: _Result


class _Target(msgspec.Struct):
    health: str
    lastError: str


class _Active(msgspec.Struct):
    activeTargets: list[_Target]


class _Targets(msgspec.Struct):
    data: _Active


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> list[Value]:
        """What it knows now."""
        asked = urllib.parse.urlencode({"query": expression})
        found = msgspec.json.decode(self._get(f"/api/v1/query?{asked}"), type=_Found)
        return [Value(each.metric, float(each.value[1])) for each in found.data.result]

    def trouble(self) -> list[str]:
        """What kept its targets from being scraped, as it was the last time."""
        found = msgspec.json.decode(self._get("/api/v1/targets"), type=_Targets)
        return [each.lastError for each in found.data.activeTargets if each.health != "up"]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            body: bytes = answer.read()
            return body


def find() -> str | None:
    """Its program; as root and in CI it is installed first, if it has to be."""
    if shutil.which(PACKAGE) is None and apt.may_install():
        apt.install(PACKAGE)
    return shutil.which(PACKAGE)


@contextmanager
def scraping(
    program: str, folder: Path, targets: dict[str, int], token: str
) -> Iterator[Prometheus]:
    """It scrapes each second, by job's name, a port of this machine; it shows the token."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": name,
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                "authorization": {"credentials": token},
            }
            for name, port in targets.items()
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        running = Prometheus(port)
        until(running.is_ready, "Prometheus is ready", limit_s=LIMIT_S)
        yield running
    finally:
        process.kill()
        process.wait()
