"""Notifications: rows, the live channel, and pushes to browsers by way of a real push service."""

import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest
import redis.asyncio

from processors.database import Database
from processors.imobibase import QueueName
from processors.queues import create_queue, queue_notification
from streamq import App, Job, JobState
from streamq.embedded import EmbeddedServer
from streamq.testing import MovableClock, run_until_idle
from tests.processors.browsers import Browser
from tests.processors.doubles import Service, path_of, serving
from tests.processors.marks import progress_marks
from tests.processors.web_server import Asked, answer

KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"  # the example of RFC 8291
ANA, BO, CAIO = "1", "2", "3"
EVERYBODY = [ANA, BO, CAIO]
QUEUE = QueueName.NOTIFICATION


class PushService:
    """Takes every message unless told otherwise; `answers` are by path, and used up in order."""

    def __init__(self) -> None:
        self.answers: dict[str, deque[bytes]] = {}

    async def respond(self, asked: Asked) -> bytes:
        left = self.answers.get(path_of(asked))
        return left.popleft() if left else answer(201)


@pytest.fixture
def service() -> PushService:
    return PushService()


@pytest.fixture
async def push(service: PushService, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with serving(service.respond) as running:
        monkeypatch.setenv("HTTP_PRIVATE_HOSTS", running.origin)
        monkeypatch.setenv("VAPID_PRIVATE_KEY", KEY)
        yield running


@pytest.fixture
async def users(database: Database, imobibase: App) -> Database:
    """Three users of two agencies."""
    async with database.transaction() as work:
        for tenant in ("sol", "nova"):
            await work.run(
                "INSERT INTO tenants (id, name, slug) VALUES (%(id)s, 'Agency', %(slug)s)",
                id=tenant,
                slug=tenant,
            )
        for user, tenant in ((ANA, "sol"), (BO, "sol"), (CAIO, "nova")):
            await work.run(
                "INSERT INTO users (id, tenant_id, name, email, password)"
                " VALUES (%(id)s, %(tenant)s, 'User', %(email)s, 'hash')",
                id=user,
                tenant=tenant,
                email=f"user{user}@example.com",
            )
    return database


@pytest.fixture
def clock(imobibase: App) -> MovableClock:
    clock = MovableClock(imobibase)
    imobibase.clock = clock
    return clock


async def subscribed(database: Database, user: str, endpoint: str) -> Browser:
    browser = Browser()
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO push_subscriptions (id, tenant_id, user_id, endpoint, p256dh, auth)"
            " SELECT gen_random_uuid(), tenant_id, id, %(endpoint)s, %(p256dh)s, %(auth)s"
            " FROM users WHERE id = %(user)s",
            user=user,
            endpoint=endpoint,
            p256dh=browser.p256dh,
            auth=browser.auth,
        )
    return browser


async def queued(user_id: object = ANA, **changed: object) -> str:
    payload = {
        "userId": user_id,
        "title": "Pagamento recebido",
        "message": "Ana Souza pagou R$ 1.550,00.",
        "type": "success",
        "actionUrl": "/payments/12",
    }
    return await queue_notification({**payload, **changed})


async def work(imobibase: App) -> None:
    await run_until_idle(imobibase, QUEUE.value)


async def seen(job_id: str) -> Job:
    job = await create_queue(QUEUE).get(job_id)
    assert job is not None
    return job


async def result(job_id: str) -> Mapping[str, object]:
    job = await seen(job_id)
    assert job.state is JobState.COMPLETED, job.run
    assert job.run.result is not None
    found: Mapping[str, object] = msgspec.msgpack.decode(job.run.result)
    return found


async def count(database: Database, table: str) -> int | None:
    async with database.transaction() as rows:
        if table == "notifications":
            return await rows.value(int, "SELECT count(*) FROM notifications")
        return await rows.value(int, "SELECT count(*) FROM push_subscriptions")


class Row(msgspec.Struct, frozen=True):
    tenant_id: str
    user_id: str
    title: str
    type: str
    action_url: str | None
    data: dict[str, object] | None
    read: bool
    told: bool


async def rows_of(database: Database) -> list[Row]:
    async with database.transaction() as rows:
        return await rows.every(
            Row,
            "SELECT tenant_id, user_id, title, type, action_url, data, read,"
            " told_at IS NOT NULL AS told FROM notifications ORDER BY user_id",
        )


async def test_each_user_finds_a_row_of_their_own_agency(
    imobibase: App, users: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = progress_marks(monkeypatch)
    job_id = await queued([ANA, 2, "3", "3", "nobody"], data={"paymentId": 12})

    await work(imobibase)

    rows = await rows_of(users)
    assert [(row.tenant_id, row.user_id) for row in rows] == [
        ("sol", ANA),
        ("sol", BO),
        ("nova", CAIO),
    ]
    assert {(row.title, row.type, row.action_url, row.read, row.told) for row in rows} == {
        ("Pagamento recebido", "success", "/payments/12", False, True)
    }
    assert rows[0].data == {"paymentId": 12}
    assert await result(job_id) == {"users": 3, "missing": 1, "live": 0, "pushes": {}}
    assert marks == [10, 30, 70, 90, 100]


async def test_open_browsers_hear_it_at_once(
    imobibase: App, users: Database, server: EmbeddedServer
) -> None:
    client = redis.asyncio.Redis.from_url(server.url)
    async with client, client.pubsub() as listener:
        await listener.subscribe(f"notifications:{ANA}")
        await listener.get_message(timeout=5)

        job_id = await queued()
        await work(imobibase)

        heard = await listener.get_message(ignore_subscribe_messages=True, timeout=5)
    assert heard is not None
    message = json.loads(heard["data"])
    assert message.pop("id") and message.pop("createdAt")
    assert message == {
        "title": "Pagamento recebido",
        "message": "Ana Souza pagou R$ 1.550,00.",
        "type": "success",
        "actionUrl": "/payments/12",
        "data": None,
    }
    assert (await result(job_id))["live"] == 1


async def test_a_push_arrives_and_only_that_browser_can_read_it(
    imobibase: App, users: Database, push: Service
) -> None:
    browser = await subscribed(users, ANA, f"{push.url}/ana")
    job_id = await queued()

    await work(imobibase)

    [asked] = push.asked
    message = json.loads(browser.read(asked.body))
    assert message["id"] == message["tag"]
    assert message["title"] == "Pagamento recebido"
    assert asked.line == "POST /ana HTTP/1.1"
    assert (asked.headers["content-encoding"], asked.headers["ttl"]) == ("aes128gcm", "86400")
    assert asked.headers["authorization"].startswith("vapid t=")
    assert (await result(job_id))["pushes"] == {"taken": 1}


async def test_the_longest_notification_fits_into_a_push(
    imobibase: App, users: Database, push: Service
) -> None:
    browser = await subscribed(users, ANA, f"{push.url}/ana")
    await queued(title="\x1f" * 200, message="😀" * 2_000, actionUrl="/" + "a" * 2_000)

    await work(imobibase)

    message = json.loads(browser.read(push.asked[0].body))
    assert message["message"] == "😀" * 300
    assert "actionUrl" not in message


async def test_subscriptions_that_are_gone_are_removed_and_the_others_served(
    imobibase: App, users: Database, push: Service, service: PushService
) -> None:
    for path in ("gone", "unknown", "well"):
        await subscribed(users, ANA, f"{push.url}/{path}")
    service.answers = {"/gone": deque([answer(410)]), "/unknown": deque([answer(404)])}
    job_id = await queued()

    await work(imobibase)

    assert (await result(job_id))["pushes"] == {"gone": 2, "taken": 1}
    assert await count(users, "push_subscriptions") == 1


async def test_what_may_pass_is_tried_again_for_its_user_only(
    imobibase: App, users: Database, push: Service, service: PushService, clock: MovableClock
) -> None:
    await subscribed(users, ANA, f"{push.url}/ana")
    await subscribed(users, BO, f"{push.url}/bo")
    service.answers = {"/bo": deque([answer(429, retry_after="30"), answer(503)])}
    job_id = await queued([ANA, BO])

    await work(imobibase)
    await clock.advance(seconds=29)
    await work(imobibase)
    assert len(push.asked) == 2
    assert [row.told for row in await rows_of(users)] == [True, False]

    await clock.advance(seconds=1)
    await work(imobibase)
    await clock.advance(seconds=10)
    await work(imobibase)

    assert (await result(job_id))["pushes"] == {"taken": 1}
    assert Counter(map(path_of, push.asked)) == {"/ana": 1, "/bo": 3}
    assert all(row.told for row in await rows_of(users))
    assert await count(users, "notifications") == 2


async def test_a_browser_that_is_never_reached_fails_no_job_and_is_removed_after_a_week(
    imobibase: App, users: Database, push: Service, service: PushService, clock: MovableClock
) -> None:
    await subscribed(users, ANA, f"{push.url}/ana")
    service.answers = {"/ana": deque([answer(503)] * 6)}

    async def through_retries() -> str:
        job_id = await queued()
        for wait_s in (0, 5, 10):
            await clock.advance(seconds=wait_s)
            await work(imobibase)
        return job_id

    assert (await result(await through_retries()))["pushes"] == {"later": 1}
    assert await count(users, "push_subscriptions") == 1
    async with users.transaction() as rows:
        await rows.run("UPDATE push_subscriptions SET failed_at = failed_at - interval '8 days'")

    await through_retries()

    assert await count(users, "push_subscriptions") == 0


@pytest.mark.parametrize(
    "endpoint",
    ["https://127.0.0.1/x", "http://example.com/x", "https://169.254.169.254/latest", "file:///x"],
)
async def test_an_endpoint_that_leads_inside_is_not_called(
    imobibase: App, users: Database, push: Service, endpoint: str
) -> None:
    await subscribed(users, ANA, endpoint)
    job_id = await queued()

    await work(imobibase)

    assert (await result(job_id))["pushes"] == {"refused": 1}


async def test_if_nobody_takes_our_key_the_job_fails_and_no_subscription_is_blamed(
    imobibase: App, users: Database, push: Service, service: PushService
) -> None:
    await subscribed(users, ANA, f"{push.url}/ana")
    service.answers = {"/ana": deque([answer(403, b"wrong key")])}
    job_id = await queued()

    await work(imobibase)

    job = await seen(job_id)
    assert (job.state, job.run.attempts) == (JobState.FAILED, 1)
    assert "VAPID_PRIVATE_KEY must be the one" in job.run.reason
    async with users.transaction() as rows:
        assert await rows.value(bool, "SELECT failed_at IS NULL FROM push_subscriptions") is True
    assert [row.told for row in await rows_of(users)] == [True]


async def test_an_agency_may_switch_off_the_pushes_of_an_event(
    imobibase: App, users: Database, push: Service
) -> None:
    await subscribed(users, ANA, f"{push.url}/ana")
    await subscribed(users, CAIO, f"{push.url}/caio")
    async with users.transaction() as rows:
        await rows.run(
            "INSERT INTO notification_preferences (tenant_id, event_type, app_push_enabled)"
            " VALUES ('sol', 'payment_received', false)"
        )
    await queued(EVERYBODY, data={"eventType": "payment_received"})

    await work(imobibase)

    assert [path_of(one) for one in push.asked] == ["/caio"]
    assert await count(users, "notifications") == 3


async def test_a_user_is_woken_at_most_sixty_times_an_hour(
    imobibase: App, users: Database, push: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.notifications.telling.PUSHES_HOUR_MAX", 2)
    await subscribed(users, ANA, f"{push.url}/ana")
    for _ in range(4):
        await queued()

    await work(imobibase)

    assert len(push.asked) == 2
    assert await count(users, "notifications") == 4


async def test_killed_after_its_rows_and_run_again_it_is_one_row_and_everybody_is_told(
    imobibase: App,
    users: Database,
    push: Service,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def killed(*_: object) -> int:
        raise ConnectionError("killed here")

    await subscribed(users, ANA, f"{push.url}/ana")
    job_id = await queued(EVERYBODY)
    with monkeypatch.context() as broken:
        broken.setattr("processors.notify._publish", killed)
        await work(imobibase)
    assert [row.told for row in await rows_of(users)] == [False] * 3

    await clock.advance(seconds=5)
    await work(imobibase)

    assert (await result(job_id))["users"] == 3
    assert [row.told for row in await rows_of(users)] == [True] * 3
    assert len(push.asked) == 1


async def test_nobody_there_fails_the_job(imobibase: App, users: Database) -> None:
    job_id = await queued(["nobody", "either"])

    await work(imobibase)

    job = await seen(job_id)
    assert job.state is JobState.FAILED
    assert "none of the 2 users is there (first: nobody)" in job.run.reason


async def test_many_users_are_one_insert(imobibase: App, users: Database) -> None:
    async with users.transaction() as rows:
        await rows.run(
            "INSERT INTO users (id, tenant_id, name, email, password)"
            " SELECT 'u' || n, 'sol', 'User', 'u' || n || '@example.com', 'x'"
            " FROM generate_series(1, 1000) n"
        )
    job_id = await queued([f"u{number}" for number in range(1, 1_001)])

    await work(imobibase)

    assert (await result(job_id))["users"] == 1_000
    async with users.transaction() as rows:
        # Rows of one statement have its transaction's time.
        moments = "SELECT count(DISTINCT created_at) FROM notifications"
        assert await rows.value(int, moments) == 1
