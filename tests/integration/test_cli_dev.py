"""The admin beside `streamq dev`: it is there, lets in whoever has what was printed, and ends."""

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from admin.cli import PORT
from tests.support.command_line import NO_VARIABLES, CommandLine
from tests.support.waiting import until

pytestmark = pytest.mark.slow

LIMIT_S = 40.0


@pytest.fixture
def line(prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(None, prefix, tmp_path)
    line.with_shop()
    return line


class Dev:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        self.family: list[psutil.Process] = []

    @property
    def said(self) -> str:
        return self._log.read_text()

    def fact(self, label: str) -> str:
        found = re.search(rf"^  {label} +(.*)$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]

    def get(self, path: str) -> httpx2.Response:
        url = self.fact("admin").split()[0]
        header = {"Authorization": f"Bearer {self.fact('token')}"}
        return httpx2.get(url + path, headers=header, timeout=LIMIT_S)


@contextmanager
def dev(line: CommandLine, variables: dict[str, str] | None = None) -> Iterator[Dev]:
    """Runs it; at the end of the block it must have ended, and all that it started."""
    log = line.folder / "dev.log"
    process = line.start("dev", "-q", "email", log=log, variables=variables or NO_VARIABLES)
    running = Dev(process, log)
    try:
        until(lambda: "initialized" in running.said, "it works", limit_s=LIMIT_S)
        running.family = psutil.Process(process.pid).children(recursive=True)
        yield running
        until(lambda: process.poll() is not None, "it ended", limit_s=LIMIT_S)
        until(lambda: not any(p.is_running() for p in running.family), "all of it", limit_s=LIMIT_S)
    finally:
        process.kill()
        process.wait()


def test_what_dev_prints_lets_in_whoever_pastes_it(line: CommandLine) -> None:
    with dev(line) as running:
        url = running.fact("admin").split()[0]
        name, _, password = running.fact("login").partition(", password ")
        login = {"username": name, "password": password}
        logged_in = httpx2.post(
            f"{url}/api/admin/login", json=login, headers={"Origin": url}, timeout=LIMIT_S
        )
        asked = {path: running.get(f"/api/admin/jobs/{path}") for path in ("stats", "health")}
        metrics = running.get("/metrics")
        stranger = httpx2.get(f"{url}/api/admin/jobs/stats", timeout=LIMIT_S)
        running.process.send_signal(signal.SIGINT)

        assert running.process.wait(LIMIT_S) == 0, running.said
    assert logged_in.status_code == 200, logged_in.text
    assert asked["stats"].json()["redisStatus"]["connected"] is True
    assert asked["health"].json()["redis"]["status"] == "healthy"
    assert (metrics.status_code, stranger.status_code) == (200, 401)
    assert "Traceback" not in running.said


def test_beside_a_port_that_is_taken_it_takes_the_next(line: CommandLine) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def ours() -> bool:
            try:
                taken.bind(("127.0.0.1", PORT))
            except OSError:  # another test's dev has it, which ends within seconds
                return False
            taken.listen()
            return True

        until(ours, f"port {PORT} is ours", limit_s=LIMIT_S)
        with dev(line) as running:
            port = int(running.fact("admin").split()[0].rpartition(":")[2])
            answered = running.get("/livez")
            running.process.send_signal(signal.SIGTERM)

    assert port > PORT
    assert answered.status_code == 200


def test_the_admin_does_not_outlive_a_dev_that_was_killed(line: CommandLine) -> None:
    with dev(line) as running:
        running.process.kill()


def test_an_admin_that_cannot_start_stops_nobody_else(line: CommandLine) -> None:
    with dev(line, {"ADMIN_REQUESTS_PER_MINUTE": "many"}) as running:
        running.process.send_signal(signal.SIGINT)

    assert running.fact("admin").startswith("did not start")
    assert "ADMIN_REQUESTS_PER_MINUTE" in running.said
