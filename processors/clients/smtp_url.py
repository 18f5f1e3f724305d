"""SMTP_URL: where the mail server is, how the way there is secured, and who we are to it."""

import re
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

REPLY_S_DEFAULT = 30.0
REPLY_S_MAX = 600.0
_URL_CHARS_MAX = 2_000
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORMS = (
    "smtp://host:25, smtp+starttls://user:password@host:587 or smtps://user:password@host:465, "
    "with ?starttls=auto|required|off, ?timeout=SECONDS, ?cafile=PATH"
)


class Security(StrEnum):
    """How the connection is secured. Certificates are verified wherever there is TLS; nothing turns
    that off.
    """

    TLS = "tls"  # from the first byte: smtps://
    STARTTLS = (
        "starttls"  # upgraded before anything is said; a server that offers none gets no mail
    )
    AUTO = "auto"  # upgraded if the server offers it
    PLAIN = "plain"


_PORTS = {Security.TLS: 465, Security.STARTTLS: 587, Security.AUTO: 25, Security.PLAIN: 25}
_SCHEMES = {
    "smtps": Security.TLS,
    "smtp+starttls": Security.STARTTLS,
    "smtp": Security.AUTO,
}
_STARTTLS = {
    "required": Security.STARTTLS,
    "auto": Security.AUTO,
    "off": Security.PLAIN,
}


class InvalidSmtpUrl(ValueError):
    """SMTP_URL cannot be used. The message never holds the URL: it may hold a password."""


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server as SMTP_URL gives it. `reply_s` is how long one answer may take, in seconds."""

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str = ""
    cafile: str | None = None
    reply_s: float = REPLY_S_DEFAULT

    def __repr__(self) -> str:
        return f"SmtpServer({self})"

    def __str__(self) -> str:
        """Where it is, without who we are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port} ({self.security})"


def parse_smtp_url(url: str) -> SmtpServer:
    """The server of an SMTP_URL; user and password are percent-decoded.

    Raises InvalidSmtpUrl, also for a password that would cross a network unencrypted: with a login,
    `smtp://` to another host than this one means STARTTLS or nothing.
    """
    parts = _split(url)
    options = _options(parts)
    security = _security(parts.scheme, options.get("starttls"))
    host = _host(parts)
    username = _decoded(parts.username, "user") if parts.username else None
    if username is not None and not _is_loopback(host):
        if security is Security.PLAIN:
            raise InvalidSmtpUrl(
                "its password would go to another host unencrypted; drop ?starttls=off"
            )
        if security is Security.AUTO:
            security = Security.STARTTLS
    return SmtpServer(
        host=host,
        port=_port(parts) or _PORTS[security],
        security=security,
        username=username,
        password=_decoded(parts.password, "password") if parts.password else "",
        cafile=options.get("cafile"),
        reply_s=_seconds(options["timeout"]) if "timeout" in options else REPLY_S_DEFAULT,
    )


def _split(url: str) -> SplitResult:
    if len(url) > _URL_CHARS_MAX or not url.isascii() or _CONTROL.search(url) or " " in url:
        raise InvalidSmtpUrl(f"it is not a URL; write {_FORMS}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidSmtpUrl(f"it is not a URL; write {_FORMS}") from None
    if parts.scheme not in _SCHEMES:
        raise InvalidSmtpUrl(f"its scheme is none of {', '.join(_SCHEMES)}; write {_FORMS}")
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidSmtpUrl(
            "something follows its host; in user and password write"
            " / as %2F, # as %23, ? as %3F, @ as %40"
        )
    return parts


def _options(parts: SplitResult) -> dict[str, str]:
    if not parts.query:
        return {}
    if "@" in parts.query:  # then what stands here is the second half of a password
        raise InvalidSmtpUrl("in user and password write ? as %3F and @ as %40")
    try:
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        raise InvalidSmtpUrl(f"what follows its ? cannot be read; write {_FORMS}") from None
    if unknown := options.keys() - {"starttls", "timeout", "cafile"}:
        raise InvalidSmtpUrl(
            f"it has an unknown option {sorted(unknown)[0][:40]!r}; write {_FORMS}"
        )
    return options


def _security(scheme: str, starttls: str | None) -> Security:
    security = _SCHEMES[scheme]
    if starttls is None:
        return security
    wanted = _STARTTLS.get(starttls)
    if wanted is None:
        raise InvalidSmtpUrl("its starttls is none of required, auto, off")
    if security is not Security.AUTO and wanted is not security:
        raise InvalidSmtpUrl(
            f"{scheme}:// and starttls={starttls} contradict each other; write smtp://"
        )
    return wanted


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        try:
            return str(ip_address(host))
        except ValueError:
            raise InvalidSmtpUrl("its host is no address") from None
    if _HOST.fullmatch(host) is None:
        raise InvalidSmtpUrl(f"it names no host; write {_FORMS}")
    return host


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:  # its text shows what stands there, which may be half of a password
        raise InvalidSmtpUrl("its port is no number from 1 to 65535") from None
    if port == 0:
        raise InvalidSmtpUrl("its port is no number from 1 to 65535")
    return port


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= REPLY_S_MAX:
        raise InvalidSmtpUrl(f"its timeout is no number of seconds up to {REPLY_S_MAX:.0f}")
    return seconds


def _decoded(text: str, what: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidSmtpUrl(f"its {what} is percent-encoded, but not from UTF-8") from None
    if _CONTROL.search(decoded):
        raise InvalidSmtpUrl(f"its {what} holds a control character")
    return decoded


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
