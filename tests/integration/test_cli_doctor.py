"""`streamq doctor` and `streamq config`: what is wrong here, and who said so."""

from pathlib import Path

import pytest
import redis

from streamq.embedded import EmbeddedServer
from tests.support import servers
from tests.support.command_line import CommandLine

pytestmark = pytest.mark.slow

Findings = dict[str, list[dict[str, object]]]


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    return CommandLine(server.url, prefix, tmp_path)


def _findings(line: CommandLine, *words: str) -> tuple[int, Findings]:
    done = line.run("doctor", "--json", *words)
    found: Findings = {}
    for record in done.records()[:-1]:
        found.setdefault(str(record["check"]), []).append(record)
    return done.code, found


def test_what_is_well_is_said_to_be(line: CommandLine) -> None:
    line.with_shop()
    line.run("add", "email", "welcome", '{"to": "a"}', "--delay", "1h")

    _, found = _findings(line)

    for check in ("settings", "app", "redis", "eviction", "memory", "latency", "clock", "data"):
        assert [f["level"] for f in found[check]] == ["ok"], found[check]
    assert found["app"][0]["said"] == "shop:app: 2 queues, 4 handlers"
    assert [f["said"] for f in found["handlers"]] == [
        "report/make-* takes any data: its first parameter has no type, so nothing is checked",
        "report/make-* is a plain function: it runs in a thread, where nothing can stop it",
    ]


def test_a_server_that_evicts_is_an_error_with_the_way_out(prefix: str, tmp_path: Path) -> None:
    with servers.running() as own:
        with redis.Redis.from_url(own.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        line = CommandLine(own.url, prefix, tmp_path)

        code, found = _findings(line)
        human = line.run("doctor")

    assert code == human.code == 2
    assert found["eviction"] == [
        {
            "check": "eviction",
            "level": "error",
            "said": "SQ110 Redis may delete jobs: maxmemory-policy is allkeys-lru. Set noeviction:"
            "  redis-cli config set maxmemory-policy noeviction",
        }
    ]
    assert "  error    eviction     SQ110 Redis may delete jobs" in human.out
    assert human.out.splitlines()[-1].startswith("1 error, ")


@pytest.mark.one_server
def test_no_append_only_file_is_a_warning(line: CommandLine) -> None:
    code, found = _findings(line)  # the server of the tests has none

    assert code == 1
    assert found["persistence"][0]["level"] == "warning"
    assert str(found["persistence"][0]["do"]).startswith("redis-cli config set appendonly yes")


def test_jobs_that_nobody_takes_are_a_warning_that_says_what_to_run(line: CommandLine) -> None:
    line.run("add", "email", "welcome", "--force")

    _, found = _findings(line)

    assert found["queues"][0]["said"] == "email: 1 job waits and no worker is live"
    assert found["queues"][0]["do"] == "streamq run -q email"


def test_torn_data_is_found_and_put_right(line: CommandLine, raw_url: str, prefix: str) -> None:
    line.run("add", "email", "welcome", "--force", "--id", "j")
    with redis.Redis.from_url(raw_url) as client:
        client.delete(f"{prefix}:{{email}}:wait:3")  # as after XGROUP DESTROY, or a foreign hand

    sick, found = _findings(line)
    _, fixed = _findings(line, "--fix")
    _, after = _findings(line)

    assert sick == 2
    said = "email: 1 job is kept, and 0 stand somewhere. nowhere (1): j"
    assert found["data"][0]["said"] == said
    assert found["data"][0]["do"] == "streamq doctor --fix"
    assert str(fixed["data"][0]["said"]).startswith("email: put right: jobs (1): j")
    assert after["data"][0]["level"] == "ok"
    assert line.run("job", "j", "--json").record()["state"] == "waiting"


def test_torn_jobs_are_named_by_what_is_wrong_with_them(
    line: CommandLine, raw_url: str, prefix: str
) -> None:
    def planted(key: str) -> str:
        return f"{prefix}:{{email}}:{key}"

    for job in ("whole", "twice", "later"):
        delay = ["--delay", "1h"] if job == "later" else []
        line.run("add", "email", "welcome", "--force", "--id", job, *delay)
    line.run("add", "email", "welcome", "-", "--force", stdin="null\n" * 12)
    jobs = line.run("jobs", "email", "--json", "--limit", "50").records()
    lost = sorted(job for job in (str(each["id"]) for each in jobs) if len(job) > 10)
    with redis.Redis.from_url(raw_url) as client:
        client.zadd(planted("completed"), {"twice": 1, "ghost": 1})
        client.hset(planted("leases"), "whole", "1-1|3|1|somebody")
        for entry, fields in client.xrange(planted("wait:3")):
            if next(iter(fields.values()))[7:].decode() in lost:
                client.xdel(planted("wait:3"), entry)

    _, found = _findings(line)

    said = str(found["data"][0]["said"]).partition(". ")[2]
    assert said.split("; ") == [
        f"nowhere (12): {', '.join(lost[:10])} and 2 more",
        "in two places (1): twice",
        "without a record (1): ghost",
        "leased and not given out (1): whole",
    ]
    _, fixed = _findings(line, "--fix")
    assert "put right" in str(fixed["data"][0]["said"])
    assert _findings(line)[1]["data"][0]["level"] == "ok"


@pytest.fixture
def raw_url(server: EmbeddedServer) -> str:
    return server.url


def test_a_newer_layout_is_an_error_and_nothing_is_touched(
    line: CommandLine, raw_url: str, prefix: str
) -> None:
    line.run("add", "email", "welcome", "--force")
    with redis.Redis.from_url(raw_url) as client:
        client.hset(f"{prefix}:{{email}}:meta", "layout", 3)

    code, found = _findings(line)
    added = line.run("add", "email", "welcome", "--force")

    assert code == 2
    said = (
        "SQ112 Queue email has layout 3, this streamq (0.1) knows 1."
        " Update the workers, or roll the producers back; nothing was changed."
    )
    assert found["layout"][0]["said"] == said
    assert (added.code, added.err) == (3, said + "\n")


def test_an_app_that_cannot_be_imported_is_an_error_and_the_rest_is_still_looked_at(
    line: CommandLine,
) -> None:
    code, found = _findings(line, "no.such:app")

    assert code == 2
    assert str(found["app"][0]["said"]).startswith("SQ301 Cannot import no.such:app: ")
    assert found["version"][0]["level"] in ("ok", "warning")


def test_a_redis_that_is_away_is_the_last_finding(prefix: str, tmp_path: Path) -> None:
    code, found = _findings(CommandLine("redis://127.0.0.1:1", prefix, tmp_path))

    assert code == 2
    assert [*found] == ["settings", "app", "redis"]
    assert str(found["redis"][0]["said"]).startswith("SQ101 Cannot reach Redis at 127.0.0.1:1")


def test_a_setting_that_does_not_exist_is_told_with_the_one_that_was_meant(
    line: CommandLine,
) -> None:
    (line.folder / "streamq.toml").write_text("[queues.email]\nconcurency = 3\n")

    for words in (["config"], ["queues"], ["run", "shop:app"]):
        done = line.run(*words)
        assert done.code == 2
        assert (
            done.err.startswith('SQ310 No setting "queues.email.concurency" (from ')
            and 'Did you mean "concurrency"?' in done.err
        )


def test_config_says_who_set_what_and_masks_the_password(
    server: EmbeddedServer, prefix: str, tmp_path: Path
) -> None:
    line = CommandLine("redis://ana:secret@localhost:6379/3", prefix, tmp_path)
    (tmp_path / "streamq.toml").write_text('timezone = "America/Sao_Paulo"\n')

    human = line.run("config", "--set", variables={"STREAMQ_LEASE": "20s"})
    program = line.run("config", "--json").records()

    assert [row.split() for row in human.out.splitlines()] == [
        ["SETTING", "VALUE", "FROM"],
        ["redis", '"redis://ana:***@localhost:6379/3"', "REDIS_URL"],
        ["prefix", f'"{prefix}"', "STREAMQ_PREFIX"],
        ["timezone", '"America/Sao_Paulo"', "streamq.toml"],
        ["lease", '"20s"', "STREAMQ_LEASE"],
    ]
    assert {"setting": "grace", "value": '"30s"', "from": "default"} in program
    assert "secret" not in human.out + human.err + str(program)
