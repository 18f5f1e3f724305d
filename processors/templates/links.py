"""Links in mails: which can stand in one at all, and which hosts they may lead to."""

import re
from urllib.parse import urlsplit

from processors.clients.mailbox import MailRefused

LINK_CHARS_MAX = 2_048
_SCHEMES = ("https", "http")
_HOST = re.compile(r"[a-z0-9.-]{1,253}|[0-9a-f:.]{2,45}")
# Blanks and controls, quotes and brackets, and the backslash, which browsers read as a slash.
_REFUSED = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\"'<>`\\]")


def link_host(link: str, field: str) -> str:
    """The host of an absolute http(s) link, in lower case; MailRefused if it is none, or names a
    user.
    """
    if len(link) > LINK_CHARS_MAX or _REFUSED.search(link):
        raise MailRefused(field, f"is no link, or longer than {LINK_CHARS_MAX} characters")
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
        _ = parts.port  # raises for one that is no number
    except ValueError:
        raise MailRefused(field, "is no link") from None
    if parts.scheme not in _SCHEMES or _HOST.fullmatch(host) is None:
        raise MailRefused(field, "is no link; give a whole one: https://app.example.com/path")
    if "@" in parts.netloc:
        raise MailRefused(field, "names a user before its host, which readers take for the host")
    return host


def check_host(link: str, field: str, allowed: frozenset[str]) -> None:
    """MailRefused unless the link leads to one of the hosts that the operator named."""
    host = link_host(link, field)
    if host not in allowed:
        raise MailRefused(
            field,
            f"leads to {host}, and mails may lead only to {', '.join(sorted(allowed))}"
            " (APP_URL and MAIL_LINK_HOSTS)",
        )
