"""The network of a simulation: connections whose every message has a fate that the seed decides.

A client's side is an asyncio transport under the engine's real connection; the server's side takes
commands in their order, and blocks in a pop as Redis does.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

import hiredis
import msgspec

from streamq.testing.sim.loop import OUTSIDE, Process, SimLoop, current_process

Command = list[bytes]
Carried = Callable[[Command, Process], bytes]
"""Carries out a command on the server for a process; the reply as bytes."""
Popped = Callable[[Sequence[bytes]], bytes | None]
"""The reply to a blocking pop of these lists; None: they are empty."""

KEEPALIVE_S: Final = 15.0  # until a server notices that the other side is silent
ORDERED: Final = frozenset({b"EVALSHA", b"BLPOP"})
"""What may be held back: the order of the rest does not matter."""
GAP_S: Final = 1e-6  # between two messages of one connection: they arrive in their order


class Weather(msgspec.Struct, frozen=True):
    """What may become of a message, as chances; delays in seconds."""

    latency_s: float = 0.0005
    slow: float = 0.0
    slow_s: float = 3.0
    lose_request: float = 0.0
    lose_reply: float = 0.0
    silence: float = 0.0
    """The connection says nothing more, and nobody is told."""
    late_copy: float = 0.0
    late_s: float = 20.0


FINE: Final = Weather()


class Network:
    """All connections. `away`: nobody can connect, and nobody is connected."""

    def __init__(self, loop: SimLoop, rng: Random, carry: Carried, pop: Popped) -> None:
        self._loop, self._rng = loop, rng
        self.carry, self.pop = carry, pop
        self.weather = FINE
        self.away = False
        self.open: list[Connection] = []
        self.blocked: list[Connection] = []
        """Who waits in a pop, the longest first."""
        self.faults: dict[str, int] = {}
        self.held: list[tuple[Connection, list[Command]]] | None = None
        """Requests that somebody else lets arrive, one by one; None: they arrive by themselves."""
        loop.connector = self._connected

    def _connected(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        if self.away:
            raise ConnectionRefusedError(111, "Connection refused")
        connection = Connection(self, self._loop, current_process(), protocol)
        self.open.append(connection)
        connection.process.on_death.append(connection.hang_up)
        return connection

    def happened(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def chance(self, part: float) -> bool:
        return part > 0 and self._rng.random() < part

    def latency_s(self) -> float:
        w = self.weather
        if self.chance(w.slow):
            self.happened("slow message")
            return self._rng.random() * w.slow_s
        return w.latency_s * (0.2 + self._rng.random())

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop.call_later(seconds, call, context=OUTSIDE.context)

    def late_copy(self, commands: Sequence[Command], process: Process) -> None:
        """The same request once more, when nobody waits for it."""
        self.happened("late copy")

        def arrives() -> None:
            if self.away:
                return
            for command in commands:
                if command[0] == b"BLPOP":
                    self.pop(command[1:-1])  # a token that nobody will read
                else:
                    self.carry(command, process)
            self.serve()

        self.later(self._rng.random() * self.weather.late_s, arrives)

    def serve(self) -> None:
        """Gives tokens to those who wait in a pop, the longest first, as Redis does."""
        for connection in list(self.blocked):
            connection.try_pop()

    def cut(self) -> None:
        """Every connection breaks."""
        for connection in list(self.open):
            connection.break_off()


class Connection(asyncio.Transport):
    """One connection: the client's transport, and what the server knows of it."""

    def __init__(
        self, network: Network, loop: SimLoop, process: Process, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._network, self._loop, self.process = network, loop, process
        self._protocol = protocol
        self._parser = hiredis.Reader()
        self._inbox: deque[Command] = deque()
        self._waits_for: list[bytes] | None = None
        self._pop: Command = []
        self._to_server_s = self._to_client_s = 0.0
        self._closing = False
        self._broken = False
        """Nothing goes either way any more."""
        self._lost = False
        self._deaf = False
        """The replies to what is sent from now on are lost, and the connection with them."""

    # -- the client's side

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._broken:
            return
        self._parser.feed(bytes(data))
        commands: list[Command] = []
        while (command := self._parser.gets()) is not False:
            commands.append(command)
        if commands:
            self._send(commands)

    def _send(self, commands: list[Command]) -> None:
        network, w = self._network, self._network.weather
        if network.held is not None and commands[0][0] in ORDERED:
            network.held.append((self, commands))
            return
        if commands[0][0] != b"CLIENT":  # the greeting: who cannot connect is told otherwise
            if network.chance(w.silence):
                network.happened("silence")
                self._broken = True
                return
            if network.chance(w.late_copy):
                network.late_copy(commands, self.process)
            if network.chance(w.lose_request):
                network.happened("lost request")
                self.break_off()
                return
            if network.chance(w.lose_reply):
                network.happened("lost reply")
                self._deaf = True
        at = max(self._to_server_s + GAP_S, self._loop.time() + network.latency_s())
        self._to_server_s = at
        self._loop.call_at(at, self._arrive, commands, context=OUTSIDE.context)

    def let_arrive(self, commands: list[Command], *, reply: bool) -> None:
        """A request that was held: it is carried out now; `reply` False: its answer is lost."""
        self._deaf |= not reply
        self._arrive(commands)

    @property
    def gone(self) -> bool:
        """The server knows it no more."""
        return self not in self._network.open

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._tell_lost(None)
            self.hang_up()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        """Nothing here is so large."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def is_reading(self) -> bool:
        return not self._closing

    def _tell_lost(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(
                self._protocol.connection_lost, error, context=self.process.context
            )

    # -- the network between

    def hang_up(self) -> None:
        """The client's end is gone; the server notices a little later."""
        self._closing = True
        delay_s = KEEPALIVE_S if self._broken else self._network.latency_s()
        at = max(self._to_server_s + GAP_S, self._loop.time() + delay_s)
        self._loop.call_at(at, self._forget, context=OUTSIDE.context)

    def break_off(self) -> None:
        """The connection breaks, for both."""
        self._broken = True
        self._forget()
        if not self._closing:
            self._loop.call_at(
                self._loop.time() + self._network.latency_s(), self._reset,
                context=self.process.context,
            )  # fmt: skip

    def _reset(self) -> None:
        self._closing = True
        self._tell_lost(ConnectionResetError(104, "Connection reset by peer"))

    # -- the server's side

    def _forget(self) -> None:
        self._waits_for = None
        self._inbox.clear()
        if self in self._network.blocked:
            self._network.blocked.remove(self)
        if self in self._network.open:
            self._network.open.remove(self)

    def _arrive(self, commands: list[Command]) -> None:
        if self in self._network.open and not self._network.away:
            self._inbox.extend(commands)
            self._work_off()

    def _work_off(self) -> None:
        while self._inbox and self._waits_for is None:
            command = self._inbox.popleft()
            if command[0] == b"BLPOP":
                self._waits_for = command[1:-1]
                self._network.blocked.append(self)
                self._network.later(float(command[-1]), partial(self._time_out, command))
                self._pop = command
                self.try_pop()
            else:
                self._answer(self._network.carry(command, self.process))
                self._network.serve()

    def try_pop(self) -> None:
        if self._waits_for is None:
            return
        token = self._network.pop(self._waits_for)
        if token is not None:
            self._unblock(token)

    def _time_out(self, command: Command) -> None:
        if self._waits_for is not None and self._pop is command:
            self._unblock(b"*-1\r\n")

    def _unblock(self, reply: bytes) -> None:
        self._waits_for = None
        self._network.blocked.remove(self)
        self._answer(reply)
        self._work_off()

    def _answer(self, reply: bytes) -> None:
        if self._broken or self._closing:
            return
        if self._deaf:
            self.break_off()
            return
        at = max(self._to_client_s + GAP_S, self._loop.time() + self._network.latency_s())
        self._to_client_s = at
        self._loop.call_at(at, self._deliver, reply, context=self.process.context)

    def _deliver(self, reply: bytes) -> None:
        if not self._closing and not self._broken:
            self._protocol.data_received(reply)
