"""The benchmark measures what it says: the work is done, counted and compared as promised."""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from benchmarks import __main__, latency, limit, memory, throughput
from benchmarks.figures import (
    BenchmarkFault,
    Better,
    Figure,
    Side,
    percentile,
    turned,
)
from benchmarks.goals import GOALS, Goal, Of, judged
from benchmarks.harness import QUICK, Ground, ground_on
from benchmarks.idle import listening
from benchmarks.orders import Open, Report, Work
from benchmarks.results import Result, table
from benchmarks.server import WHEEL, Cores, choose, running
from streamq.embedded import EmbeddedServer
from tests.support.waiting import soon

TINY = msgspec.structs.replace(
    QUICK, rounds=1, drained=120, added=200, added_singly=100, latencies=5, delayed=5,
    weighed=2_000, idle_s=0.5, settle_s=0.0, starts=1, browsed=200, requests=3, scrapes=1,
)  # fmt: skip


def _figure(streamq: tuple[float, ...], limit: tuple[float, ...] = ()) -> Figure:
    rounds = {Side.STREAMQ: streamq}
    if limit:
        rounds[Side.LIMIT] = limit
    return Figure("drain", "rate", "jobs/s", Better.HIGHER, rounds)


# -- figures and goals


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 50), (99, 99), (100, 100), (1, 1), (0.5, 1), (99.5, 100)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: float) -> None:
    samples = list(range(1, 101))
    random.Random(7).shuffle(samples)

    assert percentile(samples, percent) == value


def test_a_percentile_of_nothing_is_a_fault() -> None:
    with pytest.raises(BenchmarkFault):
        percentile([], 99)


def test_the_ratio_is_the_median_of_the_rounds_own() -> None:
    # The machine was half as fast in the second round, for both sides alike.
    figure = _figure((60, 30, 66), (100, 50, 100))

    assert figure.ratio == pytest.approx(0.6)
    assert figure.median(Side.STREAMQ) == 60


def test_a_figure_without_its_limit_has_no_ratio() -> None:
    assert _figure((60,)).ratio is None
    assert _figure((60,)).median(Side.LIMIT) is None


def test_each_round_is_begun_by_another_side() -> None:
    sides = list(Side)

    firsts = {turned(sides, number)[0] for number in range(len(sides))}

    assert firsts == set(sides)
    assert all(sorted(turned(sides, number)) == sorted(sides) for number in range(9))


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal(name="drain", quantity="rate", of=Of.RATIO, least=0.6), True),
        (Goal(name="drain", quantity="rate", of=Of.RATIO, least=0.61), False),
        (Goal(name="drain", quantity="rate", of=Of.VALUE, most=60), True),
        (Goal(name="drain", quantity="rate", of=Of.VALUE, most=59), False),
    ],
)
def test_a_goal_is_reached_at_its_bound(goal: Goal, reached: bool) -> None:
    (judgement,) = judged([_figure((60,), (100,))], [goal])

    assert judgement.reached is reached
    assert ("MISSED" in str(judgement)) is not reached


def test_what_was_not_measured_is_not_judged() -> None:
    assert judged([_figure((60,), (100,))]) == []


def test_the_table_shows_both_sides_and_their_ratio() -> None:
    lines = list(table([_figure((60_000,), (100_000,))]))

    assert lines[1].split() == ["drain", "rate", "60,000", "100,000", "0.60", "0%", "jobs/s"]


def test_a_program_that_is_no_server_is_refused(tmp_path: Path) -> None:
    (tmp_path / "server").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "server").chmod(0o700)

    for wanted in (str(tmp_path / "server"), "no-such-server"):
        with pytest.raises(BenchmarkFault, match="no server"):
            choose(wanted)


def test_a_drain_in_which_handlers_ran_twice_is_a_fault() -> None:
    throughput.check_each_ran_once(Side.STREAMQ, [Report(ran=60), Report(ran=40)], 100)

    with pytest.raises(BenchmarkFault, match="101 handlers for 100 jobs"):
        throughput.check_each_ran_once(Side.STREAMQ, [Report(ran=60), Report(ran=41)], 100)


# -- on a server, with worker processes


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    """Not the session's: the benchmark empties its server."""
    with running(choose(WHEEL), Cores()) as server:
        yield server


@pytest.fixture
async def ground(own_server: EmbeddedServer) -> AsyncIterator[Ground]:
    async with ground_on(own_server, Cores(), TINY) as ready:
        yield ready


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("side", list(Side))
async def test_a_drain_runs_every_job_once(ground: Ground, side: Side, processes: int) -> None:
    cost = await throughput.drained(ground, side, 10, processes, 120)

    assert cost.seconds > 0
    assert cost.client_us > 0
    assert cost.server_us > 0
    # What is settled is out of the line: nothing is left that could run again.
    line = throughput.line_of(side)
    assert ground.probe.length(line) == 0


@pytest.mark.parametrize("side", throughput.ADDING)
async def test_an_add_that_adds_too_few_is_a_fault(own_server: EmbeddedServer, side: Side) -> None:
    async def one_less(ground: Ground, side: Side, jobs: int) -> None:
        await throughput.bulk_add(ground, side, jobs - 1)

    async with ground_on(own_server, Cores(), TINY, processes=0) as ground:
        cost = await throughput.added(ground, side, throughput.bulk_add, 150)
        assert cost.seconds > 0

        with pytest.raises(BenchmarkFault, match="149 jobs, not 150"):
            await throughput.added(ground, side, one_less, 150)


@pytest.mark.slow
@pytest.mark.parametrize("side", latency.SIDES)
async def test_every_job_gives_one_sample_of_latency(ground: Ground, side: Side) -> None:
    samples = await latency.idle_latency(ground, side, 5, random.Random(1))

    assert len(samples) == 5
    assert min(samples) > 0


@pytest.mark.slow
@pytest.mark.parametrize("side", latency.SIDES)
async def test_no_delayed_job_runs_before_it_is_due(ground: Ground, side: Side) -> None:
    samples = await latency.lateness(ground, side, 5, random.Random(1))

    assert len(samples) == 5
    assert min(samples) >= 0


@pytest.mark.slow
async def test_a_completed_job_that_is_kept_weighs_something(ground: Ground) -> None:
    # Enough for the buffers of connections, which come and go, not to matter.
    waiting = await memory.waiting(ground, Side.STREAMQ, 20_000)
    bare = await memory.waiting(ground, Side.LIMIT, 20_000)
    kept = await memory.completed(ground, 20_000)

    assert waiting > bare > len(throughput.PAYLOAD)
    assert kept > waiting


async def test_what_scripts_call_is_not_what_clients_sent(own_server: EmbeddedServer) -> None:
    client = limit.connected(own_server.url)

    async with listening(own_server) as heard:
        await client.eval("redis.call('SET', KEYS[1], 1) return redis.call('GET', KEYS[1])", 1, "k")
        await client.get("k")
        await client.ping()
        await soon(lambda: heard["ping"] > 0, "the last command is heard")
    await client.aclose()

    assert heard["eval"] == heard["get"] == 1
    assert "set" not in heard


@pytest.mark.slow
async def test_a_worker_process_that_fails_is_a_fault(ground: Ground) -> None:
    impossible = Open(Side.STREAMQ, Work.NOTHING, slots=10, queue="not a queue's name")

    with pytest.raises(BenchmarkFault, match="ended with 1"):
        await ground.hands[0].order(impossible)


@pytest.mark.slow
def test_a_run_writes_what_it_measured_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["starting", "--quick", "--rounds", "1", "--server", WHEEL]

    code = __main__.main([*words, "--out", str(tmp_path)])

    assert code == 0
    assert "streamq health" in capsys.readouterr().out
    text = (tmp_path / "starting.json").read_bytes()
    result = msgspec.json.decode(text, type=Result)
    assert result.what == "starting"
    assert result.setting.server.name == "valkey"
    assert result.setting.machine.cores >= 1
    assert all(len(values) == 1 for f in result.figures for values in f.rounds.values())
    # Of the machine, not its folders.
    assert str(Path.cwd()).encode() not in text


@pytest.mark.slow
@pytest.mark.parametrize(("most_ms", "code"), [(60_000.0, 0), (0.0, 1)])
def test_a_check_ends_with_1_if_a_goal_is_missed(
    most_ms: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = Goal(name="streamq health", quantity="time", of=Of.VALUE, most=most_ms)
    monkeypatch.setattr(__main__, "judged", lambda figures: judged(figures, [goal]))
    words = ["starting", "--quick", "--rounds", "1", "--server", WHEEL, "--out", str(tmp_path)]

    assert __main__.main([*words, "--check"]) == code
    assert __main__.main(words) == 0


@pytest.mark.slow
async def test_every_goal_has_its_figure(ground: Ground) -> None:
    measured = [
        *await throughput.measure(ground),
        *await latency.measure(ground),
        *await memory.measure(ground),
        *await __main__.KINDS["idle"](ground),
        *await __main__.KINDS["admin"](ground),
    ]

    assert [judgement.goal for judgement in judged(measured)] == list(GOALS)
