"""The values of settings: how each is written, what is refused, and unknown keys."""

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.backoff import fixed, linear, steps
from streamq.durations import Ms
from streamq.errors import ConfigError, InvalidSetting, UnknownSetting
from streamq.settings import (
    KEEP_NOTHING,
    Env,
    Keep,
    LogFormat,
    Rate,
    Settings,
    load_settings,
    shown,
)
from streamq.settings.reading import JOB_KEYS, TOP_KEYS
from tests.support.settings_files import load


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("APP", "shop.jobs:app", "shop.jobs:app"),
        ("REDIS", "redis://:pw@h:1/2", "redis://:pw@h:1/2"),
        ("PREFIX", "my.app:jobs", "my.app:jobs"),
        ("ENV", "production", Env.PRODUCTION),
        ("TIMEZONE", "America/Sao_Paulo", "America/Sao_Paulo"),
        ("GRACE", "0s", 0),
        ("HUNG", "2m", 120_000),
        ("PROCESSES", " 4 ", 4),
        ("MAX_JOBS", "none", None),
        ("MAX_JOBS", "1000", 1_000),
        ("MAX_RSS", "512MiB", 512 << 20),
        ("LOG_LEVEL", "warning", "WARNING"),
        ("LOG_FORMAT", "json", LogFormat.JSON),
        ("HEALTH_PORT", "9464", 9_464),
        ("METRICS_PORT", "0", 0),
    ],
)
def test_a_variable_is_read_like_a_file(tmp_path: Path, key: str, text: str, value: object) -> None:
    settings = load(tmp_path, **{f"STREAMQ_{key}": text})

    assert getattr(settings, TOP_KEYS[key.lower()].field) == value


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("CONCURRENCY", "20", 20),
        ("ATTEMPTS", "1", 1),
        ("BACKOFF", '{ kind = "fixed", delay = "1s" }', fixed("1s")),
        ("BACKOFF", '{ kind = "linear", delay = "1s", jitter = 0.5 }', linear("1s", jitter=0.5)),
        ("BACKOFF", '{ kind = "list", steps = ["1s", "5s"] }', steps(["1s", "5s"])),
        ("TIMEOUT", "2h", 7_200_000),
        ("PRIORITY", "10", 10),
        ("PAYLOAD_LIMIT", "64KiB", 65_536),
        ("KEEP_COMPLETED", '{ age = "1h" }', Keep(Ms(3_600_000), None)),
        ("KEEP_FAILED", "{ count = 0 }", KEEP_NOTHING),
        ("KEEP_PARKED", '{ age = "1d", count = 5 }', Keep(Ms(86_400_000), 5)),
        ("MAX_ACTIVE", "2", 2),
        ("RATE", "100/m", Rate(100, Ms(60_000))),
        ("RATE", "100/1m30s", Rate(100, Ms(90_000))),
        ("RATE", '{ count = 5, per = "10s" }', Rate(5, Ms(10_000))),
        ("RATE", "none", None),
    ],
)
def test_a_queues_variable_is_read_like_a_file(
    tmp_path: Path, key: str, text: str, value: object
) -> None:
    settings = load(tmp_path, **{f"STREAMQ_QUEUES__EMAIL__{key}": text})

    assert getattr(settings.for_queue("email"), JOB_KEYS[key.lower()].field) == value


@pytest.mark.parametrize(
    ("file", "key", "why"),
    [
        ("app = 'shop'", "app", 'give text such as "processors.app:app".'),
        ("redis = 'localhost:6379'", "redis", "give redis://"),
        ("redis = 'redis://h:0'", "redis", "give redis://"),
        ("redis = 'http://h'", "redis", "give redis://"),
        ("redis_tls = 1", "redis_tls", "give true or false."),
        ("prefix = '{a}'", "prefix", 'give text such as "streamq".'),
        ("env = 'prodution'", "env", "did you mean production? give one of dev, test"),
        (
            "timezone = 'America/Sao_Paolo'",
            "timezone",
            "America/Sao_Paolo is no time zone. Did you mean America/Sao_Paulo?",
        ),
        ("timezone = '../etc/passwd'", "timezone", "is no time zone."),
        ("timezone = 3", "timezone", "is no time zone."),
        ("lease = 30", "lease", 'give a duration with its unit, such as "30s".'),
        ("lease = '30'", "lease", 'it is not a duration. Give "250ms", "5s"'),
        ("lease = '1ms'", "lease", "give 100ms to 1h."),
        ("lease = '-5s'", "lease", "it is negative."),
        ("processes = 0", "processes", "give a whole number, 1 to 1024."),
        ("processes = true", "processes", "give a whole number, 1 to 1024."),
        ("processes = 1.5", "processes", "give a whole number, 1 to 1024."),
        ("max_rss = 500", "max_rss", 'give a size with its unit, such as "64KiB".'),
        ("max_rss = '1KiB'", "max_rss", "give 16MiB to 16384GiB."),
        ("max_rss = '5 apples'", "max_rss", "it is not a size: give"),
        ("log_level = 'LOUD'", "log_level", "give one of DEBUG, INFO"),
        ("health_port = 65536", "health_port", "give a whole number, 0 to 65535."),
        ("defaults = 3", "defaults", "it is a table of settings."),
        ("[defaults]\nattempts = 0", "defaults.attempts", "give a whole number, 1 to 1000."),
        ("[defaults]\npriority = 11", "defaults.priority", "give a whole number, 1 to 10."),
        ("[defaults]\nbackoff = '5s'", "defaults.backoff", "give a table of kind, delay"),
        ("[defaults]\nbackoff = {dely = '5s'}", "defaults.backoff", 'Did you mean "delay"?'),
        ("[defaults]\nbackoff = {delay = 5}", "defaults.backoff", "Expected str | null"),
        ("[defaults]\nkeep_failed = {}", "defaults.keep_failed", "one of the two"),
        ("[defaults]\nkeep_failed = {agee = '5s'}", "defaults.keep_failed", '"age"?'),
        ("[defaults]\nkeep_failed = {age = '5'}", "defaults.keep_failed", "not a duration"),
        ("[defaults]\nrate = '50'", "defaults.rate", 'give "50/s"'),
        ("[defaults]\nrate = '0/s'", "defaults.rate", "give a whole number, 1 to"),
        ("[defaults]\nrate = {count = 1}", "defaults.rate", "give both"),
        ("[queues.'e mail']\nattempts = 3", "queues.e mail", "a queue's name must match"),
        ("[queues]\nemail = 3", "queues.email", "it is a table of settings."),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_key_file_and_way_out(
    tmp_path: Path, file: str, key: str, why: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        load(tmp_path, file)

    assert refused.value.key == key
    assert refused.value.origin == str(tmp_path / "streamq.toml")
    assert why in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("leese = '30s'", 'No setting "leese" (from {}). Did you mean "lease"?'),
        ("[default]\nattempts = 3", 'No setting "default" (from {}). Did you mean "defaults"?'),
        (
            "[defaults]\nconcurency = 3",
            'No setting "defaults.concurency" (from {}). Did you mean "concurrency"?',
        ),
        (
            "[queues.email]\nconcurency = 3",
            'No setting "queues.email.concurency" (from {}). Did you mean "concurrency"?',
        ),
    ],
)
def test_an_unknown_key_of_a_file_is_an_error_with_a_guess(
    tmp_path: Path, file: str, said: str
) -> None:
    with pytest.raises(UnknownSetting) as refused:
        load(tmp_path, file)

    assert said.format(tmp_path / "streamq.toml") in str(refused.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAMQ_LEESE", "lease"),
        ("STREAMQ_DEFAULTS__ATEMPTS", "attempts"),
        ("STREAMQ_QUEUES__EMAIL__CONCURENCY", "concurrency"),
        ("STREAMQ_QUEUES__EMAIL__BACKOFF__DELAY", None),
        ("STREAMQ_QUEUES__EMAIL", None),
        ("STREAMQ_LEASE_FILE", "lease"),
        ("STREAMQ_", None),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_it(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    with pytest.raises(UnknownSetting) as refused:
        load(tmp_path, **{name: "3"})

    assert f"(from {name})." in str(refused.value)
    assert meant is None or f'Did you mean "{meant}"?' in str(refused.value)


def test_variables_of_tests_and_children_are_no_settings(tmp_path: Path) -> None:
    assert load(tmp_path, STREAMQ_TEST_SERVER="redis7", STREAMQ_CHILD_PIPE="7") == Settings()


def test_an_unknown_override_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="from --leese"):
        load_settings(None, {}, {"leese": "3s"}, tmp_path)


def test_an_override_may_name_a_queue_with_dots(tmp_path: Path) -> None:
    settings = load_settings(None, {}, {"queues.my.queue.concurrency": 3}, tmp_path)

    assert settings.for_queue("my.queue").concurrency == 3
    assert settings.origins.of("queues.my.queue.concurrency") == "--queue"


def test_an_empty_variable_says_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, STREAMQ_LEASE="", REDIS_URL="", STREAMQ_QUEUES__EMAIL__RATE="") == (
        Settings()
    )


TOML = st.recursive(
    st.text(max_size=20) | st.integers(-(10**20), 10**20) | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("name", [*TOP_KEYS, *(f"defaults.{name}" for name in JOB_KEYS)])
@given(value=TOML)
def test_any_value_is_read_or_refused_with_our_error(name: str, value: object) -> None:
    try:
        settings = load_settings(None, {}, {name: value}, Path(os.sep))
    except ConfigError as refused:
        assert "--" in str(refused)
        return
    line = next(line for line in shown(settings) if line.key == name)
    assert line.value is not None
    tomllib.loads(f"value = {line.value}")
