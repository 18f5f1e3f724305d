"""Each kind of process does its whole work with the rights that `streamq acl` prints, and no more.

The server keeps a log of what it refused. It is to stay empty but for what redis-py asks on the
side: rights that are missing in the middle of a script would leave a torn write.
"""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from admin.access.tokens import Tokens, made
from admin.app import routed
from admin.policy import Role as AdminRole
from admin.policy import Row
from streamq import App, JobState, NewJob
from streamq.embedded import EmbeddedServer
from streamq.metrics import Exporter
from streamq.scale import scale_of
from streamq.settings import Settings
from streamq.store import rights
from streamq.store.address import Address
from streamq.store.client import Redis
from streamq.store.keys import keys_of
from streamq.store.rights import Role, rules_of
from streamq.store.scripts import link, script
from streamq.testing.idle import working
from tests.admin.access.people import browser, client, guarded_admin, log_in
from tests.admin.office import Mail, Office
from tests.admin.rows import path_of
from tests.support import servers
from tests.support.command_line import CommandLine
from tests.support.waiting import soon

pytestmark = pytest.mark.slow

SIDE_WORDS: Final = {"client|setinfo", "client"}
"""Of redis-py, which goes on without them."""
FORBIDDEN: Final[tuple[tuple[str, ...], ...]] = (
    ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("CONFIG", "GET", "*"),
    ("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"), ("ACL", "LIST"), ("SHUTDOWN",), ("MONITOR",),
    ("RENAME", "{p}:queues", "x"), ("GET", "session:other"), ("HGETALL", "other:{q}:jobs"),
    ("XGROUP", "DESTROY", "{p}:{q}:wait:5", "workers"), ("PUBLISH", "other:control", "x"),
)  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Iterator[EmbeddedServer]:
    """A server of its own: what is refused there was refused to these tests."""
    with servers.running(tcp=True) as started:
        yield started


def _ask(raw: redis.Redis, *words: str) -> None:
    raw.execute_command(*words)  # type: ignore[no-untyped-call]


class Users:
    """The four users of a prefix, each with a URL of its own."""

    def __init__(self, server: EmbeddedServer, prefix: str) -> None:
        self.prefix = prefix
        self._where = urlsplit(server.url).netloc.rpartition("@")[2]
        self._raw = redis.Redis.from_url(server.url)
        self.passwords: Mapping[Role, str] = {role: secrets.token_hex(8) for role in Role}
        for role, password in self.passwords.items():
            rules = rules_of(role, prefix, major=server.binary.release[0])
            _ask(self._raw, "ACL", "SETUSER", f"{prefix}-{role}", *rules, f">{password}")
        _ask(self._raw, "ACL", "LOG", "RESET")

    def url(self, role: Role) -> str:
        return f"redis://{self.prefix}-{role}:{self.passwords[role]}@{self._where}/0"

    @property
    def refused(self) -> set[tuple[str, str, str]]:
        """Who was refused what, and why; not what redis-py asks on the side."""
        found = set()
        for entry in self._raw.acl_log(count=100):
            what = str(entry["object"])
            if what not in SIDE_WORDS:
                found.add((str(entry["username"]), str(entry["reason"]), what))
        return found

    def close(self) -> None:
        for role in Role:
            _ask(self._raw, "ACL", "DELUSER", f"{self.prefix}-{role}")
        self._raw.close()


@pytest.fixture
def users(guarded: EmbeddedServer) -> Iterator[Users]:
    made_users = Users(guarded, f"t{secrets.token_hex(4)}")
    yield made_users
    made_users.close()


def _office(users: Users, role: Role) -> Office:
    return Office(App("office", settings=Settings(), redis=users.url(role), prefix=users.prefix))


@pytest.fixture
async def producer(users: Users) -> AsyncIterator[Office]:
    office = _office(users, Role.PRODUCER)
    async with office.app:
        yield office


@pytest.fixture
async def worker(users: Users) -> AsyncIterator[Office]:
    office = _office(users, Role.WORKER)
    async with office.app:
        yield office


async def test_what_producers_add_workers_run_and_both_learn_what_it_came_to(
    users: Users, producer: Office, worker: Office
) -> None:
    email = producer.app.queue("email")
    async with working(worker.app, ["email"], None, 20):
        sent = await producer.send_email.add(Mail("ana@example.com"))
        assert (await sent.result(timeout="20s")) == {"messageId": "m-1", "apiKey": "k-1"}
        many = [NewJob("send-email", Mail("nobody"), id=f"n{i}") for i in range(30)]
        await email.add_many(many)
        again = await email.add("send-email", Mail("ana@example.com"), id="n1")
        await email.add("send-email", Mail("ana@example.com"), id="later", delay="1s", priority=3)
        await worker.app.queue("email").add("nobodys", {}, id="parked", force=True)
        await soon(lambda: _stand(worker.app, failed=30, completed=2), "all ended", limit_s=20)

    assert again.existed
    assert users.refused == set()


async def _stand(app: App, **wanted: int) -> bool:
    counts = await app.queue("email").counts()
    return all(getattr(counts, state) == count for state, count in wanted.items())


async def test_a_worker_may_do_what_an_operator_does_and_keep_values(
    users: Users, worker: Office
) -> None:
    await worker.fail(3)
    app, email = worker.app, worker.app.queue("email")
    for state in JobState:
        await email.page(state)
    await email.retry("f0")
    await email.cancel("f0")
    await email.remove("f1")
    await worker.send_email.add(Mail("x"), id="d", delay="1h")
    await email.change("d", priority=2)
    await email.promote("d")
    await email.pause()
    await email.resume()
    await email.limit(3, rate=(5, "1s"))
    await email.drain()
    await email.clean(JobState.FAILED, older_than="1h")
    port = app.redis
    await port.set("a", "1", expire="1m")
    assert await port.get("a", renew="1m") == b"1"
    await port.increment("n", expire="1m")
    await port.append("list", "x")
    await port.tail("list")
    await port.write("journal", "x", keep=10)
    await port.written("journal", 1)
    await port.ms_left("a")
    await port.publish("news", "x")
    assert "a" in [name async for name in port.scan()]
    await port.delete("a")

    assert users.refused == set()


async def test_every_route_of_the_admin_is_answered(users: Users, worker: Office) -> None:
    await worker.in_every_state()
    office = _office(users, Role.ADMIN)
    async with office.app:
        admin = guarded_admin(office.app)
        token = made("script", AdminRole.ADMIN)
        await Tokens(office.app.redis.admin).keep(token)
        async with client(admin, token=token.token) as script, browser(admin) as ana:
            answered = await _each_route(script, [b.row for b in routed(admin)])
            logged_in = await log_in(ana)
            seen = await ana.get("/api/admin/jobs/queue/email/jobs?state=failed")
            audit = await script.get("/api/admin/jobs/audit")
            slowly = await script.post(
                "/api/admin/jobs/retry-all/email", json={"rate": 10, "limit": 1}
            )
            await ana.post("/api/admin/logout")

    assert {status for status in answered.values() if status >= 500} == set(), answered
    assert (logged_in.status_code, seen.status_code, slowly.status_code) == (200, 200, 200)
    assert audit.json()["changes"]
    assert users.refused == set()


async def _each_route(script: httpx2.AsyncClient, rows: list[Row]) -> dict[str, int]:
    found = {}
    for row in rows:
        if not row.path.endswith("/events"):
            path = path_of(row).replace("nobody", "waiting")
            found[f"{row.method} {path}"] = (await script.request(row.method, path)).status_code
    return found


async def test_an_exporter_and_an_autoscaler_are_told_everything(
    users: Users, producer: Office, worker: Office
) -> None:
    await worker.in_every_state()
    url = Address(users.url(Role.EXPORTER), "the test")

    _, text = await Exporter(url, users.prefix).text()
    client = Redis(url)
    scale = await scale_of(link(client, keys_of(users.prefix, "email")), slots=5)
    await client.close()

    samples = {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.labels.get("queue", "email") == "email"
    }
    assert samples["streamq_redis_up", ""] == 1
    assert samples["streamq_jobs", "failed"] == samples["streamq_jobs", "parked"] == 1
    assert scale.queue == "email"
    assert users.refused == set()


def test_a_daemon_works_until_its_queues_are_empty_and_operators_see_it(
    users: Users, tmp_path: Path
) -> None:
    ops = CommandLine(users.url(Role.ADMIN), users.prefix, tmp_path)
    ops.with_shop()
    daemon = CommandLine(users.url(Role.WORKER), users.prefix, tmp_path)
    added = ops.run("add", "email", "welcome", '{"to": "ana@example.com"}', "--id", "a")
    ops.run("add", "email", "bounce", '{"to": "ana@example.com"}', "--id", "b")

    ran = daemon.run("run", "--burst")
    looked = {
        verb: ops.run(*verb.split())
        for verb in ("queues", "workers --all", "jobs email", "job a", "logs a", "retry b -y",
                     "doctor", "schedule ls", "events", "health")
    }  # fmt: skip

    assert (added.code, ran.code) == (0, 0), ran
    assert "completed successfully" in ran.out + ran.err
    assert {verb: done for verb, done in looked.items() if "NOPERM" in done.out + done.err} == {}
    assert users.refused == set()


@pytest.mark.parametrize("role", Role)
def test_nobody_may_do_what_is_nobodys_work(users: Users, role: Role) -> None:
    with redis.Redis.from_url(users.url(role)) as raw:
        for command in FORBIDDEN:
            words = [word.replace("{p}", users.prefix) for word in command]
            with pytest.raises(redis.exceptions.NoPermissionError):
                _ask(raw, *words)


@pytest.mark.parametrize(
    ("role", "command"),
    [
        (Role.EXPORTER, "HSET {p}:{q}:meta a b"),
        (Role.EXPORTER, "DEL {p}:{q}:meta"),
        (Role.EXPORTER, "XADD {p}:{q}:events * a b"),
        (Role.EXPORTER, "GET {p}:admin:token"),
        (Role.PRODUCER, "BLPOP {p}:{q}:wake 1"),
        (Role.PRODUCER, "DEL {p}:{q}:jobs"),
        (Role.PRODUCER, "XREADGROUP GROUP workers me STREAMS {p}:{q}:wait:5 >"),
        (Role.WORKER, "GET {p}:admin:token"),
        (Role.WORKER, "GET sess:of-somebody"),
        (Role.ADMIN, "XREADGROUP GROUP workers me STREAMS {p}:{q}:wait:5 >"),
        (Role.ADMIN, "XTRIM {p}:admin:audit MAXLEN 0"),
    ],
)
def test_nobody_may_do_the_work_of_others(users: Users, role: Role, command: str) -> None:
    """Control 23: the audit cannot be cut by whoever writes it."""
    with (
        redis.Redis.from_url(users.url(role)) as raw,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        _ask(raw, *command.replace("{p}", users.prefix).split())


def test_the_rules_name_every_command_that_a_script_calls() -> None:
    """A call whose command is put together could not be found."""
    for name in rights.script_names():
        source = script(name).source.decode()
        assert source.count("redis.call(") + source.count("redis.pcall(") == len(
            rights._COMMAND.findall(source)
        ), name
