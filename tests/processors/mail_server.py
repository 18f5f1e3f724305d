"""A real SMTP server on this machine (aiosmtpd) that answers as a test tells it to."""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HANG: Final = "hang"
"""Says nothing until the client gives up."""
DROP: Final = "drop"
"""Takes what it was given, then closes the connection without an answer."""
EVERYONE: Final = "*"

USER: Final = "mailer"
PASSWORD: Final = "p@ss/word:%41#"


class Mail(msgspec.Struct, frozen=True):
    """One mail as it arrived: its envelope, its bytes, and how it came."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    options: tuple[str, ...]


class MailServer:
    """What arrived, and what is to be answered. Answers not told are yes."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[Mail] = []
        self.connections = 0
        self.hanging = 0
        self._protocols: list[SMTP] = []
        self._answers: dict[tuple[str, str], deque[str]] = defaultdict(deque)

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return sum(protocol.transport is not None for protocol in self._protocols)

    def connected(self, protocol: SMTP) -> None:
        self.connections += 1
        self._protocols.append(protocol)

    def disconnect(self) -> None:
        """Cut all connections, without a word."""
        for protocol in self._protocols:
            _abort(protocol)

    def answer(self, phase: str, *replies: str, to: str = EVERYONE) -> None:
        """The next replies to MAIL, RCPT (for one recipient, or whoever) or the text (DATA)."""
        self._answers[phase, to].extend(replies)

    async def handle_MAIL(
        self,
        server: SMTP,
        session: object,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self._answer(server, "MAIL", address)

    async def handle_RCPT(
        self,
        server: SMTP,
        session: object,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        reply = await self._answer(server, "RCPT", address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert server.transport is not None
        assert envelope.mail_from is not None
        assert envelope.original_content is not None
        mail = Mail(
            envelope.mail_from,
            tuple(envelope.rcpt_tos),
            envelope.original_content,
            server.transport.get_extra_info("sslcontext") is not None,
            tuple(envelope.mail_options),
        )
        reply = await self._answer(server, "DATA", EVERYONE, taken=mail)
        if reply.startswith("250"):
            self.mails.append(mail)
        return reply

    async def _answer(self, server: SMTP, phase: str, who: str, taken: Mail | None = None) -> str:
        told = self._answers[phase, who] or self._answers[phase, EVERYONE]
        reply = told.popleft() if told else "250 OK"
        if reply == HANG:
            self.hanging += 1
            await asyncio.Event().wait()
        if reply == DROP:
            if taken is not None:
                self.mails.append(taken)
            _abort(server)
            return "451 nobody hears this"
        return reply


@asynccontextmanager
async def running(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    login: bool = False,
    size_bytes_max: int | None = None,
) -> AsyncIterator[MailServer]:
    """A mail server on a free port of 127.0.0.1, with `tls` from the first byte or on request."""
    mail_server = MailServer()

    def connected() -> asyncio.BaseProtocol:
        protocol = SMTP(
            mail_server,
            hostname="mail.test",
            ident="test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=login,
            authenticator=_authenticate if login else None,
            data_size_limit=size_bytes_max,
            loop=asyncio.get_running_loop(),
        )
        mail_server.connected(protocol)
        return protocol

    listening = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, ssl=tls)
    mail_server.port = listening.sockets[0].getsockname()[1]
    try:
        yield mail_server
    finally:
        listening.close()
        mail_server.disconnect()
        await listening.wait_closed()
        await asyncio.sleep(0)  # connections are told that they are lost by the loop's next turn


@asynccontextmanager
async def speaking(*lines: bytes) -> AsyncIterator[int]:
    """The port of a server that says one of `lines` at once, and one for each line it is sent, and
    then nothing more: for what aiosmtpd cannot be told to do.
    """
    open_now: set[asyncio.StreamWriter] = set()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        for line in lines:
            writer.write(line)
            await reader.readline()
        await reader.read()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_now:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def _abort(connection: SMTP) -> None:
    if isinstance(connection.transport, asyncio.WriteTransport):
        connection.transport.abort()


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    right = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == right, handled=False)
