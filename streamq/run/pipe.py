"""The pipe between a daemon and one of its children: whole messages, both ways, never waiting.

Owns the messages and their framing (four bytes of length, then msgpack). A side that does
not read (a stopped process) never holds the other up: what may be missed is dropped, the rest is
kept, bounded.
"""

import contextlib
import signal
import socket
import struct
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Generic, TypeVar

import msgspec

from streamq.job import JobId, WorkerId
from streamq.run.upkeep import Keeps
from streamq.store.calls import Calls

FRAME_BYTES_MAX: Final = 1 << 20
PENDING_BYTES_MAX: Final = 1 << 20  # kept for a side that does not read; then it is given up
_READ_BYTES: Final = 1 << 16
_READS_MAX: Final = 64  # of one `receive`: then others have their turn
_LENGTH: Final = struct.Struct(">I")

DUMP_SIGNAL: Final = signal.SIGUSR1
"""Beside the pipe: makes a child write the stacks of its threads into the file it was given,
whatever it does. The kernel's and faulthandler's work, for which no lock is needed."""


class Setup(msgspec.Struct, frozen=True, tag="setup", kw_only=True):
    """The first message to a child: what it is to be. `queues` empty: all that the app has."""

    app: str
    daemon: str
    queues: Mapping[str, int | None] = {}
    """Concurrency by queue; None: as the settings say."""
    concurrency: int | None = None
    """For queues that name none."""
    alone: bool = False
    """One slot, for suspects, and it ends when there are none left."""
    counts_failures: bool = False
    """It says how many jobs had failed before its workers begin."""
    scheduler: bool = True
    """It fires the app's schedules."""
    label: str = ""
    config_path: str | None = None
    overrides: Mapping[str, str | int | bool] = {}
    redis: tuple[str, str] | None = None
    """Its URL and what named it; None: as the settings say."""
    lease_ms: int
    grace_ms: int
    log_level: str = "INFO"
    log_format: str = "console"
    log_dir: str | None = None


class Pulse(msgspec.Struct, frozen=True, tag="pulse"):
    """The daemon lives. Silence means that nobody beats for the child any more."""


class Quiet(msgspec.Struct, frozen=True, tag="quiet"):
    """Take no new jobs, stay up. `queue` empty: all; `on` False: take jobs again."""

    queue: str = ""
    on: bool = True


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Take no new jobs; let those that run end; hand back what still runs after `grace_ms`; end.

    None: without a limit (the child is to be replaced, and nothing waits for it). `queue`: only
    that queue's worker, the others go on.
    """

    grace_ms: int | None
    queue: str = ""


class Now(msgspec.Struct, frozen=True, tag="now"):
    """Cancel the handlers, hand the jobs back, end."""


class Dump(msgspec.Struct, frozen=True, tag="dump"):
    """Log the stacks of all tasks and threads, and what the slots do."""


class Resize(msgspec.Struct, frozen=True, tag="resize"):
    """Concurrency above or below what the settings say, by so many, for each queue of the child."""

    by: int


class LogLevel(msgspec.Struct, frozen=True, tag="level"):
    level: str


class Reread(msgspec.Struct, frozen=True, tag="reread"):
    """Read the settings again; what is invalid keeps the old ones."""


class Reopen(msgspec.Struct, frozen=True, tag="reopen"):
    """The file of the log was moved away: open the one that has its name now."""


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """These worker ids are dead for Redis: what they run is somebody else's now."""

    queue: str
    workers: tuple[WorkerId, ...]


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """Jobs that were flagged, as the last beat saw it: the net below the published message."""

    queue: str
    flags: Mapping[JobId, str]
    """"c" cancelled, "r" removed."""


Command = (
    Setup
    | Pulse
    | Quiet
    | Stop
    | Now
    | Dump
    | Resize
    | LogLevel
    | Reread
    | Reopen
    | Gone
    | Cancelled
)


class ChildState(StrEnum):
    """Where a child stands; it only ever goes down this list, but for QUIET and RUNNING."""

    STARTING = "starting"
    RUNNING = "running"
    QUIET = "quiet"
    DRAINING = "draining"


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The app is imported, and this is where it keeps its queues: code may say what settings do
    not."""

    redis: str
    origin: str
    prefix: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The lifespan has begun, and the workers are about to claim."""

    queues: Mapping[str, Keeps]
    """What only the application knows of its queues, and the daemon has to for their upkeep."""
    named: Mapping[str, str] = {}
    """Its workers by queue, by the ids that people know: no lane's."""
    failed_before: int | None = None
    """Jobs of these queues that had failed before the first claim, if it was to count them."""


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """The loop turns. Worker ids by queue: the daemon beats for exactly these.

    `turned_ms`: since the worker that turned last but longest ago; None: none has turned yet.
    """

    number: int
    state: ChildState
    workers: Mapping[str, tuple[WorkerId, ...]] = {}
    slots: int = 0
    busy: int = 0
    stuck: int = 0
    jobs_done: int = 0
    turned_ms: int | None = None
    calls: Calls = Calls()
    """Of its connections to Redis, since it began."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The child cannot start, and says why as the command line would."""

    code: int
    message: str


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    """The child ends of its own accord. `abandoned`: jobs that ran on and were not handed back."""

    abandoned: int = 0


Report = Loaded | Ready | Tick | Failed | Bye

In = TypeVar("In")
Out = TypeVar("Out")

_DROPPABLE: Final = (Pulse, Tick)  # the next one says the same, or better


class Pipe(Generic[In, Out]):
    """One end. `send` is for one thread, `receive` for one thread, not necessarily the same."""

    def __init__(self, end: socket.socket, reads: msgspec.msgpack.Decoder[In]) -> None:
        end.setblocking(False)
        self._socket = end
        self._decoder = reads
        self._encoder = msgspec.msgpack.Encoder()
        self._read = bytearray()
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self.closed = False
        """The other side is gone, or was given up: nothing arrives there any more."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Out) -> bool:
        """Hands a message to the other side, without waiting; False if it will not arrive.

        While the other side does not read, ticks and pulses are dropped and all else is kept.
        """
        body = self._encoder.encode(message)
        assert len(body) <= FRAME_BYTES_MAX
        if self.flush() or not isinstance(message, _DROPPABLE):
            self._pending.append(_LENGTH.pack(len(body)) + body)
            self._pending_bytes += len(body) + _LENGTH.size
            if self._pending_bytes > PENDING_BYTES_MAX:
                self.close()
            self.flush()
            return not self.closed
        return False

    def flush(self) -> bool:
        """Sends what was kept, as far as the other side reads; whether nothing is left."""
        while self._pending and not self.closed:
            data = self._pending[0]
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                return False
            except OSError:
                self.close()
                return False
            self._pending_bytes -= sent
            if sent < len(data):
                # The rest of a message stays in front: half a message would end the conversation.
                self._pending[0] = data[sent:]
                return False
            self._pending.popleft()
        return not self.closed

    def receive(self, *, one: bool = False) -> list[In]:
        """The messages that are there (`one`: the next), without waiting.

        Raises EOFError when the other side is gone and all that it said was read.
        """
        messages = self._whole_messages(one=one)
        for _ in range(0 if one and messages else _READS_MAX):
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                if messages:
                    break  # they first; the end is still there at the next call
                raise EOFError("the other side is gone")
            self._read += data
            messages += self._whole_messages(one=one)
            if one and messages:
                break
        return messages

    def _whole_messages(self, *, one: bool) -> list[In]:
        messages: list[In] = []
        while len(self._read) >= _LENGTH.size and not (one and messages):
            (length,) = _LENGTH.unpack_from(self._read)
            if length > FRAME_BYTES_MAX:
                raise EOFError(f"a message of {length} bytes")
            if len(self._read) < _LENGTH.size + length:
                break
            body = bytes(self._read[_LENGTH.size : _LENGTH.size + length])
            del self._read[: _LENGTH.size + length]
            messages.append(self._decoder.decode(body))
        return messages

    def close(self) -> None:
        """Ends the conversation: the other side reads its end."""
        if not self.closed:
            self.closed = True
            self._pending.clear()
            self._pending_bytes = 0
            # The descriptor stays until `release`: another thread may be waiting on it.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Closes, and gives the descriptor back."""
        self.close()
        self._socket.close()


def daemon_end(end: socket.socket) -> Pipe[Report, Command]:
    """The daemon's end: it reads reports and sends commands."""
    return Pipe(end, msgspec.msgpack.Decoder(Report))


def child_end(end: socket.socket) -> Pipe[Command, Report]:
    """The child's end: it reads commands and sends reports."""
    return Pipe(end, msgspec.msgpack.Decoder(Command))
