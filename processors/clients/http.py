"""The only way out by HTTP: to checked addresses, within a budget, following nobody.

    answer = await shared.http.send("POST", url, body=payload, headers={...})
    answer.check("the webhook of Sol")     # 2xx, or Retry / HttpUnavailable / Fail

Redirects are not followed (3xx is an answer like any other), proxies of the environment are not
asked, and compressed answers are refused: we say that we take none, and a bomb is one.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from processors.clients.addresses import Refused, Target, addresses_of, target_of
from processors.clients.delivery import printable
from streamq import Fail, Retry
from streamq.errors import MissingExtra

if find_spec("httpx2") is None:
    raise MissingExtra("calls by HTTP", "httpx2", "processors")
if TYPE_CHECKING:
    import httpx2

__all__ = ["Answer", "Http", "HttpUnavailable", "Refused"]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

CONNECT_LIMIT_S: Final = 5.0
TOTAL_LIMIT_S: Final = 15.0
"""From the name's look-up to the last byte."""
BYTES_MAX: Final = 64 * 1024
"""Of an answer's body, unless the caller takes more."""
HEADER_BYTES_MAX: Final = 16 * 1024
BODY_BYTES_MAX: Final = 8 * 1024**2
"""Of what we send, unless the caller has more."""
CONNECTIONS: Final = 20
ADDRESSES_TRIED_MAX: Final = 2
RETRY_AFTER_MAX: Final = timedelta(hours=1)
"""Whatever a server asks for: a job that waits for days is lost to its users."""
_AT_ONCE: Final = timedelta(0)
_SECONDS: Final = re.compile(r"-?[0-9]+")
_ENDLESS_HEAD: Final = "Receive buffer too long"  # h11's words, at 100 kB
_NO_HEADERS: Final[Mapping[str, str]] = {}


class HttpUnavailable(Exception):
    """Not now: no such name, not reached, too slow, broken off, or 5xx. It may go through later.

    Of a request that was sent nobody knows whether it was obeyed: send one that is safe to repeat.
    """


class Answer(msgspec.Struct, frozen=True):
    """What came back; `headers` by their names in lower case, the last of several."""

    target: Target
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def said(self) -> str:
        """The body's beginning, printable, for an operator's eyes; never for a tenant's."""
        return printable(self.body[:1_024].decode(errors="replace"))

    def retry_after(self, now: datetime | None = None) -> timedelta | None:
        """What Retry-After asks for, from nothing to an hour; None: it does not ask."""
        asked = self.headers.get("retry-after", "").strip()
        if _SECONDS.fullmatch(asked):
            seconds = min(int(asked[:12]), RETRY_AFTER_MAX.total_seconds())
            return max(timedelta(seconds=seconds), _AT_ONCE)
        try:
            at = parsedate_to_datetime(asked)
        except ValueError:
            return None
        wait = at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))
        return min(max(wait, _AT_ONCE), RETRY_AFTER_MAX)

    def check(self, what: str) -> None:
        """Nothing for 2xx. 429 and 5xx raise Retry (where the server says when) or
        HttpUnavailable, all else Fail; `what` names whom we called.
        """
        if self.ok:
            return
        told = f"{what} ({self.target}) answered {self.status}"
        if self.status == 429 or self.status >= 500:
            if (after := self.retry_after()) is not None:
                raise Retry(after=after, reason=told)
            raise HttpUnavailable(told)
        if 300 <= self.status < 400:
            raise Fail(f"{told}: it moved, and redirects are not followed; set its new address")
        raise Fail(f"{told}: it will not take this request; {self.said[:200]}")


class Http:
    """Calls of one worker process. `private`: `host:port` that may be called though they are not
    public; `tls`: other certificates than the system's.
    """

    def __init__(
        self, private: frozenset[str] = frozenset(), *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._private = private
        self._tls = tls

    async def send(
        self,
        method: Method,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] = _NO_HEADERS,
        bytes_max: int = BYTES_MAX,
        body_bytes_max: int = BODY_BYTES_MAX,
        total_limit_s: float = TOTAL_LIMIT_S,
    ) -> Answer:
        """One request, and its answer whatever its status.

        Raises Refused (that URL, that answer, never) and HttpUnavailable (not now).
        """
        if len(body) > body_bytes_max:
            raise Refused(f"a body of {len(body)} bytes, at most {body_bytes_max} are sent")
        target = target_of(url, self._private)
        try:
            async with asyncio.timeout(total_limit_s):
                return await self._sent(target, method, body, headers, bytes_max)
        except TimeoutError as error:
            raise HttpUnavailable(f"{target} took more than {total_limit_s:g} s") from error

    async def aclose(self) -> None:
        if "_client" in self.__dict__:
            await self._client.aclose()

    async def _sent(
        self,
        target: Target,
        method: Method,
        body: bytes,
        headers: Mapping[str, str],
        bytes_max: int,
    ) -> Answer:
        try:
            addresses = await addresses_of(target, self._private)
        except OSError as error:
            raise HttpUnavailable(f"{target}: its name is not found now: {error}") from error
        reason = "no address"
        for address in addresses[:ADDRESSES_TRIED_MAX]:
            request = self._request(target, address, method, body, headers)
            try:
                return await self._exchanged(target, request, bytes_max)
            except _unreached() as error:
                reason = str(error) or type(error).__name__
        raise HttpUnavailable(f"{target} was not reached: {reason}")

    def _request(
        self,
        target: Target,
        address: str,
        method: Method,
        body: bytes,
        headers: Mapping[str, str],
    ) -> "httpx2.Request":
        ours = {
            "host": target.host_header,
            "accept-encoding": "identity",
            "user-agent": "ImobiBase-jobs/1",
        }
        theirs = {name.lower(): value for name, value in headers.items()}
        return self._client.build_request(
            method,
            target.at(address),
            headers=theirs | ours,
            content=body,
            # The certificate must be the name's, though the address is called.
            extensions={"sni_hostname": target.host},
        )

    async def _exchanged(self, target: Target, request: "httpx2.Request", bytes_max: int) -> Answer:
        import httpx2

        try:
            response = await self._client.send(request, stream=True)
            try:
                return await _read(target, response, bytes_max)
            finally:
                await response.aclose()
        except _unreached():
            raise
        except httpx2.RemoteProtocolError as error:
            if _ENDLESS_HEAD in str(error):
                raise Refused(f"{target} sent headers without an end") from error
            raise HttpUnavailable(f"{target} broke off: {error}") from error
        except httpx2.RequestError as error:
            why = str(error) or type(error).__name__
            raise HttpUnavailable(f"{target} broke off: {why}") from error

    @cached_property
    def _client(self) -> "httpx2.AsyncClient":
        import httpx2

        return httpx2.AsyncClient(
            verify=self._tls or ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(TOTAL_LIMIT_S, connect=CONNECT_LIMIT_S),
            # No connection is kept: one that was opened for a name would serve another name at
            # the same address, unchecked.
            limits=httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0),
        )


async def _read(target: Target, response: "httpx2.Response", bytes_max: int) -> Answer:
    size = sum(len(name) + len(value) for name, value in response.headers.raw)
    if size > HEADER_BYTES_MAX:
        raise Refused(f"{target} sent {size} bytes of headers, at most {HEADER_BYTES_MAX} are read")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Refused(f"{target} sent an answer in {encoding[:20]}, though we take none")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > bytes_max:
            raise Refused(f"{target} sent more than {bytes_max} bytes")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(target, response.status_code, headers, bytes(body))


def _unreached() -> "tuple[type[httpx2.RequestError], ...]":
    """What is raised while nothing was sent yet: another address may be tried."""
    import httpx2

    return (httpx2.ConnectError, httpx2.ConnectTimeout)
