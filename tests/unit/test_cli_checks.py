"""What the doctor makes of a server, for servers that no machine here has."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from streamq.app import App
from streamq.cli.checks import Finding, Level, Patient
from streamq.cli.checks_server import TESTED, clock, eviction, memory, role, version
from streamq.cli.session import Session
from streamq.embedded import EmbeddedServer
from streamq.lookup import RedisPlace
from streamq.settings import Settings
from streamq.store import reads
from streamq.store.reads import ServerInfo


@pytest.fixture
async def patient(server: EmbeddedServer, prefix: str) -> AsyncIterator[Patient]:
    place = RedisPlace(server.url, "the test")
    async with App("tests", settings=Settings(prefix=prefix).with_redis(*place)) as app:
        yield Patient(Session(app, place), await reads.info(app.connection()), fix=False)


def _with(patient: Patient, **facts: object) -> Patient:
    info: ServerInfo = msgspec.structs.replace(patient.info, **facts)
    return patient._replace(info=info)


async def _only(findings: AsyncIterator[Finding]) -> Finding:
    (found,) = [finding async for finding in findings]
    return found


async def test_a_server_that_is_too_old_is_told_what_is_new_enough(patient: Patient) -> None:
    found = await _only(version(_with(patient, server="redis", version="5.0.14")))

    assert (found.level, found.said) == (
        Level.ERROR,
        "SQ111 Redis 5.0.14 is too old: streamq needs 6.2 or newer (XAUTOCLAIM, LMOVE)."
        " Valkey 7.2+ works too.",
    )


@pytest.mark.parametrize("tested", TESTED)
async def test_of_a_server_that_the_tests_run_on_that_is_said(
    tested: str, patient: Patient
) -> None:
    name, _, number = tested.partition(" ")
    found = await _only(version(_with(patient, server=name, version=number, mode="standalone")))

    known_hole = tested == "redis 6.2.14"
    assert found.level is (Level.WARNING if known_hole else Level.OK)
    assert found.said.startswith(f"{tested}, standalone")


async def test_another_server_is_expected_to_work_and_that_is_said(patient: Patient) -> None:
    found = await _only(version(_with(patient, server="redis", version="8.4.0")))

    assert found.level is Level.OK
    assert "expected to work; tested: redis 6.2.14, redis 7.0.15, valkey 9.1.2" in found.said


async def test_a_hole_that_is_known_is_told_with_the_version_that_closes_it(
    patient: Patient,
) -> None:
    found = await _only(version(_with(patient, server="redis", version="7.2.10")))

    assert (found.level, found.do) == (Level.WARNING, "update it to 7.2.11 or newer")


@pytest.mark.parametrize(
    ("used", "limit", "level"), [(10, 0, Level.OK), (80, 100, Level.OK), (81, 100, Level.WARNING)]
)
async def test_memory_is_told_before_it_is_full(
    used: int, limit: int, level: Level, patient: Patient
) -> None:
    found = await _only(memory(_with(patient, used_memory=used, maxmemory=limit)))

    assert found.level is level


async def test_keys_that_were_evicted_are_told_though_the_policy_is_right(
    patient: Patient,
) -> None:
    facts = {"maxmemory_policy": "noeviction", "evicted_keys": 3}
    found = await _only(eviction(_with(patient, **facts)))

    assert (found.level, found.do[:20]) == (Level.WARNING, "streamq doctor --fix")


async def test_a_replica_is_no_place_for_jobs(patient: Patient) -> None:
    found = await _only(role(_with(patient, role="slave")))

    assert found.level is Level.ERROR
    assert [finding async for finding in role(patient)] == []


async def test_the_clock_of_a_server_on_this_machine_is_this_machines(patient: Patient) -> None:
    assert (await _only(clock(patient))).level is Level.OK
