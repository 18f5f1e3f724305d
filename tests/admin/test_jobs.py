"""Pages of jobs, and what of a job is shown to whom."""

import base64
from typing import Final

import httpx2
import msgspec
import pytest

from admin.api.shown import ALONE_BYTES_MAX, LISTED_BYTES_MAX
from admin.app import create_app
from admin.policy import Entry, Role
from admin.settings import Settings
from streamq import App, JobState
from streamq.errors import StoreError
from streamq.job import JobId, NewJob
from streamq.redact import HIDDEN
from streamq.store import transitions
from streamq.store.packed import packed
from streamq.testing import run_until_idle
from tests.admin.conftest import client_of
from tests.admin.office import Mail, Office
from tests.admin.tokens import ConfiguredTokens, KeptAudit

API: Final = "/api/admin/jobs"
CANARY: Final = "canary-7f3a9c"


@pytest.mark.parametrize("state", ["waiting", "delayed", "failed"])
async def test_pages_hold_every_job_once_while_others_come(
    viewer: httpx2.AsyncClient, office: Office, state: str
) -> None:
    if state == "failed":
        await office.fail(25)
    for i in range(25 if state != "failed" else 0):
        delay = f"{i + 1}h" if state == "delayed" else None
        await office.send_email.add(Mail("x"), id=f"f{i}", delay=delay)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"state": state, "limit": "10", "cursor": cursor}
        page = (await viewer.get(f"{API}/queue/email/jobs", params=params)).json()
        assert list(page) == ["jobs", "cursor"]
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["cursor"]
        await office.send_email.add(Mail("x"), id=f"late-{len(seen)}")

    assert len(seen) == len(set(seen))
    assert {f"f{i}" for i in range(25)} <= set(seen)


async def test_a_page_may_begin_with_the_oldest(viewer: httpx2.AsyncClient, office: Office) -> None:
    for i in range(3):
        await office.send_email.add(Mail("x"), id=f"d{i}", delay=f"{i + 1}h")

    path = f"{API}/queue/email/jobs?state=delayed"
    newest = (await viewer.get(path)).json()["jobs"]
    oldest = (await viewer.get(path + "&order=oldest")).json()["jobs"]

    assert [job["id"] for job in newest] == ["d2", "d1", "d0"]
    assert [job["id"] for job in oldest] == ["d0", "d1", "d2"]


def _cursor(*parts: bytes) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode()


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize(
    "cursor",
    [
        "x", "=", "AAAA", "é", "0" * 5_000, _cursor(), _cursor(b"a", b"b"), _cursor(b"\xff", b"1"),
        _cursor(b"3", b"nothing"), _cursor(b"nan", b"x"), _cursor(b"a"), _cursor(b"9" * 40),
    ],
)  # fmt: skip
async def test_a_cursor_that_nobody_gave_out_is_a_bad_request(
    viewer: httpx2.AsyncClient, office: Office, state: JobState, cursor: str
) -> None:
    await office.in_every_state()

    answer = await viewer.get(
        f"{API}/queue/email/jobs", params={"state": state.value, "cursor": cursor}
    )

    # One may be right by chance; what it must not be is an error of ours.
    assert answer.status_code in (200, 400), answer.text


# ---- secrets


@pytest.fixture
async def secrets(office: Office, app: App) -> None:
    """A canary in the payload, in a marked field, in an error, a traceback, a log and a result."""

    @app.job("invoice", name="leak", attempts=1)
    async def leak(data: dict[str, object]) -> object:
        return {"apiKey": CANARY, "url": f"https://u:{CANARY}@host/"}

    await office.send_email.add(
        Mail("nobody", user_password=CANARY, pin=CANARY, subject=f"token={CANARY}"),
        id="failed",
        headers={"authorization": CANARY, "tenant": "sol"},
    )
    await leak.add(
        {"cpf": CANARY, "note": f"Bearer {CANARY}000", "deep": [{"card": CANARY}]}, id="a"
    )

    await run_until_idle(app)
    await office.send_email.add(Mail("x", user_password=CANARY), id="waiting")
    await app.queue("report").add("nobodys", {"pixKey": CANARY}, id="parked", force=True)
    await run_until_idle(app, "report")


PATHS: Final = [
    "/job/email/failed", "/job/invoice/a", "/job/email/waiting", "/job/report/parked", "/failed",
    "/queue/email", "/queue/invoice/logs", "/queue/email/logs", "/job/email/failed/logs",
    "/queue/email/jobs?state=failed", "/queue/report/jobs?state=parked",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_no_secret_of_a_payload_goes_out(
    viewer: httpx2.AsyncClient, boss: httpx2.AsyncClient, secrets: None, path: str
) -> None:
    for client in (viewer, boss):
        answer = await client.get(API + path)

        assert answer.status_code == 200
        assert CANARY not in answer.text
        assert HIDDEN in answer.text


async def test_a_marked_field_is_hidden_though_its_name_does_not_tell(
    viewer: httpx2.AsyncClient, secrets: None
) -> None:
    job = (await viewer.get(f"{API}/job/email/failed")).json()

    assert job["data"]["pin"] == HIDDEN
    assert job["headers"] == {"authorization": HIDDEN, "tenant": "sol"}


async def test_an_admin_may_see_a_payload_as_it_is_and_that_is_noted(
    boss: httpx2.AsyncClient, secrets: None, audit: KeptAudit
) -> None:
    answer = await boss.get(f"{API}/job/email/failed?reveal=true")

    job = answer.json()
    assert (job["data"]["userPassword"], job["data"]["pin"]) == (CANARY, CANARY)
    assert job["headers"]["authorization"] == CANARY
    (entry,) = audit.entries
    assert (entry.action, entry.queue, entry.job, entry.who) == (
        "job.reveal", "email", "failed", "the admin",
    )  # fmt: skip


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_nobody_else_may(
    viewer: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    secrets: None,
    audit: KeptAudit,
    role: Role,
) -> None:
    client = viewer if role is Role.VIEWER else operator

    answer = await client.get(f"{API}/job/email/failed?reveal=true")

    assert answer.status_code == 403
    assert CANARY not in answer.text
    assert audit.entries == []


async def test_what_cannot_be_noted_is_not_revealed(
    app: App, office: Office, secrets: None
) -> None:
    class Broken:
        async def note(self, entry: Entry) -> None:
            raise StoreError("no audit today")

    admin = create_app(app, Settings(), access=ConfiguredTokens(), audit=Broken())
    async with client_of(admin, Role.ADMIN) as boss:
        revealed = await boss.get(f"{API}/job/email/failed?reveal=true")
        paused = await boss.post(f"{API}/pause/email")

    assert revealed.status_code == 503
    assert CANARY not in revealed.text
    assert paused.status_code == 200, "a change that was made is not taken back"


async def test_a_large_payload_is_named_in_a_list_and_shown_alone(
    viewer: httpx2.AsyncClient, app: App, office: Office
) -> None:
    queue = app.queue("cleanup")
    text = "x" * LISTED_BYTES_MAX
    await queue.add("any", {"text": text}, id="large")
    await queue.add("any", {"text": "y" * ALONE_BYTES_MAX}, id="huge", payload_limit="2MiB")

    listed = (await viewer.get(f"{API}/queue/cleanup/jobs")).json()["jobs"]
    alone = (await viewer.get(f"{API}/job/cleanup/large")).json()
    huge = (await viewer.get(f"{API}/job/cleanup/huge")).json()

    assert [set(job["data"]) for job in listed] == [{"truncated", "bytes"}] * 2
    assert alone["data"] == {"text": text}
    assert huge["data"] == {"truncated": True, "bytes": ALONE_BYTES_MAX + 11}


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"\xd9\xffab",
        b"\x81\x93\x01\x02\x03\xc0",
        b"\xc7\x03\x05abc",
        b"\xcb\x7f\xf8" + b"\0" * 6,
    ],
)
async def test_whatever_stands_in_redis_is_shown_somehow(
    boss: httpx2.AsyncClient, app: App, office: Office, data: bytes
) -> None:
    odd = packed([NewJob(JobId("odd"), "x", data)], ["x"])
    await transitions.add(app.session().link("email"), "p", 1, odd)

    for path in ("/job/email/odd", "/job/email/odd?reveal=true", "/queue/email/jobs"):
        answer = await boss.get(API + path)
        assert answer.status_code == 200, answer.text
