"""Settings: which source wins, what is refused and how, and that what is shown is true."""

import re
from pathlib import Path
from typing import Final

import pytest

from streamq.backoff import exponential
from streamq.durations import Ms
from streamq.errors import InvalidSetting, UnknownSetting, UnreadableSettings
from streamq.lookup import RedisPlace, redis_places
from streamq.settings import (
    KEEP_NOTHING,
    JobDefaults,
    Keep,
    QueueSettings,
    Rate,
    Settings,
    load_settings,
    overlaid,
    shown,
)
from streamq.settings.reading import JOB_KEYS, TABLE_KEYS, TOP_KEYS
from tests.support.settings_files import load

ROOT: Final = Path(__file__).parents[2]
OWN: Final = ROOT / "streamq" / "settings"

FILE: Final = """
app = "processors.app:app"
redis = "redis://localhost:6379/0"
timezone = "America/Sao_Paulo"
[defaults]
attempts = 3
backoff = { kind = "exponential", delay = "5s", max = "10m", jitter = 0 }
keep_completed = { age = "24h", count = 1000 }
keep_failed = { age = "7d" }
[queues.backup]
concurrency = 1
max_active = 1
timeout = "2h"
[queues.payment-reminder]
rate = "50/s"
"""


# ---- the defaults


def test_the_defaults_are_the_seeds() -> None:
    defaults = JobDefaults()

    assert defaults.attempts == 3
    assert defaults.backoff == exponential("5s")
    assert defaults.keep_completed == Keep(Ms(24 * 3_600_000), 1_000)
    assert defaults.keep_failed == Keep(Ms(7 * 24 * 3_600_000), None)
    assert defaults.priority == 3
    assert defaults.payload_limit_bytes == 262_144


def test_two_heartbeats_may_be_lost_within_a_lease() -> None:
    settings = Settings()

    assert settings.beat_ms * 3 == settings.lease_ms


def test_every_field_can_be_set_and_every_layer_has_the_same_fields() -> None:
    made_by_loading = {"defaults", "queues", "queues_by_variable", "schedules", "origins"}
    in_tables = {key.field for keys in TABLE_KEYS.values() for key in keys.values()}

    assert JobDefaults.__struct_fields__ == QueueSettings.__struct_fields__
    assert {key.field for key in JOB_KEYS.values()} == set(JobDefaults.__struct_fields__)
    assert {key.field for key in TOP_KEYS.values()} == (
        set(Settings.__struct_fields__) - made_by_loading - in_tables
    )


def test_every_knob_turns_something() -> None:
    paths = [*(ROOT / "streamq").rglob("*.py"), *(ROOT / "admin").rglob("*.py")]
    code = "".join(path.read_text() for path in paths if path.parent != OWN)
    keys = [*TOP_KEYS.values(), *(key for keys in TABLE_KEYS.values() for key in keys.values())]
    knobs = {*(key.field for key in keys), *JobDefaults.__struct_fields__}
    # Applied while the settings are read: to `redis`, which says it from then on.
    knobs -= {"redis_tls"}

    assert not [knob for knob in sorted(knobs) if not re.search(rf"\.{knob}\b", code)]


def test_without_any_source_all_stands_at_its_default(tmp_path: Path) -> None:
    settings = load_settings(environ={}, start=tmp_path)

    assert settings == Settings()
    assert {line.origin for line in shown(settings)} == {"default"}


# ---- which source wins


def test_the_example_file_is_read(tmp_path: Path) -> None:
    settings = load(tmp_path, FILE)

    assert settings.app == "processors.app:app"
    assert settings.redis == "redis://localhost:6379/0"
    assert settings.timezone == "America/Sao_Paulo"
    assert settings.defaults.backoff == exponential("5s", max="10m")
    backup = settings.for_queue("backup")
    assert (backup.concurrency, backup.max_active, backup.timeout_ms) == (1, 1, 7_200_000)
    assert settings.for_queue("payment-reminder").rate == Rate(50, Ms(1_000))
    assert settings.for_queue("email") == settings.defaults


@pytest.mark.parametrize("strongest", range(5))
def test_each_source_beats_the_weaker_ones(tmp_path: Path, strongest: int) -> None:
    config = tmp_path / "other.toml"
    (tmp_path / "streamq.toml").write_text("lease = '11s'" if strongest >= 1 else "")
    config.write_text("lease = '12s'" if strongest >= 2 else "")
    environ = {"STREAMQ_LEASE": "13s"} if strongest >= 3 else {}
    overrides = {"lease": "14s"} if strongest >= 4 else {}

    settings = load_settings(config, environ, overrides, tmp_path)

    assert settings.lease_ms == [30_000, 11_000, 12_000, 13_000, 14_000][strongest]
    origins = [
        "default",
        str(tmp_path / "streamq.toml"),
        str(config),
        "STREAMQ_LEASE",
        "--lease",
    ]
    assert settings.origins.of("lease") == origins[strongest]


@pytest.mark.parametrize("tls", ["", "true", "false"])
@pytest.mark.parametrize("said", range(5))
def test_settings_and_lookup_name_the_same_redis(tmp_path: Path, said: int, tls: str) -> None:
    names = ["REDIS_URL", "STREAMQ_REDIS_URL", "STREAMQ_REDIS"][: max(said - 1, 0)]
    environ = {name: f"redis://{name.lower().replace('_', '-')}" for name in names}
    environ["REDIS_TLS"] = tls
    (tmp_path / "streamq.toml").write_text('redis = "redis://file"' if said else "")

    settings = load_settings(None, environ, {}, tmp_path)

    found = RedisPlace(settings.redis, settings.origins.of("redis"))
    assert redis_places(None, environ, tmp_path) == [found]


def test_the_same_order_holds_within_a_queue(tmp_path: Path) -> None:
    (tmp_path / "streamq.toml").write_text(
        "[queues.payment-reminder]\nconcurrency = 1\nattempts = 1\npriority = 1\n"
    )
    environ = {
        "STREAMQ_QUEUES__PAYMENT_REMINDER__ATTEMPTS": "2",
        "STREAMQ_QUEUES__PAYMENT_REMINDER__PRIORITY": "2",
    }
    overrides = {"queues.payment-reminder.priority": 3}

    merged = load_settings(None, environ, overrides, tmp_path).for_queue("payment-reminder")

    assert (merged.concurrency, merged.attempts, merged.priority) == (1, 2, 3)


def test_a_queue_beats_the_defaults_and_code_is_weaker_than_files(tmp_path: Path) -> None:
    settings = load(tmp_path, "[defaults]\nattempts = 5\n[queues.email]\nconcurrency = 20\n")
    declared = QueueSettings(concurrency=10, attempts=7, max_active=4)

    merged = settings.for_queue("email", declared)

    assert (merged.concurrency, merged.attempts, merged.max_active) == (20, 7, 4)
    assert settings.for_queue("other").attempts == 5


def test_a_queue_that_only_a_variable_names_is_found_by_its_spelling(tmp_path: Path) -> None:
    settings = load(tmp_path, STREAMQ_QUEUES__PAYMENT_REMINDER__CONCURRENCY="20")

    assert settings.for_queue("payment-reminder").concurrency == 20
    assert settings.for_queue("payment_reminder").concurrency == 20
    assert settings.for_queue("payment.reminder").concurrency == 20
    assert settings.for_queue("payment").concurrency == 10


def test_none_says_that_there_is_no_limit(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[defaults]\ntimeout = "30s"\nmax_active = 3\n'
        '[queues.report]\ntimeout = "none"\nmax_active = "none"\nkeep_completed = "none"\n',
    )

    report = settings.for_queue("report")
    assert (report.timeout_ms, report.max_active) == (None, None)
    assert report.keep_completed == KEEP_NOTHING
    assert settings.for_queue("email").timeout_ms == 30_000


def test_a_later_layer_wins_and_what_it_does_not_say_stands() -> None:
    base = JobDefaults(timeout_ms=Ms(5), concurrency=2)

    merged = overlaid(base, QueueSettings(timeout_ms=Ms(6)), QueueSettings(timeout_ms=None))

    assert (merged.timeout_ms, merged.concurrency) == (None, 2)


def test_loading_reads_nothing_but_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMQ_LEASE", "11s")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")

    assert load_settings(environ={}, start=tmp_path) == Settings()
    assert load_settings(start=tmp_path).lease_ms == 11_000


# ---- the app's queues


def test_settings_for_a_queue_that_the_app_does_not_have_are_an_error(tmp_path: Path) -> None:
    known = ["email", "payment-reminder"]
    written = load(tmp_path, "[queues.emial]\nattempts = 3")
    spelled = load(tmp_path, STREAMQ_QUEUES__EMIAL__ATTEMPTS="3")

    with pytest.raises(UnknownSetting) as in_file:
        written.check_queues(known)
    with pytest.raises(UnknownSetting) as in_variable:
        spelled.check_queues(known)

    assert 'No setting "queues.emial"' in str(in_file.value)
    assert 'Did you mean "email"?' in str(in_file.value)
    assert "(from STREAMQ_QUEUES__EMIAL__ATTEMPTS)" in str(in_variable.value)
    assert 'Did you mean "EMAIL"?' in str(in_variable.value)


def test_settings_for_the_apps_own_queues_are_in_order(tmp_path: Path) -> None:
    settings = load(
        tmp_path, "[queues.email]\nattempts = 3", STREAMQ_QUEUES__PAYMENT_REMINDER__RATE="5/s"
    )

    settings.check_queues(["email", "payment-reminder"])


# ---- secrets


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, REDIS_URL="redis://user:hush@h/1?password=hush")

    text = "\n".join(f"{line.key} = {line.value}" for line in shown(settings))

    assert "hush" not in text
    assert 'redis = "redis://user:***@h/1?password=***"' in text


@pytest.mark.parametrize(
    "url", ["redis://:hu@sh@h:x", "http://:hush@h", "redis:/:hush@h", "//a:hush@h"]
)
def test_a_password_is_not_in_the_error_either(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        load(tmp_path, REDIS_URL=url)

    assert "sh@" not in str(refused.value)
    assert "(from REDIS_URL)" in str(refused.value)


def test_another_redis_keeps_its_origin(tmp_path: Path) -> None:
    settings = load(tmp_path).with_redis("unix:///tmp/s", ".streamq/redis.url")

    assert settings.redis == "unix:///tmp/s"
    assert settings.origins.of("redis") == ".streamq/redis.url"


# ---- files


def test_a_pyproject_has_its_own_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.streamq]\nlease = '11s'\n")

    settings = load_settings(environ={}, start=tmp_path)

    assert settings.lease_ms == 11_000
    assert settings.origins.of("lease") == str(tmp_path / "pyproject.toml")


def test_the_nearest_file_upwards_is_meant(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "streamq.toml").write_text("lease = '11s'")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nlease = '12s'")

    assert load_settings(environ={}, start=inner).lease_ms == 11_000

    (tmp_path / "a" / "pyproject.toml").write_text("[tool.streamq]\nlease = '13s'")
    assert load_settings(environ={}, start=inner).lease_ms == 13_000

    (tmp_path / "a" / "streamq.toml").write_text("lease = '14s'")
    assert load_settings(environ={}, start=inner).lease_ms == 14_000


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"lease = ", "Invalid value"),
        (b"lease = '\xff'", "it is not UTF-8 text."),
        (b"#" * (1 << 20) + b"#", "it is larger than 1048576 bytes."),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "streamq.toml").write_bytes(content)

    with pytest.raises(UnreadableSettings) as refused:
        load_settings(environ={}, start=tmp_path)

    assert str(tmp_path / "streamq.toml") in str(refused.value)
    assert why in str(refused.value)


def test_a_config_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSettings, match="No such file"):
        load_settings(tmp_path / "missing.toml", {}, start=tmp_path)
    with pytest.raises(UnreadableSettings, match="directory"):
        load_settings(tmp_path, {}, start=tmp_path)


# ---- what is shown


def test_what_is_shown_is_a_file_that_gives_the_same_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        FILE,
        REDIS_TLS="true",
        STREAMQ_MAX_RSS="1000000001B",
        STREAMQ_ENV="test",
        STREAMQ_QUEUES__BACKUP__BACKOFF='{ kind = "list", steps = ["1s", "90m"], jitter = 0.25 }',
        STREAMQ_QUEUES__EMAIL__KEEP_COMPLETED="none",
    )

    lines = [f"{line.key} = {line.value}" for line in shown(settings, ["email"])]
    (tmp_path / "again.toml").write_text("\n".join(lines))
    again = load_settings(tmp_path / "again.toml", {}, start=tmp_path)

    assert [line.value for line in shown(again, ["email"])] == [
        line.value for line in shown(settings, ["email"])
    ]
    assert again.for_queue("email") == settings.for_queue("email")
    assert again.for_queue("backup") == settings.for_queue("backup")


def test_each_shown_value_has_its_origin(tmp_path: Path) -> None:
    settings = load(tmp_path, FILE, STREAMQ_QUEUES__EMAIL__CONCURRENCY="20", STREAMQ_LEASE="20s")

    origins = {line.key: line.origin for line in shown(settings, ["email", "backup"])}

    file = str(tmp_path / "streamq.toml")
    assert origins["lease"] == "STREAMQ_LEASE"
    assert origins["grace"] == "default"
    assert origins["defaults.backoff"] == file
    assert origins["queues.backup.timeout"] == file
    assert origins["queues.email.concurrency"] == "STREAMQ_QUEUES__EMAIL__CONCURRENCY"
    assert "queues.email.timeout" not in origins
