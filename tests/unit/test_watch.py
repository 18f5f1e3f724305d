"""Whether a child lives, is stopped or hangs: from ticks, CPU time and the system's own word."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from streamq.run import watch
from streamq.run.watch import LOOK_GAP_MAX_S, Sight, Signs, Watch, signs_of
from tests.support.waiting import until

Read = Callable[[int], Signs | None]

SLEEPS = [sys.executable, "-c", "input()"]
SPINS = [sys.executable, "-c", "while True: pass"]


def _signs(*, cpu_s: float = 0.0, stopped: bool = False) -> Signs:
    return Signs(stopped=stopped, cpu_s=cpu_s, rss_bytes=1)


def _looks(seen: Watch, seconds: int, *, ticks: int = 1, cpu_s: float = 0.0) -> Sight:
    """A look a second, for so long, at a child that shows the same each time."""
    sight = Sight.LIVES
    for at in range(seconds + 1):
        sight = seen.look(float(at), ticks, _signs(cpu_s=cpu_s), hung_s=60.0)
    return sight


def test_one_that_neither_ticks_nor_uses_cpu_time_hangs_after_the_limit() -> None:
    assert _looks(Watch(), 59) is Sight.LIVES
    assert _looks(Watch(), 61) is Sight.HUNG


def test_one_that_ticks_lives() -> None:
    seen = Watch()

    sights = {seen.look(float(at), at, _signs(), hung_s=60.0) for at in range(500)}

    assert sights == {Sight.LIVES}


def test_one_that_only_uses_cpu_time_lives() -> None:
    seen = Watch()

    sights = {seen.look(float(at), 1, _signs(cpu_s=at), hung_s=60.0) for at in range(500)}

    assert sights == {Sight.LIVES}


def test_the_little_that_threads_of_a_hung_process_use_is_no_progress() -> None:
    seen = Watch()

    last = Sight.LIVES
    for at in range(70):
        last = seen.look(float(at), 1, _signs(cpu_s=at * 0.001), hung_s=60.0)

    assert last is Sight.HUNG


def test_one_that_is_stopped_does_not_hang_however_long() -> None:
    seen = Watch()

    sights = {seen.look(float(at), 1, _signs(stopped=True), hung_s=60.0) for at in range(500)}

    assert sights == {Sight.STOPPED}
    # Nor is the time held against it afterwards.
    assert seen.look(500.0, 1, _signs(), hung_s=60.0) is Sight.LIVES


def test_a_pause_of_the_watcher_is_not_held_against_the_child() -> None:
    seen = Watch()
    seen.look(0.0, 1, _signs(), hung_s=60.0)

    assert seen.look(3_600.0, 1, _signs(), hung_s=60.0) is Sight.LIVES
    assert seen.still_s == LOOK_GAP_MAX_S


def test_without_signs_only_ticks_count() -> None:
    seen = Watch()

    sights = [seen.look(float(at), 1, None, hung_s=60.0) for at in range(62)]

    assert sights[-1] is Sight.HUNG


@pytest.mark.slow
@pytest.mark.parametrize("read", [watch._from_proc, watch._from_psutil])
def test_the_system_tells_of_a_process(read: Read) -> None:
    if read is watch._from_proc and sys.platform != "linux":
        pytest.skip("/proc is Linux's")
    with subprocess.Popen(SPINS) as child:
        try:
            until(lambda: _rss_bytes(read, child.pid) > 1 << 20, "it has begun")
            assert not _stopped(read, child.pid)
            before_s = _cpu_s(read, child.pid)
            until(lambda: _cpu_s(read, child.pid) > before_s, "its CPU time grows")

            os.kill(child.pid, signal.SIGSTOP)
            until(lambda: _stopped(read, child.pid), "it is stopped")
            os.kill(child.pid, signal.SIGCONT)
            until(lambda: not _stopped(read, child.pid), "it goes on")
        finally:
            child.kill()
        until(lambda: read(child.pid) is None, "it has ended, though nobody took its status")


@pytest.mark.slow
def test_an_idle_process_uses_no_cpu_time() -> None:
    with subprocess.Popen(SLEEPS, stdin=subprocess.PIPE) as child:
        signs = signs_of(child.pid)
        child.kill()

    assert signs is not None
    assert signs.cpu_s < 5


def _cpu_s(read: Read, pid: int) -> float:
    signs = read(pid)
    return 0.0 if signs is None else signs.cpu_s


def _rss_bytes(read: Read, pid: int) -> int:
    signs = read(pid)
    return 0 if signs is None else signs.rss_bytes


def _stopped(read: Read, pid: int) -> bool:
    signs = read(pid)
    return signs is not None and signs.stopped
