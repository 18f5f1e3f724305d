"""The App: what is registered, what holds for a queue, and what a slip is told."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import assert_type

import pytest

from streamq import App, Context, Handle, Payload, exponential, keep
from streamq.backoff import Steps
from streamq.durations import Ms
from streamq.errors import (
    DuplicateHandler,
    InvalidDuration,
    InvalidName,
    InvalidSize,
    OutOfRange,
    UnfitPayloadType,
)
from streamq.settings import Rate, Settings, load_settings


class Welcome(Payload):
    to: str


@pytest.fixture
def app() -> App:
    return App("shop", settings=Settings())


# ---- registering


async def test_a_handle_is_typed_and_still_its_function(app: App) -> None:
    @app.job("email", name="welcome", attempts=3, timeout="30s")
    async def welcome(data: Welcome, job: Context) -> str:
        """Greets."""
        return data.to

    @app.job("email")
    def count(data: Mapping[str, int]) -> int:
        return sum(data.values())

    assert_type(welcome, Handle[Welcome, str])
    assert_type(count, Handle[Mapping[str, int], int])
    assert (welcome.name, count.name) == ("welcome", "count")
    assert (welcome.__name__, welcome.__doc__) == ("welcome", "Greets.")
    assert count({"a": 1, "b": 2}) == 3
    assert repr(welcome) == "Handle(email/welcome)"


def test_what_a_handler_says_is_what_the_worker_finds(app: App) -> None:
    @app.job(
        "email", attempts=7, backoff=["1s", "5s"], priority=2, timeout="1m", payload_limit="1MiB",
        keep=False,
    )  # fmt: skip
    async def welcome(data: Welcome) -> None: ...

    handler = app.handlers.find("email", "welcome")

    assert handler is welcome.handler
    assert handler.backoff == Steps((1_000, 5_000))
    assert (handler.attempts, handler.priority, handler.timeout_ms) == (7, 2, 60_000)
    assert (handler.payload_limit_bytes, handler.keep) == (1 << 20, False)
    assert not handler.takes_context


def test_two_handlers_for_one_name_are_refused_and_both_are_named(app: App) -> None:
    @app.job("email", name="welcome")
    async def first(data: Welcome) -> None: ...

    async def second(data: Welcome) -> None: ...

    with pytest.raises(DuplicateHandler, match=r"email/welcome: .*first and .*second"):
        app.job("email", name="welcome")(second)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"attempts": 0}, OutOfRange),
        ({"attempts": 1_001}, OutOfRange),
        ({"priority": 11}, OutOfRange),
        ({"timeout": "soon"}, InvalidDuration),
        ({"timeout": "0s"}, InvalidDuration),
        ({"timeout": 30}, TypeError),
        ({"payload_limit": 1_000}, InvalidSize),
        ({"payload_limit": "17MiB"}, OutOfRange),
    ],
)
def test_an_option_of_a_handler_out_of_its_range_is_refused(
    app: App, said: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        app.job("email", **said)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "{email}", "a:b", 5])
def test_a_queues_name_outside_its_set_is_refused(app: App, name: str) -> None:
    with pytest.raises(InvalidName):
        app.job(name)
    with pytest.raises(InvalidName):
        app.declare_queue(name)
    with pytest.raises(InvalidName):
        app.queue(name)


def test_a_handler_has_to_take_its_payload(app: App) -> None:
    async def nothing() -> None: ...

    with pytest.raises(TypeError, match="is to take the payload"):
        app.job("email")(nothing)  # type: ignore[arg-type]  # a type checker says it too


def test_a_payload_that_no_bytes_can_become_is_refused_when_it_is_registered(app: App) -> None:
    class Session:
        """Not data."""

    async def nothing(data: Session) -> None: ...

    nothing.__annotations__["data"] = Session
    with pytest.raises(UnfitPayloadType):
        app.job("email")(nothing)


def test_middleware_and_hooks_are_kept_in_their_order(app: App) -> None:
    @app.middleware
    async def outer(job: Context, call_next: Callable[[], Awaitable[object]]) -> object:
        return await call_next()

    @app.middleware
    async def inner(job: Context, call_next: Callable[[], Awaitable[object]]) -> object:
        return await call_next()

    @app.on_failed
    async def tell(job: Context, error: BaseException) -> None: ...

    assert app.middlewares == (outer, inner)
    assert app.failed_hooks == (tell,)


async def test_what_the_lifespan_gives_is_shared() -> None:
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[str]:
        yield f"pool of {app.name}"

    async with App("shop", lifespan=lifespan).living() as shared:
        assert shared == "pool of shop"
    async with App("shop").living() as nothing:
        assert nothing is None


# ---- queues and settings


def test_a_word_that_means_nothing_is_refused_and_not_passed_over(app: App) -> None:
    with pytest.raises(TypeError, match="concurency"):
        app.declare_queue("email", concurency=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="timezon"):
        app.schedule("tick", queue="email", job="x", every="1m", timezon="UTC")  # type: ignore[call-arg]
    assert app.queue_names() == [] and not app.schedules.declared


def test_an_app_knows_the_queues_of_its_handlers_and_those_declared(app: App) -> None:
    @app.job("email")
    async def welcome(data: Welcome) -> None: ...

    before = app.knows_queue("report")
    app.declare_queue("report")

    assert (before, app.knows_queue("report")) == (False, True)
    assert app.queue_names() == ["email", "report"]
    assert app.queue("email") is app.queue("email")


def test_settings_of_files_win_over_what_the_code_declares(tmp_path: Path) -> None:
    (tmp_path / "streamq.toml").write_text("[queues.email]\nconcurrency = 7\n")
    app = App("shop", settings=load_settings(start=tmp_path, environ={}))

    app.declare_queue(
        "email",
        concurrency=3,
        backoff=exponential("1s"),
        timeout=None,
        keep_completed=keep(count=5),
        keep_failed=keep(age="1d"),
        max_active=2,
        rate=(50, "1m"),
    )

    found = app.queue_settings("email")
    assert (found.concurrency, found.timeout_ms, found.max_active) == (7, None, 2)
    assert found.backoff == exponential("1s")
    assert (found.keep_completed.count, found.keep_failed.age_ms) == (5, 86_400_000)
    assert found.rate == Rate(50, Ms(60_000))
    assert app.queue_settings("other").concurrency == 10


@pytest.mark.parametrize(
    "said",
    [
        {"concurrency": 0},
        {"max_active": 0},
        {"rate": (0, "1s")},
        {"rate": (1, "2d")},
        {"priority": 0},
    ],
)
def test_a_declared_value_out_of_its_range_is_refused(app: App, said: dict[str, object]) -> None:
    with pytest.raises(OutOfRange):
        app.declare_queue("email", **said)  # type: ignore[arg-type]  # that is the point


def test_settings_are_read_when_they_are_first_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = App("shop")
    (tmp_path / "streamq.toml").write_text('prefix = "late"\n')

    assert app.settings.prefix == "late"


def test_the_command_line_knows_better_than_the_code_which_redis_is_meant() -> None:
    app = App("shop", settings=Settings(), redis="redis://in-code", prefix="code")
    files = (app.settings.redis, app.settings.prefix)

    app.configure(Settings().with_redis("redis://on-the-line", "--redis"))

    assert files == ("redis://in-code", "code")
    assert (app.settings.redis, app.settings.prefix) == ("redis://on-the-line", "code")


def test_a_client_of_another_library_is_refused_with_the_reason() -> None:
    with pytest.raises(TypeError, match="streamq makes its own connections"):
        App("shop", redis=object())  # type: ignore[arg-type]  # that is the point


def test_an_app_needs_a_loop_for_its_connections(app: App) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        app.connection()


async def test_each_loop_has_a_session_of_its_own(app: App) -> None:
    import asyncio

    async def other() -> object:
        return app.session()

    here = app.session()
    there = await asyncio.to_thread(lambda: asyncio.run(other()))

    assert here is app.session()
    assert there is not here


async def test_the_server_of_dev_is_found_if_nobody_named_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".streamq").mkdir()
    left = tmp_path / ".streamq" / "redis.url"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        left.write_text(url)
        found = App("shop", settings=Settings()).session().redis.address
    ended = App("shop", settings=Settings()).session().redis.address
    named = App("shop", settings=Settings(), redis="redis://named").session().redis.address

    assert (found.url, found.origin) == (url, str(left))
    assert (ended.url, ended.origin) == ("redis://localhost:6379", "the default")
    assert named.url == "redis://named"
