"""Bearer tokens: made, kept by their hash, scoped, ended, taken back. Control 21 of security.md."""

import re
import time
from datetime import UTC, datetime

import msgspec
import pytest
from redis.asyncio import Redis

from admin.access.tokens import (
    EXPIRES_MS,
    EXPIRES_MS_MAX,
    USED_AGAIN_MS,
    AmbiguousToken,
    Made,
    NoSuchToken,
    Tokens,
    made,
)
from admin.app import AdminApp
from admin.policy import Role
from streamq import App
from streamq.errors import InvalidInput, InvalidSetting, OutOfRange
from streamq.redact import HIDDEN, redact_text
from tests.admin.access.people import TOKENS, browser, client, guarded_admin, log_in, settings_of
from tests.admin.office import Office
from tests.support.waiting import soon

STATS = "/api/admin/jobs/stats"
PAUSE = "/api/admin/jobs/pause/email"


@pytest.fixture
def tokens(app: App) -> Tokens:
    return Tokens(app.redis.admin)


async def _kept(tokens: Tokens, role: Role = Role.VIEWER, **said: int) -> Made:
    new = made(f"{role}-of-test", role, **said)
    await tokens.keep(new)
    return new


async def _status(admin: AdminApp, token: str, path: str = STATS) -> int:
    async with client(admin, token=token) as script:
        return (await script.get(path)).status_code


def test_a_token_has_256_random_bits_behind_a_prefix() -> None:
    new = {made("a", Role.VIEWER).token for _ in range(100)}

    assert len(new) == 100
    assert all(re.fullmatch(r"sq_[A-Za-z0-9_-]{43}", each) for each in new)


def test_a_token_that_gets_into_a_text_is_hidden_there() -> None:
    new = made("a", Role.VIEWER)

    assert redact_text(f"curl with {new.token}") == f"curl with {HIDDEN}"
    assert new.token not in repr(new)


async def test_redis_and_the_configuration_have_its_hash_alone(
    tokens: Tokens, raw: Redis, prefix: str
) -> None:
    new = await _kept(tokens)
    await tokens.used(new.kept)

    found = b""
    async for key in raw.scan_iter(f"{prefix}:*"):
        value = await raw.get(key)
        assert isinstance(key, bytes) and isinstance(value, bytes)
        found += key + value
    assert new.kept.digest.encode() in found
    assert new.token.encode() not in found
    assert new.token not in new.kept.entry


async def test_what_is_kept_of_a_token_opens_nothing(admin: AdminApp, tokens: Tokens) -> None:
    new = await _kept(tokens)

    for guess in (new.kept.digest, f"sq_{new.kept.digest[:43]}", new.token[:-1], f"{new.token}x"):
        assert await _status(admin, guess) == 401
    assert await _status(admin, new.token) == 200


@pytest.mark.parametrize("role", Role)
async def test_a_token_may_what_its_role_may(
    admin: AdminApp, office: Office, tokens: Tokens, role: Role
) -> None:
    new = await _kept(tokens, role)
    async with client(admin, token=new.token) as script:
        me = await script.get("/api/admin/me")
        changed = await script.post(PAUSE)

    assert me.json() == {"user": f"{role}-of-test", "role": role, "via": "token"}
    assert changed.status_code == (200 if role >= Role.OPERATOR else 403)


async def test_a_token_that_is_taken_back_opens_nothing_from_the_next_request_on(
    admin: AdminApp, tokens: Tokens
) -> None:
    new = await _kept(tokens)
    async with client(admin, token=new.token) as script:
        before = (await script.get(STATS)).status_code
        gone = await tokens.revoke(new.kept.id)
        after = (await script.get(STATS)).status_code

    assert (before, after) == (200, 401)
    assert gone == new.kept


@pytest.mark.slow
async def test_a_token_ends_by_itself(
    admin: AdminApp, tokens: Tokens, raw: Redis, prefix: str
) -> None:
    short = await _kept(tokens, expires_ms=1_000)
    long = await _kept(tokens)
    key = f"{prefix}:admin:token:{long.kept.digest}"

    assert await _status(admin, short.token) == 200
    assert EXPIRES_MS - 60_000 < await raw.pttl(key) <= EXPIRES_MS
    assert EXPIRES_MS == 30 * 86_400_000

    async def over() -> bool:
        return await _status(admin, short.token) == 401

    await soon(over, "it ended")


async def test_its_own_word_on_its_end_counts_where_redis_forgot(
    admin: AdminApp, tokens: Tokens, raw: Redis, prefix: str
) -> None:
    """As after a dump that came back without ends."""
    new = made("old", Role.ADMIN)
    old = msgspec.structs.replace(new.kept, expires_at_ms=int(time.time() * 1_000) - 1)
    await raw.set(f"{prefix}:admin:token:{old.digest}", msgspec.json.encode(old))

    assert await _status(admin, new.token) == 401


async def test_a_record_under_another_tokens_name_opens_nothing(
    admin: AdminApp, tokens: Tokens, raw: Redis, prefix: str
) -> None:
    """Who may write one kind of key is not to make a token of one that they know."""
    new, other = await _kept(tokens), made("x", Role.ADMIN)
    record = await raw.get(f"{prefix}:admin:token:{new.kept.digest}")
    assert isinstance(record, bytes)
    await raw.set(f"{prefix}:admin:token:{other.kept.digest}", record, ex=60)
    await raw.set(f"{prefix}:admin:token:{made('y', Role.ADMIN).kept.digest}", b"x", ex=60)

    assert await _status(admin, other.token) == 401
    assert [kept.id for kept in await tokens.known() if kept.name == "x"] == []


async def test_when_it_was_used_last_is_known_to_the_minute(app: App, tokens: Tokens) -> None:
    admin = guarded_admin(app)
    new = await _kept(tokens)
    before = await tokens.last_used_ms(new.kept)
    began = int(time.time() * 1_000)
    await _status(admin, new.token)
    after = await tokens.last_used_ms(new.kept)
    await _status(admin, new.token)

    assert before is None
    assert after is not None and began - 1 <= after <= began + USED_AGAIN_MS
    assert await tokens.last_used_ms(new.kept) == after, "not written at every request"


async def test_a_token_is_taken_back_by_a_name_that_is_only_its_own(tokens: Tokens) -> None:
    first, second = await _kept(tokens), await _kept(tokens)

    with pytest.raises(AmbiguousToken) as raised:
        await tokens.revoke("viewer-of-test")
    await tokens.revoke(first.kept.id)
    await tokens.revoke("viewer-of-test")

    assert sorted(raised.value.ids) == sorted([first.kept.id, second.kept.id])
    with pytest.raises(NoSuchToken):
        await tokens.revoke("viewer-of-test")
    assert not await tokens.exist()


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic {token}", "Token {token}", "{token}", "Bearer {token} x",
        "Bearer Bearer {token}", "Bearer {token},{token}", "Bearer " + "x" * 10_000, "Bearer \xff",
    ],
)  # fmt: skip
async def test_a_header_that_is_no_token_is_nobody(admin: AdminApp, header: str) -> None:
    said = header.replace("{token}", TOKENS[Role.ADMIN].token).encode("latin-1")
    async with client(admin) as script:
        answer = await script.get(STATS, headers=[(b"Authorization", said)])

    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"


@pytest.mark.parametrize("header", ["Bearer {token}", "bearer {token}", "BEARER  {token} "])
async def test_the_scheme_is_the_same_in_any_case_of_letters(admin: AdminApp, header: str) -> None:
    said = header.replace("{token}", TOKENS[Role.ADMIN].token)
    async with client(admin) as script:
        answer = await script.get(STATS, headers={"Authorization": said})

    assert answer.status_code == 200


async def test_a_token_that_does_not_hold_is_not_made_up_for_by_a_session(
    admin: AdminApp,
) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        answer = await ana.get(STATS, headers={"Authorization": f"Bearer sq_{'x' * 43}"})

    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "x" * 65, "é", "a\n"])
def test_a_name_that_a_list_would_trip_over_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        made(name, Role.VIEWER)


@pytest.mark.parametrize("expires_ms", [0, 999, EXPIRES_MS_MAX + 1])
def test_no_token_is_for_ever(expires_ms: int) -> None:
    with pytest.raises(OutOfRange):
        made("a", Role.VIEWER, expires_ms)


# ---- the configuration


async def test_a_configured_token_needs_no_redis_and_ends_too(app: App) -> None:
    new, old = made("new", Role.VIEWER), made("old", Role.VIEWER)
    past = datetime.fromtimestamp(time.time() - 5, UTC)
    over = re.sub(r":[^:]+$", f":{past:%Y-%m-%dT%H%M%SZ}", old.kept.entry)
    admin = guarded_admin(app, settings_of(tokens=f"{new.kept.entry}\n  {over},"))

    assert await _status(admin, new.token) == 200
    assert await _status(admin, old.token) == 401
    assert not Tokens(app.redis.admin, over)
    assert Tokens(app.redis.admin, new.kept.entry)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ci", "entry 1 has no role"),
        (":admin:x:y", "entry 1 has no name"),
        ("ci:root:x:y", "entry 1 has no role of viewer, operator, admin"),
        ("ci:admin:short:2027-01-31T000000Z", "no SHA-256 in hex"),
        (f"ci:admin:{'a' * 64}", "the end of entry 1"),
        (f"ci:admin:{'a' * 64}:2027-01-31", "the end of entry 1"),
        (f"ci:admin:{'a' * 64}:2027-01-31T000000Z " * 2, "entry 2 is there once more"),
        (f"ci:admin:{'a' * 64}:2027-01-31T000000Z x " * 2, "entry 2 has no role"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named_by_its_number(
    app: App, text: str, said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        Tokens(app.redis.admin, text)
