"""What jobs carry is shown without its secrets, to people and to programs."""

import json
from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine, Done

pytestmark = pytest.mark.slow

PAYLOAD_CANARY = "canary-in-payload-1"
HEADER_CANARY = "canary-in-header-2"
RESULT_CANARY = "canary-in-result-3"
LOG_CANARY = "canary-in-log-4"
ERROR_CANARY = "canary-in-error-5"
CANARIES = (PAYLOAD_CANARY, HEADER_CANARY, RESULT_CANARY, LOG_CANARY, ERROR_CANARY)

VAULT = f'''\
from streamq import App, Context, Fail

app = App("vault")


@app.job("keys")
async def turn(data: dict[str, str], job: Context) -> dict[str, str]:
    job.log("logged in with password={LOG_CANARY}")
    return {{"api_key": "{RESULT_CANARY}", "door": "open"}}


@app.job("keys")
async def breaks(data: dict[str, str]) -> None:
    raise Fail("connect postgres://ana:{ERROR_CANARY}@db/1 refused")
'''

DATA = json.dumps({"password": PAYLOAD_CANARY, "door": "front"})


@pytest.fixture
def vault(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(server.url, prefix, tmp_path)
    (tmp_path / "vault.py").write_text(VAULT)
    (tmp_path / "streamq.toml").write_text('app = "vault:app"\n')
    header = f"authorization=Bearer {HEADER_CANARY}"
    for name, job in (("turn", "good"), ("breaks", "bad")):
        line.run("add", "keys", name, DATA, "--id", job, "--header", header)
    assert line.run("run", "--burst").code == 0
    return line


def shown(done: Done) -> str:
    assert done.code == 0, done.err
    assert not [canary for canary in CANARIES if canary in done.out + done.err]
    return done.out


@pytest.mark.parametrize("how", [(), ("--json",), ("-v",)])
def test_no_verb_that_looks_shows_a_secret(vault: CommandLine, how: tuple[str, ...]) -> None:
    for job in ("good", "bad"):
        said = shown(vault.run("job", job, *how))
        assert "front" in said  # beside it all is there
        assert "[redacted]" in said
    assert "open" in shown(vault.run("jobs", "keys", "--state", "completed", *how))
    assert "refused" in shown(vault.run("jobs", "keys", "--state", "failed", *how))
    assert "logged in with" in shown(vault.run("logs", "good", *how))
    assert "open" in shown(vault.run("events", "keys", *how))
