"""The comparison with peers is fair and true: same shape for all, exact counts, no figure else."""

import ast
import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from benchmarks import __main__
from benchmarks.figures import BenchmarkFault
from benchmarks.machine import ROOT, setting_of
from benchmarks.peers import install, measure
from benchmarks.peers.catalogue import ALL, LIMIT, PEERS, STREAMQ, Peer
from benchmarks.peers.install import InstallFault, lacking, lists_of, version_of
from benchmarks.peers.measure import PeersPace, Place, Worker, check_each_ran_once
from benchmarks.peers.run import serving
from benchmarks.peers.tally import FILE, SAMPLES_MAX, Tally
from benchmarks.peers.told import (
    TARGETS,
    PeerResult,
    PeersResult,
    PeersTarget,
    judged,
    peer_result,
    table,
    target_lines,
    write,
)
from benchmarks.server import WHEEL, Cores, Probe, choose

ADAPTERS = ROOT / "benchmarks" / "peers" / "adapters"
IN_PYTHON = [peer for peer in ALL if not peer.on_node]
TINY = PeersPace(rounds=1, drained=60, added_singly=5, timed=3, idle_s=0.1)


@pytest.fixture
def tally(tmp_path: Path) -> Tally:
    return Tally.empty(tmp_path / "tally")


# -- the catalogue and its adapters


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.key)
def test_each_says_what_it_promises_and_where_that_stands(peer: Peer) -> None:
    assert peer.settings and peer.safety and peer.source
    assert 0 < peer.share <= 1


@pytest.mark.parametrize("peer", IN_PYTHON, ids=lambda peer: peer.key)
def test_each_adapter_has_the_same_shape(peer: Peer) -> None:
    tree = ast.parse((ADAPTERS / f"{peer.key}.py").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}

    assert {"adder", "add", "add_many"} <= functions
    (bulk,) = [
        node.value.value
        for node in classes["_Adder"].body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    assert bulk is (peer.bulk is not None), "the catalogue and the adapter disagree on bulk adds"


@pytest.mark.parametrize("peer", IN_PYTHON, ids=lambda peer: peer.key)
def test_an_adapter_of_a_peer_needs_nothing_of_streamqs_environment(peer: Peer) -> None:
    if peer in (STREAMQ, LIMIT):
        return
    tree = ast.parse((ADAPTERS / f"{peer.key}.py").read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in imported if name.startswith(("streamq", "benchmarks"))}

    assert ours <= {"benchmarks.peers.adding", "benchmarks.peers.tally"}


@pytest.mark.parametrize("module", ["adding", "tally"])
def test_what_runs_in_a_peers_environment_loads_the_standard_library_alone(module: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c",
         f"import sys; sys.path.insert(0, {str(ROOT)!r}); import benchmarks.peers.{module}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert loaded.returncode == 0, loaded.stderr


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)
def test_each_peer_is_pinned_with_every_package_by_hash(peer: Peer) -> None:
    assert re.fullmatch(r"\d+(\.\d+)+", version_of(peer))
    text = lists_of(peer)[-1].read_text()
    if peer.on_node:
        assert '"integrity"' in text and '"resolved"' not in text
    else:
        pins = re.findall(r"(?m)^[\w.-]+==\S+ \\\n    --hash=sha256:", text)
        assert pins and len(pins) == len(re.findall(r"(?m)^[\w.-]+", text))


# -- refusals


def test_a_peer_that_is_not_installed_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "FOLDER", tmp_path)

    said = lacking(next(peer for peer in PEERS if peer.key == "arq"))

    assert said is not None and "make bench-peers" in said


def test_a_peer_installed_from_other_pins_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    peer = next(peer for peer in PEERS if peer.key == "arq")
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    ready = tmp_path / peer.key / ".ready"
    ready.parent.mkdir()
    ready.write_bytes(lists_of(peer)[0].read_bytes())
    assert lacking(peer) is None

    ready.write_bytes(b"arq==0.1\n")

    assert lacking(peer) is not None


def test_without_node_its_peer_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    peer = next(peer for peer in PEERS if peer.on_node)

    said = lacking(peer)

    assert said is not None and "needs Node 18" in said
    with pytest.raises(InstallFault, match="needs Node 18"):
        install.install(peer)


@pytest.mark.parametrize("said", ["v16.20.0", "v17.9.1"])
def test_an_old_node_is_refused(said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {said}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    fault = lacking(next(peer for peer in PEERS if peer.on_node))

    assert fault is not None and said in fault


def test_peers_are_a_kind_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        __main__.main(["peers", "--only", "nobody"])

    assert "nobody" in capsys.readouterr().err
    assert "peers" not in __main__.KINDS, "`make bench` would need every peer"


# -- counting


def test_every_call_is_counted_and_sampled(tally: Tally) -> None:
    tally.nothing("x")
    tally.since(0)

    assert tally.ran == 2
    assert tally.seconds > 0
    assert tally.samples_ms[0] == 0 and tally.samples_ms[1] > 0


def test_calls_beyond_the_last_sample_are_counted(tally: Tally) -> None:
    for _ in range(SAMPLES_MAX + 1):
        tally.since(0)

    assert tally.ran == SAMPLES_MAX + 1


async def test_threads_lose_no_count(tally: Tally) -> None:
    def many() -> None:
        for _ in range(2_000):
            tally.nothing("x")

    await asyncio.gather(*[asyncio.to_thread(many) for _ in range(4)])

    assert tally.ran == 8_000


def test_another_process_sees_the_count(tally: Tally, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "from benchmarks.peers.tally import tally; tally().nothing('x')"],
        cwd=ROOT, env={FILE: str(tmp_path / "tally")}, check=True,
    )  # fmt: skip

    assert tally.ran == 1


@pytest.mark.parametrize("ran", [2, 4])
def test_a_drain_that_ran_too_few_or_too_many_has_no_figure(ran: int, tally: Tally) -> None:
    for _ in range(ran):
        tally.nothing("x")

    with pytest.raises(BenchmarkFault, match=f"ran {ran} handlers for 3 jobs"):
        check_each_ran_once(tally, 3)


async def test_a_worker_that_ends_is_a_fault_with_its_last_words(
    tally: Tally, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    said.write_text("no such broker")
    process = await asyncio.create_subprocess_exec("false", start_new_session=True)
    worker = Worker(process, tally, said)
    await process.wait()

    with pytest.raises(BenchmarkFault, match="no such broker"):
        await worker.until_ran(1, 5.0)


# -- what is told


def _result(key: str, **figures: tuple[float, ...]) -> PeerResult:
    peer = next(peer for peer in ALL if peer.key == key)
    names = {name.replace("_", " "): values for name, values in figures.items()}
    rounds = [
        {name: values[number] for name, values in names.items()}
        for number in range(max((len(values) for values in names.values()), default=0))
    ]
    return peer_result(peer, "1.0", 10, rounds, None if figures else "needs Node")


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    results = [
        _result("streamq", drain=(100.0, 60.0, 90.0)),
        _result("bullmq", drain=(25.0, 10.0, 30.0)),
    ]

    (reached,) = judged(results)

    assert reached.ratio == 4.0 and reached.reached and reached.peer == "BullMQ (Node)"


def test_the_fastest_of_several_is_compared_with() -> None:
    target = PeersTarget(figure="drain", of=("arq", "huey"), least=10.0, called="the fastest")
    results = [_result("streamq", drain=(90.0,)), _result("arq", drain=(5.0,))]

    (before,) = judged(results, [target])
    (after,) = judged([*results, _result("huey", drain=(10.0,))], [target])

    assert before.reached and before.peer == "arq"
    assert not after.reached and after.peer == "Huey"


def test_what_was_not_measured_is_not_judged() -> None:
    assert judged([_result("streamq", drain=(1.0,)), _result("bullmq")]) == []
    assert judged([_result("bullmq", drain=(1.0,))]) == []


def test_a_peer_without_figures_is_named_with_the_reason() -> None:
    said = "\n".join(table([_result("streamq", drain=(2.0,)), _result("bullmq")]))

    assert "BullMQ (Node): needs Node" in said


def test_a_peer_without_a_bulk_add_says_so() -> None:
    said = "\n".join(table([_result("arq", drain=(2.0,))]))

    assert "no bulk add" in said


def test_targets_name_peers_and_figures_that_exist() -> None:
    keys = {peer.key for peer in ALL}
    for target in TARGETS:
        assert set(target.of) <= keys and target.figure in measure.UNITS
        assert (target.least is None) != (target.most is None)


def test_a_missed_target_is_told() -> None:
    results = [_result("streamq", drain=(1.0,)), _result("bullmq", drain=(1.0,))]

    assert any("missed" in line for line in target_lines(judged(results)))


def test_a_run_writes_what_reads_back_and_a_page_with_its_machine(
    place: Place, tmp_path: Path
) -> None:
    results = (_result("streamq", drain=(8.0,)), _result("bullmq", drain=(2.0,)))
    run = PeersResult(
        "peers", setting_of(place.server, Cores()), "TCP", TINY, results, tuple(judged(results))
    )

    write(run, tmp_path)

    assert msgspec.json.decode((tmp_path / "peers.json").read_bytes(), type=PeersResult) == run
    page = (tmp_path / "peers.md").read_text()
    assert run.setting.machine.cpu in page and "4.0 x" in page and "| 4.00 | reached |" in page


# -- the work itself, with what .venv/ has


@pytest.fixture
def place() -> Iterator[Place]:
    with serving(choose(WHEEL), Cores()) as server:
        probe = Probe(server.url)
        yield Place(server, probe)
        probe.close()


@pytest.mark.slow
@pytest.mark.one_server
@pytest.mark.parametrize("peer", [STREAMQ, LIMIT], ids=lambda peer: peer.key)
async def test_a_round_measures_everything(peer: Peer, place: Place) -> None:
    values = await measure.measured(place, peer, TINY, first=True)

    assert values.keys() == measure.UNITS.keys()
    assert all(values[name] > 0 for name in values if not name.startswith("idle commands"))


@pytest.mark.slow
@pytest.mark.one_server
async def test_a_job_that_nobody_runs_is_a_fault(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "DRAIN_LIMIT_S", 1.0)
    tally_of_less = Tally.ran

    # As if the handlers had counted one call less than there were.
    monkeypatch.setattr(
        Tally, "ran", property(lambda tally: max(0, tally_of_less.__get__(tally) - 1))
    )

    with pytest.raises(BenchmarkFault, match="ran 9 of 10 jobs"):
        await measure.drained(place, LIMIT, 10)
