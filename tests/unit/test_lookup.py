"""Finding Redis: the order of the places, secrets in files, and nothing imported for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamq.errors import InvalidSetting, UnreadableSettings
from streamq.lookup import RedisPlace, look_up, masked_url, read_secret, redis_places

DEFAULT = RedisPlace("redis://localhost:6379", "default")


def test_the_places_are_looked_at_in_order(tmp_path: Path) -> None:
    dev = tmp_path / ".streamq" / "redis.url"
    dev.parent.mkdir()
    file = tmp_path / "streamq.toml"
    environ: dict[str, str] = {}

    assert redis_places(None, environ, tmp_path) == [DEFAULT]

    dev.write_text("unix:///tmp/redis.sock\n")
    assert redis_places(None, environ, tmp_path) == [
        RedisPlace("unix:///tmp/redis.sock", str(dev)),
        DEFAULT,
    ]

    file.write_text('redis = "redis://file"')
    assert redis_places(None, environ, tmp_path) == [RedisPlace("redis://file", str(file))]

    config = tmp_path / "other.toml"
    config.write_text('redis = "redis://config"')
    assert redis_places(None, environ, tmp_path, config) == [
        RedisPlace("redis://config", str(config))
    ]

    environ["REDIS_URL"] = "redis://shared"
    assert redis_places(None, environ, tmp_path, config) == [
        RedisPlace("redis://shared", "REDIS_URL")
    ]

    environ["STREAMQ_REDIS_URL"] = "redis://nearer"
    assert redis_places(None, environ, tmp_path) == [
        RedisPlace("redis://nearer", "STREAMQ_REDIS_URL")
    ]

    environ["STREAMQ_REDIS"] = "redis://ours"
    assert redis_places(None, environ, tmp_path) == [RedisPlace("redis://ours", "STREAMQ_REDIS")]

    assert redis_places("redis://option", environ, tmp_path) == [
        RedisPlace("redis://option", "--redis")
    ]


def test_the_dev_server_is_found_from_a_folder_below(tmp_path: Path) -> None:
    dev = tmp_path / ".streamq" / "redis.url"
    dev.parent.mkdir()
    dev.write_text("redis://127.0.0.1:40001")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)

    assert redis_places(None, {}, inner)[0] == RedisPlace("redis://127.0.0.1:40001", str(dev))


def test_a_broken_dev_file_is_named(tmp_path: Path) -> None:
    dev = tmp_path / ".streamq" / "redis.url"
    dev.parent.mkdir()
    dev.write_text("half a")

    with pytest.raises(InvalidSetting, match=r"redis\.url"):
        redis_places(None, {}, tmp_path)


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("redis://h", "rediss://h"),
        ("rediss://h", "rediss://h"),
        ("unix:///tmp/s", "unix:///tmp/s"),
    ],
)
def test_tls_may_be_said_apart_from_the_url(tmp_path: Path, url: str, reached: str) -> None:
    environ = {"REDIS_URL": url, "REDIS_TLS": "true"}

    assert redis_places(None, environ, tmp_path) == [RedisPlace(reached, "REDIS_URL")]
    assert redis_places(None, environ | {"REDIS_TLS": "false"}, tmp_path)[0].url == url
    with pytest.raises(InvalidSetting, match="give true or false"):
        redis_places(None, environ | {"REDIS_TLS": "maybe"}, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://:p%40ss@redis.example.com:6379",
        "rediss://user:pw@h:1/15?timeout=5",
        "redis://[::1]:6379",
        "redis://10.0.0.1",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://h1,h2/master/0",
        "redis+cluster://h1,h2",
    ],
)
def test_the_usual_urls_are_taken(tmp_path: Path, url: str) -> None:
    assert redis_places(url, {}, tmp_path) == [RedisPlace(url, "--redis")]


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:6379", "redis://", "redis://h:0", "redis://h:port", "redis://h:123456"),
        *("redis://h h", "http://h", "redis://p@ss@h", "redis://h/db", "unix://", "redis://h\n"),
    ],
)
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"from --redis\): give redis://"):
        redis_places(url, {}, tmp_path)


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://:pw@h\n")
    environ = {"REDIS_URL_FILE": str(secret)}

    assert redis_places(None, environ, tmp_path) == [RedisPlace("redis://:pw@h", "REDIS_URL_FILE")]
    assert read_secret(environ, "REDIS_URL") == "redis://:pw@h"
    assert read_secret({"TOKEN": "t"}, "TOKEN") == "t"
    assert read_secret({"TOKEN": "", "TOKEN_FILE": ""}, "TOKEN") is None
    assert read_secret({}, "TOKEN") is None


def test_a_secret_said_twice_is_refused_without_showing_it(tmp_path: Path) -> None:
    environ = {"TOKEN": "hush", "TOKEN_FILE": str(tmp_path)}

    with pytest.raises(InvalidSetting, match="TOKEN_FILE is set too") as refused:
        read_secret(environ, "TOKEN")

    assert "hush" not in str(refused.value)


def test_a_secrets_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    environ = {"TOKEN_FILE": str(tmp_path / "missing")}

    with pytest.raises(UnreadableSettings, match=r"missing \(from TOKEN_FILE\): No such file"):
        read_secret(environ, "TOKEN")


def test_an_empty_secrets_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")

    assert read_secret({"TOKEN_FILE": str(tmp_path / "empty")}, "TOKEN") is None


def test_any_setting_at_the_top_is_found_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / "streamq.toml").write_text("health_port = 9464\n")

    said = look_up("health_port", {}, tmp_path)
    assert said == (9464, str(tmp_path / "streamq.toml"))
    assert look_up("health_port", {"STREAMQ_HEALTH_PORT": "1"}, tmp_path) == (
        "1",
        "STREAMQ_HEALTH_PORT",
    )
    assert look_up("metrics_port", {}, tmp_path) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:pw@h", "redis://:***@h"),
        ("redis://user:pw@h", "redis://user:***@h"),
        ("redis://user:p@w:d@h", "redis://user:***@h"),
        ("redis://h?password=pw&db=1", "redis://h?password=***&db=1"),
        ("unix://:pw@/tmp/s", "unix://:***@/tmp/s"),
        ("redis://pw@h", "redis://***@h"),
        ("redis:/:pw@h", "***@h"),
        ("pw@h", "***@h"),
    ],
)
def test_a_masked_url_keeps_all_but_the_password(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_finding_redis_imports_nothing_heavy() -> None:
    code = "import sys, streamq.lookup; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()

    assert "streamq.lookup" in loaded
    assert not {"msgspec", "redis", "hiredis", "croniter", "asyncio", "dataclasses"} & set(loaded)


def test_settings_import_neither_redis_nor_asyncio() -> None:
    code = "import sys, streamq.settings, streamq.payload; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()

    assert "streamq.settings" in loaded
    assert not {"redis", "hiredis", "croniter", "asyncio", "random", "difflib"} & set(loaded)
