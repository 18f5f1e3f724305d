"""Where every verb looks for Redis, and that the probe looks in the same places."""

from argparse import Namespace
from pathlib import Path

import pytest

from streamq.cli.place import first_that_answers, named, places_of
from streamq.cli.session import settings_of
from streamq.embedded import EmbeddedServer
from streamq.errors import RedisUnavailable
from streamq.lookup import RedisPlace


def _args(redis: str | None = None, config: str | None = None) -> Namespace:
    return Namespace(redis=redis, config=config, prefix=None, json=False, verbose=False)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "REDIS_TLS", "STREAMQ_REDIS", "STREAMQ_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def test_redis_is_looked_for_in_the_order_of_who_knows_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [places_of(_args())]
    (tmp_path / ".streamq").mkdir()
    (tmp_path / ".streamq/redis.url").write_text("redis://dev:1\n")
    found.append(places_of(_args()))
    (tmp_path / "streamq.toml").write_text('redis = "redis://file:2"\n')
    found.append(places_of(_args()))
    monkeypatch.setenv("REDIS_URL", "redis://variable:3")
    found.append(places_of(_args()))
    monkeypatch.setenv("STREAMQ_REDIS", "redis://own-variable:4")
    found.append(places_of(_args()))
    found.append(places_of(_args("redis://option:5")))

    assert found == [
        [("redis://localhost:6379", "the default")],
        [("redis://dev:1", ".streamq/redis.url"), ("redis://localhost:6379", "the default")],
        [("redis://file:2", "streamq.toml")],
        [("redis://variable:3", "REDIS_URL")],
        [("redis://own-variable:4", "STREAMQ_REDIS")],
        [("redis://option:5", "--redis")],
    ]


@pytest.mark.parametrize(
    ("variables", "toml"),
    [
        ({}, ""),
        ({}, 'redis = "redis://file:2"\n'),
        ({"REDIS_URL": "redis://plain:3"}, 'redis = "redis://file:2"\n'),
        ({"REDIS_URL": "redis://plain:3", "REDIS_TLS": "true"}, ""),
        ({"REDIS_URL": "redis://plain:3", "STREAMQ_REDIS": "redis://own:4"}, ""),
    ],
)
def test_the_probe_and_the_settings_mean_the_same_redis(
    variables: dict[str, str], toml: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "streamq.toml").write_text(toml)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert places_of(_args())[-1].url == settings_of(_args()).redis


def test_a_dev_server_that_answers_is_meant_and_one_that_ended_is_passed_over(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    running = RedisPlace(server.url, ".streamq/redis.url")
    ended = RedisPlace(f"unix://{tmp_path}/gone.sock", ".streamq/redis.url")
    away = RedisPlace("redis://127.0.0.1:1", "the default")

    assert first_that_answers([running, away]).place == running
    assert first_that_answers([ended, RedisPlace(server.url, "x")]).place.origin == "x"
    with pytest.raises(RedisUnavailable, match=r"127\.0\.0\.1:1 \(from the default\)"):
        first_that_answers([ended, away])


def test_a_file_is_named_by_its_way_from_here(tmp_path: Path) -> None:
    assert named(str(tmp_path / "deep/streamq.toml")) == "deep/streamq.toml"
    assert named("/etc/streamq.toml") == "/etc/streamq.toml"
    assert named("REDIS_URL") == "REDIS_URL"
