"""The transport of production: letters over SMTP, on connections kept for the next letter."""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator

import msgspec

from processors.clients.delivery import (
    Delivery,
    DeliveryDeferred,
    DeliveryError,
    DeliveryRefused,
    DeliveryUnknown,
    Letter,
    Reply,
    printable,
)
from processors.clients.smtp_url import Security, SmtpServer
from streamq.errors import MissingExtra

try:
    import aiosmtplib
except ModuleNotFoundError as error:
    raise MissingExtra("mails", "aiosmtplib", "processors") from error

DELIVERY_S_MAX = 120.0  # one letter, with its connection, its 100 recipients and its attachments
_QUIT_S = 2.0
# Servers hang up on idle clients after 30 s to 5 min; one that is about to would cost the next
# letter a reconnect.
_IDLE_S = 20.0
_IDLE_MAX = 10  # the queue's concurrency: with all slots busy each letter finds one
# Some providers refuse to go on after 100; starting anew costs little at that length.
_LETTERS_A_CONNECTION_MAX = 50

_REPLY_SERVICE_GONE = 421
_REPLY_NO_ROOM = 552
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class _Connection(msgspec.Struct):
    """A connection of ours and what it was used for."""

    client: aiosmtplib.SMTP
    letters: int = 0
    idle_since_s: float = 0.0  # time.monotonic


class SmtpTransport:
    """Delivers to one mail server. Safe for many letters at once: each has a connection to itself.

    A connection goes back among the idle ones only after a transaction that ended in order; after
    any error, time-out or cancellation it is closed, for what its next answer would belong to is
    not known.
    """

    provider = "smtp"

    def __init__(self, server: SmtpServer, *, delivery_s: float = DELIVERY_S_MAX) -> None:
        self._server = server
        self._delivery_s = delivery_s
        self._idle: list[_Connection] = []
        self._tls = ssl.create_default_context(cafile=server.cafile)
        # Not the library's default: it asks the resolver for our full name, which may take its
        # time.
        ours = socket.gethostname()
        self._our_name = ours if _HOSTNAME.fullmatch(ours) else "localhost"

    async def deliver(self, letter: Letter) -> Delivery:
        """Send one letter to all of its recipients in one transaction.

        Recipients refused one by one are told in the result. Raises DeliveryDeferred (4xx, not
        reached, no answer in time), DeliveryUnknown (broken after the text was under way),
        DeliveryRefused (5xx).
        """
        try:
            async with asyncio.timeout(self._delivery_s):
                return await self._deliver(letter)
        except TimeoutError as error:
            raise DeliveryUnknown(
                f"{self._server} took longer than {self._delivery_s:.0f} s for one letter"
            ) from error

    async def aclose(self) -> None:
        """Say goodbye on the idle connections, and wait at most 2 s for an answer."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(connection.client) for connection in idle))

    async def _deliver(self, letter: Letter) -> Delivery:
        async with self._begun(letter) as connection:
            client = connection.client
            deferred: dict[str, Reply] = {}
            refused: dict[str, Reply] = {}
            for recipient in letter.recipients:
                reply = await self._name_recipient(client, recipient)
                if reply is not None:
                    (deferred if _may_pass(reply) else refused)[recipient] = reply
            delivered = tuple(
                one for one in letter.recipients if one not in deferred and one not in refused
            )
            note = await self._send(client, letter) if delivered else await self._reset(client)
            return Delivery(delivered=delivered, deferred=deferred, refused=refused, note=note)

    @contextlib.asynccontextmanager
    async def _begun(self, letter: Letter) -> AsyncIterator[_Connection]:
        """A connection on which the letter's transaction is open; kept afterwards if all went in
        order.
        """
        connection = await self._open_transaction(letter)
        try:
            yield connection
        except BaseException:
            connection.client.close()
            raise
        connection.letters += 1
        connection.idle_since_s = time.monotonic()
        # No await from here on, not even to say goodbye: a cancellation that met it would take the
        # result away, and the letter would go out twice.
        if connection.client.is_connected and len(self._idle) < _IDLE_MAX:
            self._idle.append(connection)
        else:
            connection.client.close()

    async def _open_transaction(self, letter: Letter) -> _Connection:
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._named_sender(connection, letter)
            except DeliveryDeferred:
                # The server hung up while it lay idle, and likely on the others too. Nothing was
                # sent yet, so a new connection may try.
                self._drop_idle()
        return await self._named_sender(_Connection(await self._connect()), letter)

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            idle_s = time.monotonic() - connection.idle_since_s
            if idle_s < _IDLE_S and connection.letters < _LETTERS_A_CONNECTION_MAX:
                return connection
            connection.client.close()
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().client.close()

    async def _named_sender(self, connection: _Connection, letter: Letter) -> _Connection:
        client = connection.client
        options = [f"SIZE={len(letter.content)}"] if client.supports_extension("size") else []
        try:
            await client.mail(letter.sender, options=options)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise self._judged(error, f"did not take mail from {letter.sender}") from error
        except BaseException:
            client.close()
            raise
        return connection

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password if server.username is not None else None,
            local_hostname=self._our_name,
            timeout=server.reply_s,
            use_tls=server.security is Security.TLS,
            start_tls={Security.STARTTLS: True, Security.AUTO: None}.get(server.security, False),
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                # Now and not with the first command, for the first letter's SIZE.
                await _greet(client)
        except aiosmtplib.SMTPAuthenticationError as error:
            raise self._judged(error, "refused the login in SMTP_URL") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise self._judged(error, "did not open a session") from error
        except BaseException:
            client.close()
            raise
        return client

    async def _name_recipient(self, client: aiosmtplib.SMTP, recipient: str) -> Reply | None:
        """None if the server takes mail for this recipient, else what it said."""
        try:
            await client.rcpt(recipient)
        except aiosmtplib.SMTPRecipientRefused as error:
            if error.code == _REPLY_SERVICE_GONE:
                # The server leaves, and takes what it said of the recipients before with it.
                raise self._judged(error, f"stopped at recipient {recipient}") from error
            return Reply(error.code, printable(error.message))
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._judged(error, f"stopped at recipient {recipient}") from error
        return None

    async def _send(self, client: aiosmtplib.SMTP, letter: Letter) -> str:
        try:
            reply = await client.data(letter.content)
        except (aiosmtplib.SMTPException, OSError) as error:
            # Only 4xx and 5xx say that it does not have the mail; any other answer says nothing.
            if isinstance(error, aiosmtplib.SMTPResponseException) and 400 <= error.code <= 599:
                raise self._judged(error, "did not take the text of the mail") from error
            raise DeliveryUnknown(
                f"{self._server} broke off while it took the mail ({printable(str(error))});"
                f" whether it has {letter.message_id} is not known"
            ) from error
        return f"{self._server}: {reply.code} {printable(reply.message)}"

    async def _reset(self, client: aiosmtplib.SMTP) -> str:
        """Drop a transaction that has no recipient left, so that the connection can go on."""
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            client.close()
        return f"{self._server}: no recipient taken"

    def _judged(self, error: Exception, what: str) -> DeliveryError:
        """An error of the library in our words: 5xx is final, everything else may pass."""
        if isinstance(error, aiosmtplib.SMTPResponseException):
            reply = Reply(error.code, printable(error.message))
            kind = DeliveryDeferred if _may_pass(reply, recipient=False) else DeliveryRefused
            return kind(f"{self._server} {what}: {reply}")
        return DeliveryDeferred(
            f"{self._server} {what}: {printable(str(error)) or type(error).__name__}"
        )


def _may_pass(reply: Reply, *, recipient: bool = True) -> bool:
    """Whether a later attempt may go through: all but 5xx, which is the server's word for never.

    At a recipient 552 is an old way to say "too many at once" and counts as 452 (RFC 5321,
    4.5.3.1.10).
    """
    return not 500 <= reply.code <= 599 or (recipient and reply.code == _REPLY_NO_ROOM)


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:  # older than ESMTP, or 421: then this says so too
        await client.helo()


async def _quit(client: aiosmtplib.SMTP) -> None:
    # Whatever answers, or does not, the letter before was settled: this is courtesy, and bounded.
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=_QUIT_S)
    client.close()
