"""No page of another site makes a browser change anything here with its visitor's session.

Browsers say where a request comes from, in headers that no page can write. No token in a form is
needed for that, and none can be lost or leak.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from admin.access.refusals import FromElsewhere
from admin.policy import Method, Open, Row, Via, Who

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


async def same_origin(request: Request, row: Row, who: Who | None) -> None:
    """A `Guard`. Raises FromElsewhere.

    A bearer token is written by a program into its request: no browser adds it by itself. Without a
    cookie, a header that only browsers send, and anything that a page could send unasked (the body
    has to be JSON), it is no browser: so `curl` can log in.
    """
    if row.method is Method.GET:  # changes nothing: see Row
        return
    if row.needs is not Open.ANYONE and (who is None or who.via is not Via.SESSION):
        return  # a program, or a stranger, who is sent away all the same
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site == "same-origin":
            return
        raise FromElsewhere(f"A browser says that this came from elsewhere ({_known(site)}).")
    origin = request.headers.get("origin")
    if origin is not None:
        if _is_own(origin, request.headers.get("host", "")):
            return
        raise FromElsewhere("The header Origin names another site than this one.")
    if row.needs is Open.ANYONE and "cookie" not in request.headers:
        return
    raise FromElsewhere(
        "With a session, say where you are: a header Origin with this site's own address."
        " A program is better off with a token."
    )


def _known(site: str) -> str:
    return site if site in ("same-site", "cross-site", "none") else "unknown"


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is that of the host that was asked for; its scheme a proxy may change."""
    try:
        said = urlsplit(origin)
        own = urlsplit(f"{said.scheme}://{host}")
        default = DEFAULT_PORTS[said.scheme]
        same_port = (said.port or default) == (own.port or default)
    except (ValueError, KeyError):
        return False
    if said.path or said.query or said.fragment or said.username is not None:
        return False  # no browser writes such an Origin
    return same_port and said.hostname is not None and said.hostname == own.hostname
