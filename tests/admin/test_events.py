"""Events come as they happen, in bounded messages; the slow, the many and the late are seen to."""

import time
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest

from admin import hub as hub_module
from admin.api import events as events_api
from admin.app import create_app
from admin.errors import Refused
from admin.hub import BEHIND_MAX, IDS_SHOWN_MAX, Change, Hub, Listener, Message
from admin.policy import Role
from admin.settings import Settings
from streamq import App, NewJob
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from tests.admin.office import Mail, Office
from tests.admin.running import Running, running
from tests.admin.streams import PATH, Stream, stream
from tests.admin.tokens import ConfiguredTokens
from tests.support.waiting import soon, until

EACH: Final = 3


@pytest.fixture
def office(server: EmbeddedServer, prefix: str) -> Office:
    return Office(App("office", settings=EngineSettings(), redis=server.url, prefix=prefix))


@pytest.fixture
def served(office: Office) -> Iterator[Running]:
    settings = Settings(streams_each=EACH, streams_max=EACH + 1)
    with running(create_app(office.app, settings, access=ConfiguredTokens())) as server:
        yield server


def _ready(events: Stream, word: str = "ready") -> None:
    first = events.next()
    assert first is not None
    assert first.name == word


def test_a_stream_tells_which_jobs_reached_which_state(served: Running, office: Office) -> None:
    with stream(served.port) as events:
        _ready(events)
        office.send_email.add_sync(Mail("x"), id="a")

        change = next(events.changes())

    assert events.head.startswith("HTTP/1.1 200")
    assert "content-type: text/event-stream" in events.head
    assert "cache-control: no-store" in events.head
    assert change == {"queue": "email", "state": "waiting", "count": 1, "ids": ["a"]}


def test_a_message_is_small_however_many_jobs_it_is_about(served: Running, office: Office) -> None:
    with stream(served.port) as events:
        _ready(events)
        jobs = [NewJob("send-email", {"to": "x"}, id=f"j{i}") for i in range(3_000)]
        office.app.queue("email").add_many_sync(jobs)
        changes: list[dict[str, object]] = []
        for change in events.changes():
            changes.append(change)
            if sum(int(str(each["count"])) for each in changes) == 3_000:
                break

    assert len(changes) < 100
    assert all(len(str(each["ids"])) <= IDS_SHOWN_MAX * 10 for each in changes)


def test_a_stream_may_be_of_one_queue(served: Running, office: Office) -> None:
    with stream(served.port, query="?queue=report") as events:
        _ready(events)
        office.send_email.add_sync(Mail("x"), id="a")
        office.hold.add_sync({}, id="b")

        change = next(events.changes())

    assert (change["queue"], change["ids"]) == ("report", ["b"])


def test_who_comes_back_gets_what_happened_meanwhile(served: Running, office: Office) -> None:
    with stream(served.port) as events:
        _ready(events)
        office.send_email.add_sync(Mail("x"), id="a")
        seen = events.next()
        assert seen is not None
    office.send_email.add_sync(Mail("x"), id="b")

    with stream(served.port, last_id=seen.id) as events:
        _ready(events)
        change = next(events.changes())

    assert change["ids"] == ["b"]


@pytest.mark.parametrize("last_id", ["no-such-id", "x" * 500, "\u00e9"])
def test_who_comes_back_too_late_is_told_to_look_anew(served: Running, last_id: str) -> None:
    with stream(served.port, last_id=last_id) as events:
        _ready(events, "missed")


def test_a_queue_that_nobody_declared_is_followed_too(
    served: Running, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "QUEUES_AGAIN_S", 0.1)
    with stream(served.port) as events:
        _ready(events)
        office.app.queue("other").add_sync("x", {}, create=True)
        until(lambda: "other" in _followed(served), "it is followed")
        office.app.queue("other").add_sync("x", {}, create=True, id="b")

        change = next(events.changes())

    assert (change["queue"], change["ids"]) == ("other", ["b"])


def _followed(served: Running) -> set[str]:
    return set(served.admin.site.hub.followed)


def test_a_quiet_stream_says_that_it_is_there(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "COMMENT_EVERY_S", 0.1)
    with stream(served.port) as events:
        _ready(events)

        comment = events.next()

    assert comment is not None
    assert comment.name == ""


def test_a_stream_ends_after_its_time_and_its_reader_comes_back(
    served: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "COMMENT_EVERY_S", 0.1)
    monkeypatch.setattr(events_api, "STREAM_LIMIT_S", 0.2)
    with stream(served.port) as events:
        _ready(events)

        rest = [event.name for event in iter(events.next, None) if event]

    assert set(rest) == {""}


def test_streams_end_when_the_server_stops(served: Running) -> None:
    with stream(served.port) as events:
        _ready(events)
        began = time.monotonic()
        served.server.should_exit = True

        assert list(events.changes()) == []

    assert time.monotonic() - began < 5


def test_so_many_streams_and_no_more(served: Running) -> None:
    with (
        stream(served.port) as one,
        stream(served.port) as two,
        stream(served.port) as three,
        stream(served.port) as refused,
        stream(served.port, role=Role.ADMIN) as other,
        stream(served.port, role=Role.ADMIN) as too_many,
    ):
        heads = [each.head for each in (one, two, three, refused, other, too_many)]

    assert [head.split()[1] for head in heads] == ["200", "200", "200", "429", "200", "429"]
    assert "retry-after" in heads[3]
    until(lambda: not served.admin.site.hub.listeners, "all have left")
    with stream(served.port) as again:
        assert "200" in again.head


def test_a_stranger_hears_nothing(served: Running) -> None:
    with stream(served.port, role=None) as events:
        assert events.head.startswith("HTTP/1.1 401")


def test_the_head_of_a_stream_has_an_end(served: Running) -> None:
    answer = httpx2.head(
        f"{served.url}{PATH}", headers={"Authorization": "Bearer viewer-" + "0" * 24}
    )

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    until(lambda: served.admin.site.hub.listeners == 0, "nobody listens")


def test_a_queue_that_is_none_is_said_before_the_stream(served: Running) -> None:
    answer = httpx2.get(
        f"{served.url}{PATH}?queue=emial",
        headers={"Authorization": "Bearer viewer-" + "0" * 24},
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid queue name")


@pytest.mark.slow
def test_a_reader_that_takes_nothing_is_dropped_and_nobody_else_notices(
    served: Running, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "SEND_LIMIT_S", 0.3)
    monkeypatch.setattr(hub_module, "GATHER_S", 0.01)
    # Some 40 kB a message: the buffers of two sockets hold megabytes.
    monkeypatch.setattr(hub_module, "IDS_SHOWN_MAX", 1_000)
    hub = served.admin.site.hub
    with stream(served.port) as stalled:
        _ready(stalled)
        with stream(served.port) as events:
            _ready(events)
            reading = events.changes()

            def dropped() -> bool:
                jobs = [NewJob("send-email", {"to": "x"}) for _ in range(1_000)]
                office.app.queue("email").add_many_sync(jobs)
                next(reading)
                return hub.listeners == 1

            until(dropped, "the one that does not read was dropped", limit_s=30)
            office.send_email.add_sync(Mail("x"), id="after")
            assert next(reading)["ids"] == ["after"]


# ---- one listener


def _message(number: int) -> Message:
    return Message(f"r-{number}", 0, (Change("email", "waiting", 1, ["a"]),))


async def test_who_is_too_far_behind_gets_no_more_and_an_end() -> None:
    listener = Listener("x")

    taken = [listener.offer(_message(i)) for i in range(BEHIND_MAX + 1)]

    assert taken == [True] * BEHIND_MAX + [False]
    assert await listener.next(1) is None, "what it did not read is forgotten"


async def test_a_hub_that_was_closed_takes_nobody(office: Office) -> None:
    hub = Hub(office.app, each_max=1, all_max=1)
    await hub.close()

    with pytest.raises(Refused) as error:
        await hub.open("x")

    assert error.value.status == 503
    await office.app.close()


async def test_nobody_is_followed_once_nobody_listens(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "LINGER_S", 0.2)
    hub = Hub(office.app, each_max=1, all_max=1)
    listener = await hub.open("x")
    assert "email" in hub.followed

    hub.leave(listener)

    await soon(lambda: not hub.followed, "it follows no more")
    again = await hub.open("x")
    assert "email" in hub.followed
    hub.leave(again)
    await hub.close()
    await office.app.close()
