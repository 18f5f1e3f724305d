"""What an end says about the jobs that ran there."""

import signal
from pathlib import Path

import pytest

from streamq.run.death import Death, MemoryKills, judge_death, own_memory_events


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"])
def test_a_signal_that_a_program_brings_on_itself_is_evidence(name: str) -> None:
    death = judge_death(-signal.Signals[name], said_bye=False)

    assert death == Death(evidence=True, cause=name)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_from_outside_is_none(name: str) -> None:
    death = judge_death(-signal.Signals[name], said_bye=False)

    assert death == Death(evidence=False, cause=name)


@pytest.mark.parametrize("code", [0, 1, 70])
def test_an_exit_without_a_goodbye_is_evidence(code: int) -> None:
    assert judge_death(code, said_bye=False) == Death(evidence=True, cause=f"exit code {code}")


@pytest.mark.parametrize("code", [0, 6])
def test_an_exit_after_a_goodbye_is_none(code: int) -> None:
    assert not judge_death(code, said_bye=True).evidence


def test_a_kill_of_what_hung_is_evidence() -> None:
    assert judge_death(-signal.SIGKILL, said_bye=False, hung=True).evidence


def test_a_kill_for_memory_is_evidence() -> None:
    death = judge_death(-signal.SIGKILL, said_bye=False, out_of_memory=True)

    assert death.evidence
    assert "out of memory" in death.cause


def test_a_signal_without_a_name_has_its_number() -> None:
    assert judge_death(-100, said_bye=False).cause == "signal 100"


def test_kills_for_memory_are_seen_when_their_number_grows(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\nhigh 3\noom 1\noom_kill 1\n")
    kills = MemoryKills(events)

    assert not kills.grew()
    events.write_text("low 0\nhigh 3\noom 2\noom_kill 2\n")
    assert kills.grew()
    assert not kills.grew()


def test_where_the_system_does_not_tell_no_kill_is_known(tmp_path: Path) -> None:
    assert not MemoryKills(None).grew()
    assert not MemoryKills(tmp_path / "absent").grew()
    assert own_memory_events(tmp_path / "absent") is None
    (tmp_path / "v1").write_text("12:memory:/some/where\n")
    assert own_memory_events(tmp_path / "v1") is None
