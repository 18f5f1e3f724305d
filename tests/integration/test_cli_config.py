"""`streamq config`: what files, variables and the code say, and which of them."""

from pathlib import Path

import pytest

from streamq.embedded import EmbeddedServer
from tests.support.command_line import CommandLine

pytestmark = pytest.mark.slow

SHOP = """\
from streamq import App, Payload

app = App("shop", prefix="shop-own")


def patience(attempt, error):
    return "5s"


app.declare_queue("mail-out", concurrency=10, attempts=7, rate=(50, "1s"))
app.declare_queue("slow", backoff=patience, timeout="2h")
app.declare_queue("bare")
app.schedule("nightly", queue="slow", job="count", cron="0 2 * * *", data={"password": "canary-1"})
app.schedule("often", queue="slow", job="count", every="1s", timezone="America/Sao_Paulo")
"""

FILE = """\
app = "shop:app"
[queues.mail-out]
attempts = 4
[schedules.nightly]
cron = "0 3 * * *"
[schedules.filed]
queue = "bare"
job = "count"
every = "1h"
"""


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    line = CommandLine(server.url, prefix, tmp_path)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "streamq.toml").write_text(FILE)
    return line


def test_what_the_code_declares_is_shown_with_who_said_it(line: CommandLine) -> None:
    done = line.run(
        "config", "--set", "--json", variables={"STREAMQ_QUEUES__MAIL_OUT__RATE": "9/1m"}
    )

    assert done.code == 0, done.err
    said = {str(line["setting"]): (line["value"], line["from"]) for line in done.records()}
    assert {key: value for key, value in said.items() if "." in key} == {
        "queues.mail-out.concurrency": ("10", "shop:app"),
        "queues.mail-out.attempts": ("4", "streamq.toml"),
        "queues.mail-out.rate": ('"9/1m"', "STREAMQ_QUEUES__MAIL_OUT__RATE"),
        "queues.slow.backoff": ('"a function: patience"', "shop:app"),
        "queues.slow.timeout": ('"2h"', "shop:app"),
        "schedules.nightly.queue": ('"slow"', "shop:app"),
        "schedules.nightly.job": ('"count"', "shop:app"),
        "schedules.nightly.cron": ('"0 3 * * *"', "streamq.toml"),
        "schedules.nightly.data": ('{ password = "[redacted]" }', "shop:app"),
        "schedules.often.queue": ('"slow"', "shop:app"),
        "schedules.often.job": ('"count"', "shop:app"),
        "schedules.often.every": ('"1s"', "shop:app"),
        "schedules.often.timezone": ('"America/Sao_Paulo"', "shop:app"),
        "schedules.filed.queue": ('"bare"', "streamq.toml"),
        "schedules.filed.job": ('"count"', "streamq.toml"),
        "schedules.filed.every": ('"1h"', "streamq.toml"),
    }
    assert said["prefix"] == ('"shop-own"', "App(prefix=...)")


def test_a_queue_whose_variable_alone_says_something_is_shown_with_it(line: CommandLine) -> None:
    done = line.run("config", "--set", "--json", variables={"STREAMQ_QUEUES__BARE__ATTEMPTS": "2"})

    (found,) = [one for one in done.records() if str(one["setting"]).startswith("queues.bare.")]
    assert (found["value"], found["from"]) == ("2", "STREAMQ_QUEUES__BARE__ATTEMPTS")


def test_an_app_that_cannot_be_imported_leaves_the_rest_shown(line: CommandLine) -> None:
    named = line.run("config", "shop:nothing", "--set")
    (line.folder / "shop.py").write_text("import no_such_module\n")
    filed = line.run("config", "--set")

    for done in (named, filed):
        assert done.code == 4
        assert "queues.mail-out.attempts" in done.out
        assert "What the code declares is not shown: SQ301 Cannot import shop:" in done.err


def test_a_setting_for_a_queue_that_the_app_lacks_is_said(line: CommandLine) -> None:
    with (line.folder / "streamq.toml").open("a") as file:
        file.write("[queues.mail-uot]\nattempts = 2\n")

    done = line.run("config", "--set")

    assert done.code == 2
    assert 'Did you mean "mail-out"?' in done.err
    assert "queues.mail-uot.attempts" in done.out
