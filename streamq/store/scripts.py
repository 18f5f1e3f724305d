"""The scripts: a header read as the contract, fragments put in front, errors named by their line.

A script names its keys and arguments in its header; nobody counts positions. Hands `transitions.py`
one `Script` for each file.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import msgspec

from streamq.errors import NotApplied, ScriptFault, StoreError, refusal
from streamq.job import LINES
from streamq.store.client import CALL_TIMEOUT_S, Arg, ErrorReply, Redis, Reply, Wire
from streamq.store.keys import LAYOUT, Keys

RELOADS_MAX = 2  # of one script for one call: after SCRIPT FLUSH once is enough, in a loop not


class Script(msgspec.Struct, frozen=True):
    """One Lua file, ready to be called. `source` is static text: all data goes by KEYS and ARGV."""

    name: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    source: bytes
    sha: bytes
    first_line: int
    """Lines that stand before the file's own text, to name an error by the file's line."""


def _header(text: str, field: str) -> str:
    """The words behind a header's field, continued lines joined."""
    found = re.search(rf"^-- {field} +(.*(?:\n--  +.*)*)", text, re.MULTILINE)
    return re.sub(r"\n-- +", " ", found.group(1)) if found else ""


def _placed(text: str, keys: Sequence[str], args: Sequence[str]) -> str:
    """The names of the header as positions: a table of them, made in every call, costs 1.5 µs.

    `key[state]` alone needs that table; the lines stand behind the other keys, by their sign.
    """
    plain = [k for k in keys if k != "wait"]
    keys_at = {f"key.{k}": f"KEYS[{i}]" for i, k in enumerate(plain, 1)}
    args_at = {f"arg.{a}": f"ARGV[{i}]" for i, a in enumerate(args, 1)}
    line_0 = len(plain) + 1 - ord(LINES[0])
    text = re.sub(r"\bkey\.wait\[(\w+)\]", rf"KEYS[string.byte(\1) + {line_0}]", text)
    # What a fragment names and this script has not: in a function that it does not call.
    places = keys_at | args_at
    text = re.sub(r"\b(?:key|arg)\.\w+", lambda name: places.get(name[0], "nil"), text)
    for table, own in (("key", keys_at), ("arg", args_at)):
        if f"{table}[" in text:
            pairs = ", ".join(f"{name[4:]} = {place}" for name, place in own.items())
            text = f"local {table} = {{{pairs}}} {text}"
    return text


@cache
def script(name: str) -> Script:
    """The script of that name, its fragments put in front."""
    folder = files("streamq.store") / "scripts"
    text = (folder / f"{name}.lua").read_text("utf-8")
    keys = tuple(_header(text, "KEYS").split())
    args = tuple(_header(text, "ARGV").partition("|")[0].split())
    used = [u for u in _header(text, "USES").split() if u != "none"]
    before = "\n".join(
        [
            f"local LAYOUT, ARGV_FIRST = {LAYOUT}, {len(args) + 1}",
            *[(folder / "lib" / f"{fragment}.lua").read_text("utf-8") for fragment in used],
            "",
        ]
    )
    source = _placed(before + text, keys, args).encode()
    return Script(
        name=name,
        keys=keys,
        args=args,
        source=source,
        sha=hashlib.sha1(source, usedforsecurity=False).hexdigest().encode(),
        first_line=before.count("\n"),
    )


class Link(msgspec.Struct, frozen=True):
    """One queue over one connection: what every typed function of the store takes first."""

    wire: Wire
    keys: Keys

    @property
    def queue(self) -> str:
        return self.keys.queue


def link(redis: Redis, keys: Keys, purpose: str = "scripts") -> Link:
    return Link(redis.wire(purpose, keys.names["meta"]), keys)


_prepared: dict[tuple[str, str, str], tuple[bytes, ...]] = {}
"""The fixed part of a call by script, prefix, queue: forty names are not put together each turn."""


async def run(
    at: Link,
    name: str,
    args: Sequence[Arg],
    *,
    timeout_s: float = CALL_TIMEOUT_S,
    generation: int | None = None,
) -> Reply:
    """Runs a script with its named arguments first, in the header's order, then the rest.

    Raises the error class of the script's own word, ScriptFault for any other error, and what
    `Wire.call` raises.
    """
    command = command_of(at.keys, name, args)
    what = f"{name} of queue {at.queue}"
    for _ in range(RELOADS_MAX + 1):
        try:
            return await at.wire.call(what, command, timeout_s=timeout_s, generation=generation)
        except ErrorReply as error:
            if error.word != "NOSCRIPT":
                raise named(at.queue, name, error) from error
        # Not there: a restart, a fail-over or SCRIPT FLUSH. NOSCRIPT means that nothing was done.
        await at.wire.call(what, ("SCRIPT", "LOAD", script(name).source), generation=generation)
    raise NotApplied(what, "NOSCRIPT", "the script is flushed as fast as it is loaded")


def command_of(keys: Keys, name: str, args: Sequence[Arg]) -> tuple[Arg, ...]:
    """The command that runs a script, where it is loaded."""
    prepared = _prepared.get((name, keys.prefix, keys.queue))
    if prepared is None:
        prepared = _prepared[name, keys.prefix, keys.queue] = _fixed_part(name, keys)
    return (*prepared, *args)


def _fixed_part(name: str, keys: Keys) -> tuple[bytes, ...]:
    wanted = script(name)
    found = [keys.names[k] for k in wanted.keys if k != "wait"]
    if "wait" in wanted.keys:
        found += keys.lines.values()
    return (b"EVALSHA", wanted.sha, b"%d" % len(found), *found)


def named(queue: str, name: str, error: ErrorReply) -> StoreError:
    """A script's error reply as the class of its own word, or as a fault of the script."""
    text = error.text
    # Not loaded; or not allowed, to call scripts at all or with these keys.
    if error.word in ("NOSCRIPT", "NOPERM"):
        return NotApplied(f"{name} of queue {queue}", error.word, error.detail)
    own = refusal(queue, text)
    if own is not None:
        return own
    found = re.search(r"user_script:(\d+)", text)
    line = int(found.group(1)) - script(name).first_line if found else None
    if line is not None and line <= 0:
        line = None  # in a fragment: the text says what
    return ScriptFault(name, line, text)
