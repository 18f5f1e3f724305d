"""The ways in: what the helpers put into a queue, and what they refuse before anything is sent."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec
import pytest

from processors import queues
from processors.app import app
from processors.clients.attachments import Attachment
from processors.imobibase import CONCURRENCY, QueueName
from processors.queues import (
    SendEmail,
    create_queue,
    queue_email,
    queue_email_sync,
    queue_welcome_email,
    queue_welcome_email_sync,
)
from streamq import Job, JobState
from streamq.errors import (
    InvalidInput,
    InvalidName,
    InvalidPayload,
    NotSerialisable,
    OutOfRange,
    PayloadTooLarge,
    SyncInLoop,
)

# As the document that asked for this system gives them.
CONCURRENCY_ASKED_FOR = {
    "email": 10,
    "invoice": 5,
    "report": 3,
    "payment-reminder": 5,
    "backup": 1,
    "cleanup": 2,
    "notification": 10,
    "export": 3,
    "integration-sync": 2,
}
WELCOME: Mapping[str, object] = {
    "to": "user@example.com",
    "subject": "Welcome to ImobiBase",
    "template": "welcome",
    "data": {"userName": "John Doe", "loginUrl": "https://app.imobibase.com/login"},
}


async def added(job_id: str, queue: QueueName = QueueName.EMAIL) -> Job:
    job = await create_queue(queue).get(job_id)
    assert job is not None
    return job


def stored(job: Job) -> object:
    return msgspec.msgpack.decode(job.data)


def test_the_queues_are_the_nine_with_their_concurrency() -> None:
    assert {name.value: slots for name, slots in CONCURRENCY.items()} == CONCURRENCY_ASKED_FOR
    assert app.queue_names() == sorted(CONCURRENCY_ASKED_FOR)


@pytest.mark.usefixtures("imobibase")
async def test_the_queues_defaults_are_those_asked_for() -> None:
    for name, slots in CONCURRENCY_ASKED_FOR.items():
        settings = app.queue_settings(name)
        day_ms = 24 * 3600 * 1000
        assert settings.concurrency == slots
        assert settings.attempts == 3
        assert [settings.backoff.delay_ms(attempt, OSError()) for attempt in (1, 2)] == [
            5_000,
            10_000,
        ]
        assert (settings.keep_completed.age_ms, settings.keep_completed.count) == (day_ms, 1_000)
        assert (settings.keep_failed.age_ms, settings.keep_failed.count) == (7 * day_ms, None)
        assert settings.max_active == {"backup": 1, "integration-sync": 2}.get(name)


@pytest.mark.usefixtures("imobibase")
async def test_a_mail_is_queued_by_its_fields() -> None:
    job_id = await queue_email(
        to="user@example.com",
        subject="Welcome to ImobiBase",
        template="welcome",
        data={"userName": "John Doe", "loginUrl": "https://app.imobibase.com/login"},
    )

    job = await added(job_id)
    assert (job.name, job.state) == ("send-email", JobState.WAITING)
    assert stored(job) == WELCOME


@pytest.mark.usefixtures("imobibase")
async def test_a_mail_is_queued_as_a_payload_or_a_table() -> None:
    payload = SendEmail(
        to=["a@example.com", "b@example.com"],
        subject="Olá",
        template="welcome",
        data={"userName": "Ana"},
        from_="Sol <contato@sol.com>",
        attachments=[Attachment("a.txt", content="olá")],
    )

    by_type, by_table = await queue_email(payload), await queue_email(WELCOME)

    assert stored(await added(by_type)) == {
        "to": ["a@example.com", "b@example.com"],
        "subject": "Olá",
        "template": "welcome",
        "data": {"userName": "Ana"},
        "from": "Sol <contato@sol.com>",
        "attachments": [{"filename": "a.txt", "content": "olá"}],
    }
    assert stored(await added(by_table)) == WELCOME


@pytest.mark.usefixtures("imobibase")
async def test_from_and_attachments_go_by_their_names_in_python() -> None:
    job_id = await queue_email(
        to=["a@example.com"],
        subject="Olá",
        template="welcome",
        data={"userName": "Ana"},
        from_="contato@sol.com",
        attachments=[Attachment("a.txt", content="x"), {"filename": "b.txt", "content": "y"}],
    )

    job = stored(await added(job_id))
    assert isinstance(job, dict)
    assert job["from"] == "contato@sol.com"
    assert [one["filename"] for one in job["attachments"]] == ["a.txt", "b.txt"]


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize("delay", [60_000, 60_000.0, "1m", timedelta(minutes=1)])
async def test_a_number_for_delay_is_milliseconds(delay: float | str | timedelta) -> None:
    job_id = await queue_email(WELCOME, priority=1, delay=delay, job_id="signup-17")

    job = await added(job_id)
    assert job_id == "signup-17"
    assert job.state is JobState.DELAYED
    assert job.options.priority == 1
    assert job.due_at_ms is not None
    assert job.due_at_ms - job.added_at_ms == 60_000


@pytest.mark.usefixtures("imobibase")
async def test_a_mail_with_an_id_is_queued_once() -> None:
    first = await queue_email(WELCOME, job_id="signup-17")
    second = await queue_email({**WELCOME, "subject": "again"}, job_id="signup-17")

    assert first == second == "signup-17"
    assert stored(await added("signup-17")) == WELCOME


@pytest.mark.usefixtures("imobibase")
async def test_a_welcome_needs_an_address_and_a_name() -> None:
    job_id = await queue_welcome_email("ana@example.com", "Ana")

    assert stored(await added(job_id)) == {
        "to": "ana@example.com",
        "subject": queues.WELCOME_SUBJECT,
        "template": "welcome",
        "data": {"userName": "Ana"},
    }


@pytest.mark.usefixtures("imobibase_sync")
def test_each_way_in_has_a_blocking_twin() -> None:
    queue = create_queue(QueueName.EMAIL)

    first = queue_email_sync(WELCOME, priority=5)
    second = queue_email_sync(
        to="a@example.com", subject="x", template="welcome", data={"userName": "Ana"}
    )
    third = queue_welcome_email_sync("ana@example.com", "Ana", delay=1_000)

    assert len({first, second, third}) == 3
    assert queue.name == "email"


@pytest.mark.usefixtures("imobibase")
async def test_a_blocking_twin_is_refused_in_a_loop_by_its_own_name() -> None:
    with pytest.raises(SyncInLoop, match=r"queue_email_sync\(\).*use await queue_email\(\)"):
        queue_email_sync(WELCOME)
    with pytest.raises(SyncInLoop, match=r"use await queue_welcome_email\(\)"):
        queue_welcome_email_sync("ana@example.com", "Ana")


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"to": "a@x.br, b@x.br"}, "to: one address per field"),
        ({"to": ["a@x.br", '"a" <x@y.br>, z@w.br']}, r"to\[1\]: one address per field"),
        ({"to": []}, "to: 0 recipients, from 1 to 100"),
        ({"to": ["a@x.br"] * 101}, "to: 101 recipients"),
        ({"to": "a@x.br\r\nBcc: b@x.br"}, r"to: U\+000D at character 6"),
        ({"from": "a@x.br\nBcc: b@x.br"}, r"from: U\+000A"),
        ({"subject": "a\x00b"}, r"subject: U\+0000 at character 1"),
        ({"subject": "=?utf-8?q?x=0ABcc:_b=40x.br?="}, "subject: holds '=\\?'"),
        ({"subject": ""}, "subject: is blank"),
        ({"subject": "x" * 201}, "subject: 201 characters, at most 200"),
        ({"template": "wellcome"}, 'template: .*Did you mean "welcome"'),
        ({"data": {}}, 'data: template "welcome": Object missing required field userName'),
        ({"data": {"userName": "Ana", "x": 1}}, 'data: template "welcome" has no variable "x"'),
        ({"data": {"userName": ""}}, "data.userName: is blank"),
        ({"data": {"userName": "Ana", "loginUrl": "javascript:x"}}, "data.loginUrl: is no link"),
        ({"to": 7}, r"Expected str \| array, got int - at \$\.to"),
        ({"sbject": "x"}, r'unknown field "sbject" \(did you mean subject\?\)'),
        ({"attachments": [{"filename": "a.txt"}]}, r"attachments\[0\]: give either content"),
        ({"attachments": [{"filename": "../a", "content": ""}]}, r"attachments\[0\]\.filename"),
        ({"attachments": [{"filename": "a", "path": "s3://b/k"}]}, "is no object"),
        ({"attachments": [{"filename": "a.txt", "content": ""}] * 11}, "11 files, at most 10"),
    ],
)
async def test_what_cannot_become_a_mail_is_refused_before_it_is_sent(
    changed: Mapping[str, object], says: str
) -> None:
    with pytest.raises(InvalidPayload, match=says) as caught:
        await queue_email({**WELCOME, **changed})

    assert str(caught.value).startswith("SQ203 email/send-email: ")
    assert (await create_queue(QueueName.EMAIL).counts()).waiting == 0


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), True, 1e15])
async def test_a_delay_that_cannot_be_is_refused(delay: float) -> None:
    with pytest.raises(OutOfRange, match="delay="):
        await queue_email(WELCOME, delay=delay)


@pytest.mark.usefixtures("imobibase")
async def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(OutOfRange, match="priority=11"):
        await queue_email(WELCOME, priority=11)
    with pytest.raises(InvalidName, match='id "a b"'):
        await queue_email(WELCOME, job_id="a b")
    with pytest.raises(NotSerialisable, match=r"\$\.data\.userName is NaN"):
        await queue_email({**WELCOME, "data": {"userName": float("nan")}})
    with pytest.raises(PayloadTooLarge):
        content = {"filename": "a.txt", "content": "x" * 300_000}
        await queue_email({**WELCOME, "attachments": [content]})
    with pytest.raises(InvalidInput, match="not both"):
        await queue_email({**WELCOME}, subject="x")  # type: ignore[call-overload]


@pytest.mark.usefixtures("imobibase")
async def test_a_queue_without_handlers_takes_jobs_all_the_same() -> None:
    queue = create_queue(QueueName.EXPORT)

    job = await queue.add(
        "user-data-export",
        {"userId": 123, "type": "all", "format": "zip", "email": "user@example.com"},
    )

    assert (await added(job.id, QueueName.EXPORT)).state is JobState.WAITING
