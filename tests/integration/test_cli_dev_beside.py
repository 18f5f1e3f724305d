"""`streamq dev` with servers that the app brings: there before the workers, gone after them."""

import signal
from pathlib import Path

import pytest

from tests.integration.test_cli_dev import LIMIT_S, Dev, dev
from tests.support.command_line import CommandLine

pytestmark = pytest.mark.slow

SERVERS = '''\
"""Servers of the shop: a file that says whether they are up."""

from contextlib import contextmanager

from streamq.brought import Beside


@contextmanager
def beside(folder):
    (folder / "shelf").write_text("up")
    try:
        yield Beside({"SHELF_URL": "shelf://it's here"}, (("shelf", "started it"),))
    finally:
        (folder / "shelf").write_text("down")
'''
ASKED = """

@app.job("email")
async def where(data: object) -> dict[str, str]:
    import os

    return {name: os.environ[name] for name in ("SHELF_URL", "SHOP_URL")}
"""
SETTINGS = """\
app = "shop:app"
[dev]
beside = "servers:beside"
url_variable = "SHOP_URL"
"""


@pytest.fixture
def line(prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(None, prefix, tmp_path)
    line.with_shop()
    with (tmp_path / "shop.py").open("a") as shop:
        shop.write(ASKED)
    (tmp_path / "servers.py").write_text(SERVERS)
    (tmp_path / "streamq.toml").write_text(SETTINGS)
    return line


def asked(line: CommandLine) -> str:
    done = line.run("add", "email", "where", "{}", "--wait")
    assert done.code == 0, done
    return done.out


def ended(running: Dev) -> None:
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(LIMIT_S) == 0, running.said


def test_workers_have_its_variables_and_the_address_of_the_web(line: CommandLine) -> None:
    shelf, variables = line.folder / ".streamq" / "shelf", line.folder / ".streamq" / "dev.env"
    with dev(line) as running:
        assert shelf.read_text() == "up"
        assert variables.read_text() == """SHELF_URL='shelf://it'"'"'s here'\n"""
        said = asked(line)
        ended(running)

    assert running.fact("shelf") == "started it"
    assert "shelf://it's here" in said
    assert running.fact("admin").split()[0] in said
    assert shelf.read_text() == "down"
    assert not variables.exists()


def test_a_url_that_is_set_is_left_as_it_is(line: CommandLine) -> None:
    with dev(line, {"SHOP_URL": "https://shop.example.com"}) as running:
        said = asked(line)
        ended(running)

    assert "https://shop.example.com" in said


def test_servers_that_are_not_there_keep_it_from_starting(line: CommandLine) -> None:
    (line.folder / "servers.py").unlink()

    done = line.run("dev")

    assert done.code == 2, done
    assert "Setting dev.beside names servers:beside" in done.err
    assert "Traceback" not in done.err
    assert not (line.folder / ".streamq" / "redis.url").exists()
