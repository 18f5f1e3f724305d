"""`streamq token` and `streamq hash-password`, as processes of their own."""

import os
import re
from pathlib import Path

import pytest

from admin.access.accounts import Accounts
from admin.access.passwords import Form, fits
from admin.access.tokens import Tokens
from admin.access.verbs import HASH_PASSWORD, ROLES, TOKEN
from admin.policy import Role
from streamq import App
from streamq.cli.parser import parser_of
from streamq.embedded import EmbeddedServer
from tests.admin.access.people import client, guarded_admin, settings_of
from tests.support.command_line import CommandLine

TOKEN_SHAPE = re.compile(r"sq_[A-Za-z0-9_-]{43}")
STATS = "/api/admin/jobs/stats"


@pytest.fixture
def line(server: EmbeddedServer, prefix: str, tmp_path: Path) -> CommandLine:
    return CommandLine(server.url, prefix, tmp_path)


async def _status(app: App, token: str, **settings: object) -> int:
    admin = guarded_admin(app, settings_of(**settings))
    async with client(admin, token=token) as script:
        return (await script.get(STATS)).status_code


def test_the_roles_of_the_command_line_are_those_there_are() -> None:
    assert list(ROLES) == [role.value for role in Role]


@pytest.mark.parametrize("command", [TOKEN, HASH_PASSWORD], ids=["token", "hash-password"])
def test_they_explain_themselves_in_80_columns(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = "token" if command is TOKEN else "hash-password"
    chosen = TOKEN if command is TOKEN else HASH_PASSWORD

    said = parser_of(verb, chosen).format_help()

    assert "examples:" in said
    assert max(map(len, said.splitlines())) <= 80
    assert all(f"streamq {verb}" in example.command for example in chosen.examples)


@pytest.mark.slow
async def test_a_token_is_alone_on_the_last_line_and_opens_what_its_role_may(
    line: CommandLine, app: App
) -> None:
    done = line.run("token", "--role", "admin", "--expires", "7d", "--name", "ops")

    assert done.code == 0, done
    token = done.out.splitlines()[-1]
    assert TOKEN_SHAPE.fullmatch(token)
    assert done.out.count(token) == 1
    assert "for ops, admin, for 7 d" in done.out
    assert await _status(app, token) == 200


@pytest.mark.slow
async def test_tokens_are_listed_and_taken_back(line: CommandLine, app: App) -> None:
    line.run("token", "--role", "viewer", "--name", "twin")
    made = line.run("token", "--role", "viewer", "--name", "twin", "--json").record()
    token = str(made["token"])
    used = await _status(app, token)

    listed = line.run("token", "ls", "--json").records()
    unclear = line.run("token", "revoke", "twin")
    gone = line.run("token", "revoke", str(made["id"]))
    again = line.run("token", "revoke", str(made["id"]))
    left = line.run("token", "ls")

    assert used == 200
    assert [each["name"] for each in listed] == ["twin", "twin"]
    assert [each["id"] for each in listed if each["last_used_ms"]] == [made["id"]]
    assert all("token" not in each for each in listed)
    assert (unclear.code, gone.code, again.code) == (2, 0, 2)
    assert "Say which" in unclear.err
    assert await _status(app, token) == 401
    assert str(made["id"]) not in left.out and "twin" in left.out


@pytest.mark.slow
async def test_an_entry_for_the_configuration_is_kept_nowhere_else(
    line: CommandLine, app: App
) -> None:
    done = line.run("token", "--role", "operator", "--name", "ci", "--entry")
    *_, entry, _, token = done.out.splitlines()
    configured = entry.removeprefix("ADMIN_TOKENS=")

    assert not await Tokens(app.redis.admin).exist()
    assert await _status(app, token, tokens=configured) == 200
    assert await _status(app, token, tokens="") == 401
    assert token not in entry


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["token"], "Which role?"),
        (["token", "--role", "boss"], "no 'boss' here"),
        (["token", "--role", "admin", "--expires", "400d"], "out of range"),
        (["token", "--role", "admin", "--expires", "never"], "it is not a duration"),
        (["token", "--role", "admin", "--expires", "7"], "it is not a duration"),
        (["token", "--role", "admin", "--name", "a b"], "cannot be a token's name"),
        (["token", "revoke"], "Which token?"),
        (["token", "revoke", "nobody"], "No token"),
        (["token", "ls", "--role", "admin"], "leave the options out"),
        (["hash-password", "--user", "a b"], "cannot be a user's name"),
        (["hash-password", "--user", "ana", "--role", "boss"], "no 'boss' here"),
    ],
)
def test_what_makes_no_sense_is_said_and_exits_2(
    line: CommandLine, words: list[str], said: str
) -> None:
    done = line.run(*words, stdin="a good password\n")

    assert done.code == 2, done
    assert said in done.err
    assert done.out == ""


@pytest.mark.slow
async def test_a_hashed_password_is_an_entry_of_a_user(line: CommandLine) -> None:
    password = "uma senha com ç"
    done = line.run("hash-password", "--user", "ana", "--role", "operator", stdin=f"{password}\n")
    alone = line.run("hash-password", stdin=f"{password}\n").out.strip()

    entry = done.out.strip()
    account = await Accounts(entry).named("Ana")
    assert account is not None
    assert (account.name, account.role) == ("ana", Role.OPERATOR)
    assert fits(Form.SCRYPT, account.password, password)
    assert fits(Form.SCRYPT, alone, password)
    assert password not in done.out + done.err


@pytest.mark.slow
@pytest.mark.parametrize("password", ["short", "", "x" * 2_000])
def test_a_password_that_is_none_is_refused(line: CommandLine, password: str) -> None:
    done = line.run("hash-password", stdin=f"{password}\n")

    assert done.code == 2
    assert "give 8 to 1024" in done.err


@pytest.mark.slow
def test_production_without_a_secret_refuses_to_start(line: CommandLine) -> None:
    """Control 3, and SQ501."""
    line.with_shop()
    production = {"STREAMQ_ENV": "production", "SESSION_SECRET": ""}

    done = line.run("web", "--port", "0", variables=production)

    assert done.code == 2
    assert done.err.startswith("SQ501 SESSION_SECRET is not set and STREAMQ_ENV=production")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ADMIN_USERS", "ana:admin:hunter2"),
        ("ADMIN_USERS", "hunter2"),
        ("ADMIN_USERS", "ana:boss:hunter2"),
        ("ADMIN_USERS", "ana:admin:$2b$10$" + "hunter2" * 7 + "aaaa"),
        ("ADMIN_TOKENS", "ci:admin:sq_hunter2"),
        ("ADMIN_TOKENS", "sq_" + "hunter2" * 6 + "a"),
        ("ADMIN_TOKENS", f"ci:admin:{'a' * 64}:hunter2"),
    ],
)
def test_users_and_tokens_that_cannot_be_read_refuse_to_start_and_are_not_repeated(
    line: CommandLine, variable: str, value: str
) -> None:
    line.with_shop()

    done = line.run("web", "--port", "0", variables={variable: value})

    assert done.code == 2, done
    assert done.err.startswith(f"SQ311 Setting {variable} = ")
    assert "hunter2" not in done.err


@pytest.mark.slow
def test_nobody_is_served_to_other_machines_until_there_is_somebody(line: CommandLine) -> None:
    """Control 3: no open mode, and no default password."""
    line.with_shop()

    done = line.run("web", "--host", "0.0.0.0", "--port", "0", variables=_no_access())

    assert done.code == 2
    assert "SQ502 Refusing to listen on 0.0.0.0 without authentication." in done.err


def _no_access() -> dict[str, str]:
    names = ("ADMIN_USERS", "ADMIN_TOKENS", "DATABASE_URL", "SESSION_SECRET")
    return {name: "" for name in names if name in os.environ}
