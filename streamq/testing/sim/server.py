"""The real server behind a simulation: a blocking socket, one command after another.

Owns what makes a real server repeatable: the time that scripts are told, copies of all keys, and a
look at them in one command.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import hiredis
import msgspec

from streamq.store.scripts import script
from streamq.testing.invariants import LINES, TYPES, Dump, Entry, entries_of

Reply: TypeAlias = "int | bytes | Exception | list[Reply] | None"

READ_BYTES: Final = 1 << 16
ANSWER_LIMIT_S: Final = 30.0
SCRIPTS: Final = (
    "register", "add", "step", "resync", "beat", "reap", "retry", "unpark", "promote", "cancel",
    "change", "remove", "clean", "drain", "limit", "declare", "slot", "hold", "repair",
)  # fmt: skip

_HASHES: Final = [name for name, kind in TYPES.items() if kind == "hash"]
_ZSETS: Final = [name for name, kind in TYPES.items() if kind == "zset"]
_LISTS: Final = [name for name, kind in TYPES.items() if kind == "list"]
_KEPT: Final = [*_HASHES, *_ZSETS, *_LISTS, *LINES.values()]

# One line is: entries, last id given, (entry, worker) of what pends, names of who reads it.
_LOOK: Final = b"""
local found, lines = {}, {}
for i = 1, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind == 'hash' then
    found[i] = redis.call('HGETALL', KEYS[i])
  elseif kind == 'zset' then
    found[i] = redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES')
  elseif kind == 'list' then
    found[i] = redis.call('LLEN', KEYS[i])
  elseif kind == 'stream' then
    local last, pending, names = '0-0', {}, {}
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[i])) do
      for at = 1, #group, 2 do
        last = group[at] == 'last-delivered-id' and group[at + 1] or last
      end
    end
    for _, p in ipairs(redis.call('XPENDING', KEYS[i], 'workers', '-', '+', 10000)) do
      pending[#pending + 1] = p[1]
      pending[#pending + 1] = p[2]
    end
    for _, each in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[i], 'workers')) do
      names[#names + 1] = each[2]
    end
    local flat = {}
    for _, entry in ipairs(redis.call('XRANGE', KEYS[i], '-', '+')) do
      flat[#flat + 1] = entry[1]
      flat[#flat + 1] = entry[2][2]
    end
    found[i] = { flat, last, pending, names }
  else
    found[i] = 0
  end
end
return found
"""


class Answer(msgspec.Struct, frozen=True):
    """A reply as it came on the wire, and what it says."""

    raw: bytes
    reply: Reply


class Snapshot(msgspec.Struct, frozen=True):
    """All keys, as DUMP has them."""

    values: dict[bytes, bytes]


class Server:
    """See the module. Every call waits for its answer; no other client is connected."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_LIMIT_S)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()
        self._look_sha = b""
        self._load()

    def ask(self, *command: bytes | str | int | float) -> Reply:
        """One command; an error reply comes back as the exception that it is."""
        return self.answers([command])[0].reply

    def answers(self, commands: Sequence[Sequence[bytes | str | int | float]]) -> list[Answer]:
        """Commands in one go, and the answer to each."""
        self._socket.sendall(b"".join(hiredis.pack_command(tuple(c)) for c in commands))  # type: ignore[arg-type]
        found: list[Answer] = []
        buffer, at = b"", 0
        while len(found) < len(commands):
            data = self._socket.recv(READ_BYTES)
            assert data, "the server has ended"
            self._reader.feed(data)
            buffer += data
            while (reply := self._reader.gets()) is not False:
                # The last one ends where all ends: a look is long, and nobody wants its bytes.
                last = len(found) == len(commands) - 1
                end = len(buffer) if last else _frame_end(buffer, at)
                found.append(Answer(buffer[at:end], reply))
                at = end
        return found

    def begin(self) -> None:
        """An empty server that has every script."""
        self.ask("CONFIG", "SET", "maxmemory", 0)
        self.ask("FLUSHALL", "SYNC")
        known = self.ask("SCRIPT", "EXISTS", self._look_sha, *(script(n).sha for n in SCRIPTS))
        assert isinstance(known, list)
        if 0 in known:
            self._load()

    def _load(self) -> None:
        sha = self.ask("SCRIPT", "LOAD", _LOOK)
        assert isinstance(sha, bytes)
        self._look_sha = sha
        for name in SCRIPTS:
            self.ask("SCRIPT", "LOAD", script(name).source)

    def flush_scripts(self) -> None:
        """Every script of the engine is gone."""
        self.ask("SCRIPT", "FLUSH", "SYNC")
        self.ask("SCRIPT", "LOAD", _LOOK)

    def fill(self, *, full: bool) -> None:
        """Out of memory, or not any more."""
        self.ask("CONFIG", "SET", "maxmemory", 1 if full else 0)

    def look_command(self, stem: str) -> tuple[bytes | str | int, ...]:
        """Of one queue, whose keys begin so; its reply is for `dump_of`."""
        return ("EVALSHA", self._look_sha, len(_KEPT), *(stem + name for name in _KEPT))

    def copy(self) -> Snapshot:
        """All keys as they are."""
        keys = self.ask("KEYS", "*")
        assert isinstance(keys, list)
        names = sorted(key for key in keys if isinstance(key, bytes))
        values: dict[bytes, bytes] = {}
        if names:
            dumps = self.answers([("DUMP", name) for name in names])
            for name, each in zip(names, dumps, strict=True):
                assert isinstance(each.reply, bytes)
                values[name] = each.reply
        return Snapshot(values)

    def restore(self, snapshot: Snapshot) -> None:
        """All keys as they were, on a server that has room."""
        self.fill(full=False)
        self.ask("FLUSHALL", "SYNC")
        for name, value in snapshot.values.items():
            said = self.ask("RESTORE", name, 0, value)
            assert said == b"OK", said

    def close(self) -> None:
        self._socket.close()


def dump_of(queue: str, reply: Reply) -> Dump:
    """What `look_command` gave."""
    assert isinstance(reply, list), reply
    found = dict(zip(_KEPT, reply, strict=True))
    entries: list[Entry] = []
    in_groups: dict[str, set[bytes]] = {}
    for sign, name in LINES.items():
        line = found[name]
        if not isinstance(line, list):
            in_groups[sign] = set()
            continue
        flat, last, pending, names = line
        assert isinstance(last, bytes)
        given = _pairs(pending)
        entries.extend(entries_of(sign, _pairs(flat).items(), last, given))
        in_groups[sign] = set(_bytes(names))
    return Dump(
        queue,
        {name: _pairs(found[name]) for name in _HASHES},
        {name: {m: float(s) for m, s in _pairs(found[name]).items()} for name in _ZSETS},
        {name: n if isinstance(n := found[name], int) else 0 for name in _LISTS},
        entries,
        in_groups,
    )


def _bytes(reply: Reply) -> list[bytes]:
    return [b for b in reply if isinstance(b, bytes)] if isinstance(reply, list) else []


def _pairs(reply: Reply) -> dict[bytes, bytes]:
    flat = _bytes(reply)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _frame_end(data: bytes, at: int) -> int:
    """Where the reply that begins at `at` ends."""
    left = 1
    while left:
        line = data.index(b"\r\n", at)
        first, kind = at, data[at]
        at = line + 2
        if kind in b"$*":
            n = int(data[first + 1 : line])
            if kind in b"*":
                left += max(n, 0)
            elif n >= 0:
                at += n + 2
        left -= 1
    return at
