"""Limits for the whole fleet are set, seen, and given back to the code."""

from typing import Final

import httpx2
import pytest

from streamq import App
from tests.admin.tokens import KeptAudit

API: Final = "/api/admin/jobs"
NONE: Final = {"maxActive": None, "rate": None, "ownMaxActive": False, "ownRate": False}


async def test_limits_are_set_and_reset(
    operator: httpx2.AsyncClient, app: App, audit: KeptAudit
) -> None:
    path = f"{API}/limits/email"
    before = await operator.get(path)
    rate = {"count": 50, "perMs": 1_000}
    both = await operator.put(path, json={"maxActive": 4, "rate": rate})
    one = await operator.put(path, json={"rate": None})
    seen = await operator.get(path)
    detail = await operator.get(f"{API}/queue/email")
    reset = await operator.put(path, json={"reset": True})

    assert before.json() == NONE
    assert both.json() == {
        "maxActive": 4, "rate": rate, "ownMaxActive": True, "ownRate": True,
    }  # fmt: skip
    assert one.json() == {"maxActive": 4, "rate": None, "ownMaxActive": True, "ownRate": True}
    assert seen.json() == detail.json()["limits"] == one.json()
    assert reset.json() == NONE
    assert [entry.action for entry in audit.entries] == ["queue.limit"] * 3
    state = await app.queue("email").state()
    assert (state.max_active, state.rate) == (None, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"reset": True, "maxActive": 1}, 422),
        ({"maxActive": 0}, 400),
        ({"maxActive": 10_000_000}, 400),
        ({"maxActive": "4"}, 400),
        ({"rate": {"count": 1}}, 400),
        ({"rate": {"count": 1, "perMs": 0}}, 400),
        ({"rate": 5}, 400),
        ({"max_active": 5}, 400),
    ],
)
async def test_limits_that_cannot_be_are_refused(
    operator: httpx2.AsyncClient, app: App, body: object, status: int
) -> None:
    answer = await operator.put(f"{API}/limits/email", json=body)

    assert answer.status_code == status
    assert (await app.queue("email").state()).version == 0


async def test_a_pause_is_the_same_the_second_time(
    operator: httpx2.AsyncClient, app: App, audit: KeptAudit
) -> None:
    said = [
        (await operator.post(f"{API}/{verb}/email")).json()["message"]
        for verb in ("pause", "pause", "resume", "resume")
    ]

    assert said == [
        "Queue email is paused", "Queue email is already paused", "Queue email is at work",
        "Queue email is already at work",
    ]  # fmt: skip
    assert (await app.queue("email").state()).paused is False
    assert [entry.after for entry in audit.entries] == [
        {"paused": True}, {"paused": True}, {"paused": False}, {"paused": False},
    ]  # fmt: skip
