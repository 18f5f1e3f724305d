"""The audit: one entry for each change, whatever came of it. Control 23 of security.md."""

import hashlib
import json
import logging

import pytest

from admin.access.audit import KEEP, VALUE_BYTES_MAX, AuditJournal
from admin.app import AdminApp, routed
from admin.policy import Entry, Role
from streamq import App
from streamq.port import Written
from tests.admin.access.people import (
    NAMES,
    PASSWORD,
    TOKENS,
    browser,
    client,
    guarded_admin,
    log_in,
    settings_of,
)
from tests.admin.office import Office
from tests.admin.rows import path_of

AUDIT = "/api/admin/jobs/audit"
JOBS = "/api/admin/jobs"

Change = dict[str, object]


async def _audit(admin: AdminApp, query: str = "") -> list[Change]:
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        answer = await boss.get(AUDIT + query)
    assert answer.status_code == 200, answer.text
    found = answer.json()["changes"]
    assert isinstance(found, list)
    return found


WHAT = (
    "who", "role", "via", "address", "action", "status", "queue", "job", "detail", "before", "after"
)  # fmt: skip


async def _written(admin: AdminApp) -> list[Written]:
    """What is kept, as it is kept."""
    journal = admin.site.audit
    assert isinstance(journal, AuditJournal)
    return await journal.page(1_000, None)


async def test_a_change_says_who_what_from_where_and_what_it_was_before(
    admin: AdminApp, office: Office
) -> None:
    async with client(admin, token=TOKENS[Role.OPERATOR].token, address="198.51.100.9") as script:
        answer = await script.post(f"{JOBS}/pause/email")

    (change,) = await _audit(admin)
    assert change["requestId"] == answer.headers["x-request-id"]
    assert {k: change[k] for k in WHAT} == {
        "who": "operator-script",
        "role": "operator",
        "via": "token",
        "address": "198.51.100.9",
        "action": "queue.pause",
        "status": 200,
        "queue": "email",
        "job": "",
        "detail": "",
        "before": {"paused": False},
        "after": {"paused": True},
    }
    assert len(str(change["beforeHash"])) == len(str(change["afterHash"])) == 64
    assert change["beforeHash"] != change["afterHash"]


async def test_every_action_there_is_leaves_one_entry(admin: AdminApp, office: Office) -> None:
    """Each row that changes something, called as somebody who may; what comes of it or not."""
    await office.in_every_state()
    rows = [bound.row for bound in routed(admin) if bound.row.action is not None]
    rows = [row for row in rows if isinstance(row.needs, Role)]
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        wanted = []
        for row in rows:
            answer = await boss.request(row.method, path_of(row))
            wanted.append((row.action, answer.status_code, answer.headers["x-request-id"]))

    found = await _audit(admin, "?limit=200")
    assert len(rows) > 15
    assert [(c["action"], c["status"], c["requestId"]) for c in reversed(found)] == wanted
    assert {c["who"] for c in found} == {"admin-script"}


async def test_logins_stand_there_with_where_they_came_from_and_no_password(
    admin: AdminApp,
) -> None:
    async with browser(admin, address="198.51.100.9") as ana:
        await log_in(ana, password="wrong-hunter2")
        await log_in(ana, name="hunter2", password="x")
        await log_in(ana)
        await ana.post("/api/admin/logout")

    out, inside, unknown, wrong = await _audit(admin)
    name = NAMES[Role.ADMIN]
    assert (wrong["action"], wrong["status"]) == ("session.login", 401)
    assert wrong["after"] == {"user": name, "address": "198.51.100.9"}
    assert unknown["after"] == {"user": "unknown", "address": "198.51.100.9"}
    assert (inside["who"], inside["status"], inside["address"]) == (name, 200, "198.51.100.9")
    assert (out["who"], out["action"]) == (name, "session.logout")
    everything = json.dumps([out, inside, unknown, wrong])
    assert "hunter2" not in everything, "not even what was typed where a name belongs"
    assert PASSWORD not in everything


async def test_it_shows_no_secret_of_a_payload_and_tells_two_of_them_apart(
    admin: AdminApp, office: Office
) -> None:
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        for i, pin in enumerate(("canary-1", "canary-2")):
            data = {"to": "ana@example.com", "userPassword": "canary-3", "pin": pin}
            await boss.post(
                f"{JOBS}/queue/email/jobs",
                json={"name": "send-email", "data": data, "id": f"j{i}"},
            )

    second, first = await _audit(admin)
    stored = b"".join(written.value for written in await _written(admin))
    assert b"ana@example.com" in stored and b"canary" not in stored
    assert first["after"] == second["after"]
    assert first["afterHash"] != second["afterHash"]
    assert (first["job"], second["job"]) == ("j0", "j1")


async def test_a_hash_cannot_be_found_by_trying_without_the_secret(
    app: App, office: Office
) -> None:
    journal = AuditJournal(app, "the secret")
    bare = AuditJournal(app, None)
    entry = _entry(after={"pin": "1234"})

    keyed = journal._without_secrets(entry).after_hash
    plain = bare._without_secrets(entry).after_hash

    tried = {hashlib.sha256(b'{"pin":"%d"}' % pin).hexdigest() for pin in range(1_000, 2_000)}
    assert keyed not in tried
    assert plain not in tried, "without a secret it is made of what is shown"
    assert AuditJournal(app, "another")._without_secrets(entry).after_hash != keyed


def _entry(**changed: object) -> Entry:
    said: dict[str, object] = {
        "who": "ana", "role": "admin", "via": "token", "address": "::1", "action": "job.change",
        "status": 200, "request_id": "r", "queue": "email", "job": "j",
    }  # fmt: skip
    return Entry(**(said | changed))  # type: ignore[arg-type]


async def test_what_is_large_is_kept_by_its_beginning_and_its_hash(
    app: App, office: Office
) -> None:
    journal = AuditJournal(app, "s")
    await journal.note(_entry(after={"x": ["y" * 100] * 1_000}, detail="z" * 10_000))

    (written,) = await journal.page(10, None)
    assert len(written.value) < VALUE_BYTES_MAX + 2_000
    assert b"102,0" in written.value or b"103,0" in written.value, "how long it was"


@pytest.mark.parametrize(
    "value", [float("nan"), b"\x00\xff", {1: {2: 3}}, {"a": object()}, [[]] * 3, 1 << 80]
)
async def test_any_value_can_be_noted(app: App, office: Office, value: object) -> None:
    journal = AuditJournal(app, "s")

    await journal.note(_entry(before=value, after={"in": value}))

    assert len(await journal.page(10, None)) == 1


async def test_it_is_read_page_by_page_and_by_who_what_and_where(
    admin: AdminApp, office: Office
) -> None:
    async with (
        client(admin, token=TOKENS[Role.OPERATOR].token) as olga,
        client(admin, token=TOKENS[Role.ADMIN].token) as boss,
    ):
        for i in range(7):
            who = olga if i % 2 else boss
            await who.post(f"{JOBS}/{'pause' if i % 3 else 'resume'}/{'email' if i else 'report'}")
        first = (await boss.get(f"{AUDIT}?limit=4")).json()
        rest = (await boss.get(f"{AUDIT}?limit=4&before={first['next']}")).json()

    everything = [*first["changes"], *rest["changes"]]
    assert [len(first["changes"]), len(rest["changes"]), rest["next"]] == [4, 3, None]
    assert len({change["id"] for change in everything}) == 7
    assert everything == await _audit(admin)
    assert len(await _audit(admin, "?who=operator-script")) == 3
    assert len(await _audit(admin, "?action=queue.resume")) == 3
    assert len(await _audit(admin, "?queue=report")) == 1
    assert len(await _audit(admin, "?queue=email&who=admin-script")) == 3
    assert len(await _audit(admin, "?who=operator-script&limit=2")) == 2


@pytest.mark.parametrize("before", ["x", "1", "1-1-1", "+", "-", "(1-1", "1-1 COUNT 1"])
async def test_what_is_no_place_in_it_is_a_bad_request(admin: AdminApp, before: str) -> None:
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        answer = await boss.get(AUDIT, params={"before": before})

    assert answer.status_code == 400
    assert answer.json()["error"] == "Invalid query"


async def test_only_an_admin_reads_it(admin: AdminApp) -> None:
    statuses = []
    for role in Role:
        async with client(admin, token=TOKENS[role].token) as somebody:
            statuses.append((await somebody.get(AUDIT)).status_code)

    assert statuses == [403, 403, 200]


async def test_nothing_that_the_api_has_takes_an_entry_away(
    admin: AdminApp, office: Office
) -> None:
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        await boss.post(f"{JOBS}/pause/email")
        before = await _written(admin)
        for bound in routed(admin):
            if not bound.row.path.endswith("/events"):
                await boss.request(bound.row.method, path_of(bound.row))
                await boss.request(bound.row.method, path_of(bound.row), json={"confirm": "email"})

    assert (await _written(admin))[-len(before) :] == before
    assert len(before) == 1
    assert KEEP == 500_000


async def test_it_stands_in_the_log_too_without_what_a_terminal_obeys(
    admin: AdminApp, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "streamq.audit"):
        async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
            await boss.delete(f"{JOBS}/em%1B%5B31mail/%0D%0Aforged")

    (line,) = [r.getMessage() for r in caplog.records if r.name == "streamq.audit"]
    assert line.startswith("admin-script job.remove ")
    assert line.isprintable()


async def test_without_redis_a_change_is_still_in_the_log(
    app: App, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be undone any more; somebody is to know of it."""
    from streamq.errors import RedisUnavailable

    admin = guarded_admin(app, settings_of())

    async def away(name: str, value: object, *, keep: int) -> str:
        raise RedisUnavailable("here", "test", "gone")

    journal = admin.site.audit
    assert isinstance(journal, AuditJournal)
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO, "streamq"):
        patch.setattr("streamq.port.Port.write", lambda self, *a, **k: away(*a, **k))
        async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
            answer = await boss.post(f"{JOBS}/pause/email")

    assert answer.status_code == 200
    assert "admin-script queue.pause email" in caplog.text
    assert "not in the audit" in caplog.text
