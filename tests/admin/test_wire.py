"""Whatever is sent gets a 4xx with a sentence, costs no more than its limit, and is never a 500."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Final
from urllib.parse import quote

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admin.app import create_app
from admin.call import Call
from admin.errors import BadRequest, Refused
from admin.policy import Method, Role, Row
from admin.settings import Settings
from admin.wire import CLAMP, JSON_LEVELS_MAX, _levels, query_of
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from tests.admin.conftest import client_of
from tests.admin.office import Office
from tests.admin.tokens import ConfiguredTokens

API: Final = "/api/admin/jobs"
JSON: Final = {"Content-Type": "application/json"}
PATH: Final = f"{API}/retry-all/email"


async def _post(
    client: httpx2.AsyncClient, content: bytes, headers: dict[str, str] | None = None
) -> httpx2.Response:
    return await client.post(PATH, content=content, headers=JSON if headers is None else headers)


@pytest.mark.parametrize("content", [b"", b" \n", b"{}"])
async def test_no_body_is_an_empty_one(boss: httpx2.AsyncClient, content: bytes) -> None:
    answer = await _post(boss, content)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{", "Invalid JSON"),
        (b"nonsense", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b'{"dryRun": tru}', "Invalid JSON"),
        (b'{"cursor": "\\ud800"}', "Invalid JSON"),
        (b"[]", "Invalid body"),
        (b"null", "Invalid body"),
        (b"5", "Invalid body"),
        (b'"dryRun"', "Invalid body"),
        (b'{"dryRun": 1}', "Invalid body"),
        (b'{"dryRun": "true"}', "Invalid body"),
        (b'{"limit": 1.5}', "Invalid body"),
        (b'{"limit": 1e999}', "Invalid body"),
        (b'{"limit": ' + b"9" * 5_000 + b"}", "Invalid body"),
        (b'{"rate": NaN}', "Invalid JSON"),
        (b'{"limit": 1, "unknown": 1}', "Invalid body"),
        (b'{"cursor": ["x"]}', "Invalid body"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_with_a_sentence(
    boss: httpx2.AsyncClient, content: bytes, error: str
) -> None:
    answer = await _post(boss, content)

    assert answer.status_code == 400
    problem = answer.json()
    assert problem["error"] == error
    assert problem["message"].endswith(".")
    assert problem["requestId"] == answer.headers["x-request-id"]


async def test_a_slip_is_answered_with_what_was_meant(boss: httpx2.AsyncClient) -> None:
    answer = await _post(boss, b'{"dryrun": true}')

    assert answer.json()["message"] == (
        'No field "dryrun". Did you mean "dryRun"? There are: dryRun, limit, rate, cursor, state.'
    )


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_a_body_that_says_it_is_no_json_is_refused(
    boss: httpx2.AsyncClient, kind: str
) -> None:
    answer = await _post(boss, b'{"dryRun": true}', {"Content-Type": kind})

    assert answer.status_code == 415
    assert "application/json" in answer.json()["message"]


async def test_a_charset_behind_the_type_does_no_harm(boss: httpx2.AsyncClient) -> None:
    answer = await _post(boss, b'{"dryRun": true}', {"Content-Type": "Application/JSON; charset=x"})

    assert answer.status_code == 200


async def test_a_body_over_its_limit_is_refused_before_it_is_all_here(
    boss: httpx2.AsyncClient,
) -> None:
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 65_536
            yield b" " * 65_536

    answer = await boss.post(PATH, content=parts(), headers=JSON)

    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")])
async def test_a_body_that_is_too_deep_is_refused_soon(
    boss: httpx2.AsyncClient, office: Office, opening: bytes, closing: bytes
) -> None:
    began = time.process_time()

    answer = await _post(boss, opening * 100_000 + b"1" + closing * 100_000)

    assert answer.status_code == 400
    if closing:
        assert f"More than {JSON_LEVELS_MAX} levels" in answer.json()["message"]
    assert time.process_time() - began < 5


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_levels_are_counted_as_they_are(value: object) -> None:
    def depth(inner: object) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(depth, inner.values()), default=0)
        if isinstance(inner, list):
            return 1 + max(map(depth, inner), default=0)
        return 0

    assert _levels(json.dumps(value).encode()) == depth(value)


@pytest.mark.parametrize(("levels", "counted"), [(63, 63), (64, 64), (65, 65), (200, 65)])
def test_levels_are_counted_up_to_one_too_many(levels: int, counted: int) -> None:
    assert _levels(b"[" * levels + b"1" + b"]" * levels) == counted


# ---- queries


class _Query(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(extra={CLAMP: (1, 200)})] = 50
    reveal: bool = False
    text: str = ""


def _asked(query: bytes) -> Request:
    return Request({"type": "http", "query_string": query, "headers": []})


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        (b"", 50), (b"limit=7", 7), (b"limit=0", 1), (b"limit=-3", 1), (b"limit=999", 200),
        (b"limit=" + b"9" * 4_000, 200), (b"limit=1&limit=9", 9), (b"other=1", 50),
    ],
)  # fmt: skip
def test_a_number_of_a_query_is_taken_for_the_nearest_that_may_be(query: bytes, limit: int) -> None:
    assert query_of(_asked(query), _Query, strict=False).limit == limit


@pytest.mark.parametrize(
    "query",
    [
        b"limit=", b"limit=x", b"limit=1.5", b"limit=+5", b"limit=1e3", b"limit=%D9%A1",
        b"limit=" + b"9" * 4_001, b"reveal=maybe", b"&".join([b"a=1"] * 101),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(query: bytes) -> None:
    with pytest.raises(BadRequest):
        query_of(_asked(query), _Query, strict=False)


def test_a_change_takes_no_name_that_it_does_not_have() -> None:
    with pytest.raises(BadRequest) as error:
        query_of(_asked(b"limt=5"), _Query, strict=True)

    assert error.value.message == (
        'No field "limt". Did you mean "limit"? There are: limit, reveal, text.'
    )


@given(st.binary(max_size=200))
def test_no_query_is_an_error_of_ours(query: bytes) -> None:
    try:
        found = query_of(_asked(query), _Query, strict=True)
    except Refused as refused:
        assert refused.status == 400
    else:
        assert 1 <= found.limit <= 200


# ---- what nobody foresaw


async def _faulty(call: Call) -> list[int]:
    password = "hunter2"
    raise RuntimeError(f"no such table: {password}")


FAULTY: Final = Row(
    method=Method.GET, path="/faulty", handler=_faulty, needs=Role.VIEWER, does="fail"
)


async def test_an_error_that_nobody_foresaw_is_a_500_that_tells_nothing_but_its_id(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def around(inner: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            async def marked(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(message["status"])
                await send(message)

            await inner(scope, receive, marked)

        return wrapped

    admin = create_app(app, Settings(), access=ConfiguredTokens(), rows=[FAULTY], outside=[around])
    async with client_of(admin, Role.VIEWER) as viewer:
        answer = await viewer.get("/faulty")
        nowhere = await viewer.get("/nowhere")

    request_id = answer.headers["x-request-id"]
    assert answer.json() == {
        "error": "Internal server error",
        "message": f"It was logged; the request's id is {request_id}.",
        "code": "internal_server_error",
        "requestId": request_id,
    }
    assert f"request {request_id} failed: GET /faulty" in caplog.text
    assert nowhere.status_code == 404
    assert seen == [500, 404], "what stands around the application stands around its errors too"


# ---- anything at all

Ask = Callable[[str, str, bytes], int]


@pytest.fixture
def ask(server: EmbeddedServer, prefix: str) -> Iterator[Ask]:
    """Asks as an admin, from a test without a loop; the answer's status."""
    with asyncio.Runner() as runner:
        app = App("office", settings=EngineSettings(), redis=server.url, prefix=prefix)
        Office(app)
        client = client_of(create_app(app, Settings(), access=ConfiguredTokens()), Role.ADMIN)

        def asked(method: str, path: str, content: bytes) -> int:
            sent = client.request(method, quote(path), content=content, headers=JSON)
            return int(runner.run(sent).status_code)

        yield asked
        runner.run(client.aclose())
        runner.run(app.close())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.text(st.characters(codec="utf-8"), max_size=30),
    content=st.binary(max_size=60),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
)
def test_nothing_that_is_sent_is_an_error_of_ours(
    ask: Ask, path: str, content: bytes, method: str
) -> None:
    for root in (f"{API}/", f"{API}/job/email/", f"{API}/queue/", "/"):
        status = ask(method, root + path, content)

        assert status < 500, f"{method} {root + path!r} {content!r}"
