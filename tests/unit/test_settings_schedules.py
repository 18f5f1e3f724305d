"""Schedules in a settings file: what is read, what is refused and how, and that it is shown."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from streamq.errors import InvalidSetting, UnknownSetting
from streamq.schedule import FIRE_ONCE, SKIP_MISSED, FireAll, Overlap
from streamq.settings import ScheduleSettings, load_settings, shown
from streamq.settings.reading import SCHEDULE_KEYS
from tests.support.settings_files import load

FILE: Final = """
[schedules.database-backup]
cron = "0 2 * * *"
queue = "backup"
job = "back-up"
data = { type = "full", retention = 30, only = ["a", { b = true }], "odd key" = 1.5 }
timezone = "America/Sao_Paulo"
misfire = { kind = "all", max = 10, within = "3d" }
overlap = "skip"
spread = "5m"
[schedules."tick.tock"]
every = "10s"
misfire = "skip"
"""


def test_every_field_of_a_schedule_can_be_set() -> None:
    assert {key.field for key in SCHEDULE_KEYS.values()} == set(ScheduleSettings.__struct_fields__)


def test_a_schedule_is_read_from_a_file(tmp_path: Path) -> None:
    found = load(tmp_path, FILE).schedules

    assert found["database-backup"] == ScheduleSettings(
        cron="0 2 * * *",
        queue="backup",
        job="back-up",
        data=msgspec.msgpack.encode(
            {"type": "full", "retention": 30, "only": ["a", {"b": True}], "odd key": 1.5}
        ),
        timezone="America/Sao_Paulo",
        misfire=FireAll(10, 3 * 86_400_000),
        overlap=Overlap.SKIP,
        spread_ms=300_000,  # type: ignore[arg-type]  # Ms
    )
    assert found["tick.tock"] == ScheduleSettings(every_ms=10_000, misfire=SKIP_MISSED)  # type: ignore[arg-type]


def test_a_pyproject_may_hold_schedules_and_a_stronger_file_changes_single_keys(
    tmp_path: Path,
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.streamq.schedules.nightly]\ncron = "0 2 * * *"\nmisfire = "once"\n'
    )
    (tmp_path / "other.toml").write_text('[schedules.nightly]\ncron = "0 3 * * *"\n')

    settings = load_settings(tmp_path / "other.toml", {}, start=tmp_path)

    assert settings.schedules["nightly"] == ScheduleSettings(cron="0 3 * * *", misfire=FIRE_ONCE)
    assert settings.origins.of("schedules.nightly.cron") == str(tmp_path / "other.toml")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            'cron = "0 9 * *"',
            "it has 4 fields, cron needs 5 (minute hour day month weekday).",
        ),
        ("cron = 5", 'give five fields as text, such as "0 2 * * *".'),
        ('cron = "0 0 30 2 *"', "it never fires: no month that it names has such a day."),
        (
            'timezone = "America/Sao_Paolo"',
            "America/Sao_Paolo is no time zone. Did you mean America/Sao_Paulo?",
        ),
        ('every = "10ms"', "give 1s to "),
        ("every = 10", 'give a duration with its unit, such as "30s".'),
        ('spread = "25h"', "give 0s to 1d."),
        ('queue = "no good"', 'give text such as "backup".'),
        ('misfire = "all"', 'give "skip", "once" or { kind = "all", max = 10, within = "1d" }.'),
        (
            'misfire = { kind = "all" }',
            'give all three: { kind = "all", max = 10, within = "1d" }.',
        ),
        (
            'misfire = { kind = "all", max = 5000, within = "1d" }',
            "give a whole number, 1 to 1000.",
        ),
        (
            'overlap = "queue-one"',
            "did you mean queue_one? give one of allow, skip, queue_one.",
        ),
        (
            "data = { odds = nan }",
            "): $.odds is",
        ),
    ],
)
def test_what_a_schedule_cannot_be_is_refused_with_key_file_and_way_out(
    tmp_path: Path, line: str, why: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        load(tmp_path, f"[schedules.nightly]\n{line}\n")

    assert str(refused.value).startswith(f"SQ311 Setting schedules.nightly.{line.split()[0]} = ")
    assert f"(from {tmp_path / 'streamq.toml'}): " in str(refused.value)
    assert why in str(refused.value)


def test_an_unknown_key_of_a_schedule_is_an_error_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting) as refused:
        load(tmp_path, '[schedules.nightly]\ncorn = "0 2 * * *"\n')

    assert 'No setting "schedules.nightly.corn"' in str(refused.value)
    assert 'Did you mean "cron"?' in str(refused.value)


def test_a_schedules_name_outside_its_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="a schedule's name must match"):
        load(tmp_path, '[schedules."a b"]\nevery = "10s"\n')


def test_a_schedule_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"schedules\.nightly .*it is a table of settings"):
        load(tmp_path, '[schedules]\nnightly = "0 2 * * *"\n')


def test_a_variable_cannot_hold_a_schedule_and_says_where_one_stands(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="a schedule stands in a file"):
        load(tmp_path, STREAMQ_SCHEDULES__NIGHTLY__CRON="0 2 * * *")


def test_what_is_shown_of_schedules_is_a_file_that_gives_the_same(tmp_path: Path) -> None:
    settings = load(tmp_path, FILE)
    lines = [line for line in shown(settings) if line.key.startswith("schedules.")]

    (tmp_path / "again.toml").write_text("\n".join(f"{line.key} = {line.value}" for line in lines))
    again = load_settings(tmp_path / "again.toml", {}, start=tmp_path / "again.toml")

    assert again.schedules == settings.schedules
    assert {line.origin for line in lines} == {str(tmp_path / "streamq.toml")}
