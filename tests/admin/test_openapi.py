"""The API does what its OpenAPI says, whatever is sent: schemathesis asks it by the thousand."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from admin.access.routes import ACCESS_ROUTES
from admin.api.openapi import document_of, operation_id
from admin.app import AdminApp
from admin.policy import Role
from admin.routes import ROUTES
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from tests.admin.access.people import TOKENS, client, guarded_admin, settings_of
from tests.admin.office import Office
from tests.admin.running import Running, running

ALL_ROUTES: Final = (*ACCESS_ROUTES, *ROUTES)
SEED: Final = 20261124
STREAMS: Final = "/events"  # has no end; tests/admin/test_events.py reads it

OFF: Final = {"enabled": False}
# `DELETE /:queueName/:jobId` is the seed's, and matches the paths of other rows: their `Allow` has
# a DELETE too, for a queue may be called `pause`.
CHECKS: Final = {"unsupported_method": OFF, "allow_header_conformance": OFF}
# 422: a payload that its handler's type refuses, a bulk action that was not confirmed.
ACCEPTED: Final = ["2xx", "401", "403", "404", "409", "422"]


@pytest.fixture
def office_admin(server: EmbeddedServer, prefix: str) -> AdminApp:
    """With a job in every state."""
    app = App("office", settings=EngineSettings(), redis=server.url, prefix=prefix)
    office = Office(app)

    async def prepare() -> None:
        await office.in_every_state()
        await app.close()

    asyncio.run(prepare())
    return guarded_admin(app, settings_of(cron_secret="x" * 24))


@pytest.fixture
def served(office_admin: AdminApp) -> Iterator[Running]:
    with running(office_admin) as server:
        yield server


def _document(admin: AdminApp) -> dict[str, object]:
    document = document_of(admin.site.rows, admin.site.app.queue_names())
    found: dict[str, object] = msgspec.json.decode(msgspec.json.encode(document))
    return found


def _failures(
    admin: AdminApp, url: str, phase: str, checks: Mapping[str, object], examples: int = 1
) -> tuple[int, list[str]]:
    """How many requests one phase made, and what was wrong with the answers."""
    phases = {name: {"enabled": name == phase} for name in ("coverage", "fuzzing", "stateful")}
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": url,
            "headers": {"Authorization": f"Bearer {TOKENS[Role.ADMIN].token}"},
            "workers": 1,
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
            "phases": {**phases, "examples": OFF},
            "checks": {**CHECKS, **checks},
        }
    )
    schema = schemathesis.openapi.from_dict(_document(admin), config=config)
    requests, failures = 0, []
    for event in engine.from_schema(schema.exclude(path_regex=STREAMS)).execute():
        if isinstance(event, events.NonFatalError):
            failures.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            failures.append(str(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            requests += len(event.recorder.interactions)
            failures += _failed_checks(event)
    return requests, failures


def _failed_checks(event: events.ScenarioFinished) -> list[str]:
    return [
        f"{case.value.as_curl_command()}\n  {check.name}: {check.failure_info.failure}"
        for label, case in event.recorder.cases.items()
        for check in event.recorder.checks.get(label, ())
        if check.failure_info is not None
    ]


@pytest.mark.slow
def test_each_boundary_of_each_parameter_is_answered_as_it_says(
    office_admin: AdminApp, served: Running
) -> None:
    accepts = {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}

    requests, failures = _failures(office_admin, served.url, "coverage", accepts)

    assert not failures, "\n".join(failures)
    assert requests > 500


@pytest.mark.slow
def test_random_requests_never_find_an_answer_that_it_does_not_name(
    office_admin: AdminApp, served: Running
) -> None:
    # A cursor that nobody gave out, or 5.0 for an integer, fits the schema and gets a 400.
    loosely = {"positive_data_acceptance": OFF}

    requests, failures = _failures(office_admin, served.url, "fuzzing", loosely, examples=10)

    assert not failures, "\n".join(failures)
    assert requests > 200


def test_every_route_is_described_with_who_may_call_it(office_admin: AdminApp) -> None:
    document = _document(office_admin)

    paths = document["paths"]
    assert isinstance(paths, dict)
    described = {
        (method.upper(), path): operation
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert described.keys() == {(row.method.value, row.path) for row in ALL_ROUTES}
    ids = [operation["operationId"] for operation in described.values()]
    assert len(set(ids)) == len(ids)
    for row in ALL_ROUTES:
        operation = described[row.method.value, row.path]
        assert operation["x-needs"] == row.needs
        assert operation["operationId"] == operation_id(row)
        assert operation["summary"]


async def test_it_is_served_with_the_queues_there_are(app: App, office: Office) -> None:
    admin = guarded_admin(app)
    async with client(admin, token=TOKENS[Role.VIEWER].token) as viewer:
        response = await viewer.get("/api/admin/jobs/openapi.json")

    document = response.json()
    assert response.status_code == 200
    assert document["openapi"].startswith("3.1")
    path = document["paths"]["/api/admin/jobs/pause/{queueName}"]["post"]
    assert "email" in path["parameters"][0]["schema"]["enum"]
