"""The way into the queue `notification`: what it takes, and what it refuses before it is sent."""

from collections.abc import Mapping

import msgspec
import pytest

from processors.imobibase import QueueName
from processors.notify import NotificationType
from processors.queues import (
    Notify,
    create_queue,
    queue_notification,
    queue_notification_sync,
)
from streamq import App
from streamq.errors import InvalidInput, InvalidPayload

HELLO: Mapping[str, object] = {"userId": 1, "title": "Olá", "message": "Oi", "type": "info"}


@pytest.mark.usefixtures("imobibase")
@pytest.mark.parametrize(
    "changed",
    [
        {"userId": []},
        {"userId": "../1"},
        {"title": ""},
        {"title": "x" * 201},
        {"title": "a\x00b"},
        {"message": "x" * 2_001},
        {"type": "danger"},
        {"actionUrl": "javascript:alert(1)"},
        {"actionUrl": "//evil.example"},
        {"actionUrl": "/\\evil.example"},
        {"data": {"x": "y" * 9_000}},
    ],
)
async def test_what_is_no_notification_is_refused(changed: Mapping[str, object]) -> None:
    with pytest.raises(InvalidPayload):
        await queue_notification({**HELLO, **changed})


@pytest.mark.usefixtures("imobibase")
async def test_it_is_queued_by_fields_or_as_a_payload() -> None:
    by_fields = await queue_notification(
        user_id=[1, "2"], title="Olá", message="Oi", type="info", job_id="hello-1"
    )
    payload = Notify(user_id=1, title="Olá", message="Oi", type=NotificationType.INFO)

    assert by_fields == "hello-1"
    job = await create_queue(QueueName.NOTIFICATION).get("hello-1")
    assert job is not None
    assert job.name == "send-notification"
    assert msgspec.msgpack.decode(job.data)["userId"] == [1, "2"]
    with pytest.raises(InvalidInput, match="not both"):
        await queue_notification(payload, title="x")


def test_the_way_in_has_a_blocking_twin(imobibase_sync: App) -> None:
    assert queue_notification_sync(user_id=1, title="Olá", message="Oi", type="info")
