"""What `streamq token` does: makes a bearer token for the admin API, lists them, takes one back."""

import getpass
import os
import re
from argparse import Namespace
from datetime import UTC, datetime
from typing import Final

from admin.access.tokens import EXPIRES_MS, NAME, Kept, Made, Tokens, made
from admin.access.verbs import LS
from admin.policy import Role
from streamq.cli.console import Cell, Column, Console
from streamq.cli.session import opened
from streamq.cli.spec import Exit
from streamq.cli.times import ago, length
from streamq.durations import to_ms
from streamq.errors import InvalidInput
from streamq.lookup import read_secret

COLUMNS: Final = (
    Column("ID"),
    Column("NAME", least=10),
    Column("ROLE"),
    Column("MADE", right=True),
    Column("EXPIRES", least=16),
    Column("USED", right=True),
    Column("KEPT IN"),
)


async def run(args: Namespace, console: Console) -> int:
    if args.word is None:
        return await _make(args, console)
    if args.role or args.expires or args.name or args.entry:
        raise InvalidInput(f"`streamq token {args.word}` makes no token: leave the options out.")
    if args.word == LS:
        if args.token:
            raise InvalidInput(f"streamq token: one argument too many: {args.token!r}")
        return await _list(args, console)
    if not args.token:
        raise InvalidInput("Which token?  streamq token revoke ID   (streamq token ls)")
    return await _revoke(args, console)


async def _make(args: Namespace, console: Console) -> int:
    if args.role is None:
        raise InvalidInput("Which role?  streamq token --role viewer, operator or admin")
    expires_ms = EXPIRES_MS if args.expires is None else to_ms(args.expires, "--expires")
    new = made(args.name or _own_name(), Role(args.role), expires_ms)
    if not args.entry:
        async with opened(args) as session:
            await Tokens(session.app.redis.admin).keep(new)
    _say(new, console, as_entry=args.entry)
    return Exit.OK


def _own_name() -> str:
    """Who made it; the audit shall not say "admin" for everybody."""
    try:
        name = re.sub(r"[^A-Za-z0-9._@+-]", "-", getpass.getuser())[:64]
    except (KeyError, OSError):
        name = ""
    return name if NAME.fullmatch(name) else f"uid-{os.getuid()}"


def _say(new: Made, console: Console, *, as_entry: bool) -> None:
    """The token alone on the last line of standard output: `token=$(streamq token ...| tail -1)`"""
    kept = new.kept
    if console.as_json:
        record = {**_record(kept, None), "token": new.token}
        console.record({**record, "entry": kept.entry} if as_entry else record)
        return
    left = length(kept.expires_at_ms - kept.created_at_ms)
    where = "kept nowhere" if as_entry else "its hash is in Redis"
    console.line(f"Token {kept.id} for {kept.name}, {kept.role}, for {left}; {where}.")
    if as_entry:
        console.line(f"ADMIN_TOKENS={kept.entry}")
    else:
        console.line(f"Take it back:  streamq token revoke {kept.id}")
    console.line("It is shown this once:")
    console.line(new.token)


async def _list(args: Namespace, console: Console) -> int:
    rows: list[list[str | Cell]] = []
    async with opened(args) as session:
        tokens = Tokens(session.app.redis.admin, read_secret(os.environ, "ADMIN_TOKENS") or "")
        for kept in await tokens.known():
            used_ms = await tokens.last_used_ms(kept)
            console.record(_record(kept, used_ms))
            rows.append(_row(kept, used_ms))
    if rows:
        console.table(COLUMNS, rows)
    else:
        console.note("There are no tokens. Make one:  streamq token --role viewer")
    return Exit.OK


def _record(kept: Kept, used_ms: int | None) -> dict[str, object]:
    return {
        "id": kept.id,
        "name": kept.name,
        "role": kept.role,
        "created_at_ms": kept.created_at_ms or None,
        "expires_at_ms": kept.expires_at_ms,
        "last_used_ms": used_ms,
        "configured": kept.configured,
    }


def _row(kept: Kept, used_ms: int | None) -> list[str | Cell]:
    end = datetime.fromtimestamp(kept.expires_at_ms / 1_000, UTC)
    return [
        kept.id,
        kept.name,
        kept.role.value,
        ago(kept.created_at_ms) if kept.created_at_ms else "-",
        f"{end:%Y-%m-%d %H:%M} UTC",
        "never" if used_ms is None else ago(used_ms),
        "ADMIN_TOKENS" if kept.configured else "Redis",
    ]


async def _revoke(args: Namespace, console: Console) -> int:
    async with opened(args) as session:
        gone = await Tokens(session.app.redis.admin).revoke(args.token)
    console.record({**_record(gone, None), "revoked": True})
    console.line(f"Token {gone.id} ({gone.name}, {gone.role}) opens nothing any more.")
    return Exit.OK
