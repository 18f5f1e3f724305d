"""`streamq web` as a user has it: what it serves, what it refuses, how it ends."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from admin.access.tokens import made
from admin.policy import Role
from admin.serving import listen
from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine
from tests.support.waiting import until

LIMIT_S: Final = 20.0
WELCOME: Final = {
    "to": "user@example.com",
    "subject": "Welcome to ImobiBase",
    "template": "welcome",
    "data": {"userName": "John Doe", "loginUrl": "https://app.imobibase.com/login"},
}


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    made = CommandLine(server.url, prefix, tmp_path)
    made.with_shop()
    return made


class Web:
    """One that serves."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        until(lambda: "http://" in self.said, f"it says where it listens: {self.said}", limit_s=30)
        return self.said.split()[2]


@pytest.fixture
def web(line: CommandLine, tmp_path: Path) -> Iterator[Web]:
    log = tmp_path / "web.log"
    process = line.start("web", "--port", "0", "--url-prefix", "/ops", log=log)
    try:
        yield Web(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_it_serves_the_app_of_the_folder_and_lets_no_stranger_in(web: Web) -> None:
    lives = httpx2.get(f"{web.url}/livez", timeout=LIMIT_S)
    stats = httpx2.get(f"{web.url}/api/admin/jobs/stats", timeout=LIMIT_S)
    without_prefix = httpx2.get(web.url.removesuffix("/ops") + "/livez", timeout=LIMIT_S)

    assert web.url.startswith("http://127.0.0.1:")
    assert (lives.status_code, lives.text) == (200, "ok\n")
    assert (stats.status_code, stats.json()["error"]) == (401, "Unauthorized")
    assert without_prefix.status_code == 404


@pytest.mark.slow
def test_with_a_token_the_application_shows_what_the_seed_asks_for(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    token, log = made("ops", Role.ADMIN), tmp_path / "web.log"
    line = CommandLine(server.url, prefix, tmp_path)
    process = line.start(
        "web", "processors.app:app", "--port", "0", log=log,
        variables={"ADMIN_TOKENS": token.kept.entry},
    )  # fmt: skip
    try:
        url = f"{Web(process, log).url}/api/admin/jobs"
        header = {"Authorization": f"Bearer {token.token}"}
        added = httpx2.post(
            f"{url}/queue/email/jobs",
            json={"name": "send-email", "id": "job-id-123", "data": WELCOME},
            headers=header,
            timeout=LIMIT_S,
        )
        answers = {
            path: httpx2.get(f"{url}/{path}", headers=header, timeout=LIMIT_S)
            for path in ("stats", "queues", "redis", "health", "failed", "job/email/job-id-123")
        }
        retried = httpx2.post(f"{url}/retry/email/job-id-123", headers=header, timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()

    assert added.status_code == 200, added.text
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(
        answers, 200
    )
    assert answers["stats"].json()["totalQueues"] == len(answers["queues"].json()) == 9
    assert answers["stats"].json()["totalWaiting"] == 1
    assert answers["job/email/job-id-123"].json()["data"]["to"] == WELCOME["to"]
    assert retried.status_code == 409, "it waits: there is nothing to retry"


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_it_is_told_to(web: Web, sign: signal.Signals) -> None:
    assert httpx2.get(f"{web.url}/livez", timeout=LIMIT_S).status_code == 200

    web.process.send_signal(sign)

    assert web.process.wait(LIMIT_S) == 0, web.said
    assert "Traceback" not in web.said


@pytest.mark.slow
def test_it_refuses_other_machines_while_nobody_could_be_let_in(line: CommandLine) -> None:
    done = line.run("web", "--host", "0.0.0.0", "--port", "0")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("SQ502 Refusing to listen on 0.0.0.0 without authentication.")


@pytest.mark.slow
def test_it_says_that_a_port_is_taken(line: CommandLine) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = line.run("web", "--port", str(port))

    assert done.code == 2
    assert done.err == f"SQ602 Port {port} is in use. --port 0 picks a free one.\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "variables", "code", "says"),
    [
        (["--port", "70000"], {}, 2, "--port=70000 is out of range"),
        (["--url-prefix", "ops"], {}, 2, "give a path such as /ops"),
        (["--redis", "redis://127.0.0.1:1"], {}, 3, "SQ101 Cannot reach Redis"),
        (["nothing:app"], {}, 4, "SQ301 Cannot import nothing:app"),
        ([], {"STREAMQ_ENV": "production"}, 2, "SQ501 SESSION_SECRET is not set"),
        ([], {"ADMIN_REQUESTS_PER_MINUTE": "many"}, 2, "ADMIN_REQUESTS_PER_MINUTE"),
    ],
)
def test_what_keeps_it_from_starting_is_said(
    line: CommandLine, words: list[str], variables: dict[str, str], code: int, says: str
) -> None:
    done = line.run("web", *words, variables=variables)

    assert done.code == code, done
    assert says in done.err
    assert "Traceback" not in done.err
