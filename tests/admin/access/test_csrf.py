"""No other site's page changes anything here. Controls 11, 12 (login) and 13 of security.md."""

import pytest
from redis.asyncio import Redis

from admin.access.landing import landing
from admin.access.routes import ACCESS_ROUTES
from admin.app import AdminApp, routed
from admin.policy import Method, Open, Role
from tests.admin.access.people import NAMES, PASSWORD, TOKENS, URL, browser, client, log_in
from tests.admin.office import Office
from tests.admin.rows import path_of

PAUSE = "/api/admin/jobs/pause/email"
LOGIN = "/api/admin/login"
BODY = {"username": NAMES[Role.ADMIN], "password": PASSWORD}

Headers = dict[str, str]

# What a browser, or somebody who plays one, says of where a request comes from; and whether a
# session's change, and a login without any cookie, go through.
MATRIX: list[tuple[Headers, bool, bool]] = [
    ({"Sec-Fetch-Site": "same-origin"}, True, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": URL}, True, True),
    ({"Sec-Fetch-Site": "same-site"}, False, False),
    ({"Sec-Fetch-Site": "cross-site"}, False, False),
    ({"Sec-Fetch-Site": "none"}, False, False),
    ({"Sec-Fetch-Site": ""}, False, False),
    ({"Sec-Fetch-Site": "Same-Origin"}, False, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": URL}, False, False),
    # On plain http browsers say no Sec-Fetch-Site.
    ({"Origin": URL}, True, True),
    ({"Origin": "HTTP://127.0.0.1:5000"}, True, True),
    ({"Origin": "https://127.0.0.1:5000"}, True, True),  # a proxy speaks TLS for us
    ({"Origin": "http://127.0.0.1"}, False, False),
    ({"Origin": "http://127.0.0.1:5001"}, False, False),
    ({"Origin": "http://localhost:5000"}, False, False),
    ({"Origin": "http://evil.example"}, False, False),
    ({"Origin": "http://127.0.0.1:5000.evil.example"}, False, False),
    ({"Origin": "http://127.0.0.1:5000@evil.example"}, False, False),
    ({"Origin": "http://evil.example@127.0.0.1:5000"}, False, False),
    ({"Origin": "http://127.0.0.1:5000/x"}, False, False),
    ({"Origin": "null"}, False, False),
    ({"Origin": ""}, False, False),
    ({"Origin": "http://127.0.0.1:5000 http://evil.example"}, False, False),
    ({"Origin": "http://[::1"}, False, False),
    ({"Origin": "http://127.0.0.1:99999"}, False, False),
    ({"Origin": "file://127.0.0.1:5000"}, False, False),
    # Neither: no browser, unless it carries a cookie.
    ({}, False, True),
    ({"Referer": f"{URL}/"}, False, True),
    ({"X-Requested-With": "XMLHttpRequest"}, False, True),
]


@pytest.mark.parametrize(("headers", "session_may", "login_may"), MATRIX, ids=str)
async def test_what_a_browser_says_of_its_request_decides(
    admin: AdminApp, office: Office, headers: Headers, session_may: bool, login_may: bool
) -> None:
    async with browser(admin) as ana:
        await log_in(ana)
        cookies = "; ".join(f"{name}={value}" for name, value in ana.cookies.items())
    async with client(admin) as bare:
        changed = await bare.post(PAUSE, headers={**headers, "Cookie": cookies})
        logged_in = await bare.post(LOGIN, json=BODY, headers=headers)
        bare.cookies.clear()
        looked = await bare.get("/api/admin/me", headers={**headers, "Cookie": cookies})

    assert changed.status_code == (200 if session_may else 403)
    assert logged_in.status_code == (200 if login_may else 403)
    assert looked.status_code == 200, "to look is no change"
    if not session_may:
        assert changed.json()["error"] == "Forbidden: cross-site request"


@pytest.mark.parametrize("path", [LOGIN, "/api/admin/logout"])
async def test_whoever_has_a_cookie_says_where_they_are_at_the_login_too(
    admin: AdminApp, path: str
) -> None:
    """Nobody is logged out, or in as somebody else, by a page of another site."""
    async with client(admin, headers={"Cookie": "imobibase.sid=x"}) as old_browser:
        silent = await old_browser.post(path, json=BODY if path == LOGIN else None)
        here = await old_browser.post(
            path, json=BODY if path == LOGIN else None, headers={"Origin": URL}
        )

    assert (silent.status_code, here.status_code) == (403, 200)


async def test_a_program_with_a_token_says_nothing_of_where_it_is(
    admin: AdminApp, office: Office
) -> None:
    async with client(admin, token=TOKENS[Role.OPERATOR].token) as script:
        plain = await script.post(PAUSE)
        elsewhere = await script.post(PAUSE, headers={"Sec-Fetch-Site": "cross-site"})

    assert (plain.status_code, elsewhere.status_code) == (200, 200)


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
async def test_what_a_page_may_send_unasked_is_no_login(admin: AdminApp, kind: str) -> None:
    body = f'{{"username":"{NAMES[Role.ADMIN]}","password":"{PASSWORD}"}}'
    async with client(admin) as bare:
        answer = await bare.post(LOGIN, content=body, headers={"Content-Type": kind})

    assert answer.status_code == 415
    assert "set-cookie" not in answer.headers


async def test_no_get_changes_anything(
    admin: AdminApp, office: Office, raw: Redis, prefix: str
) -> None:
    """Every GET there is, as somebody who may: Redis is the same afterwards, but for what counts
    requests and logins."""
    await office.in_every_state()
    rows = [bound.row for bound in routed(admin) if bound.row.method is Method.GET]
    async with client(admin, token=TOKENS[Role.ADMIN].token) as boss:
        before = await _dump(raw, prefix)
        statuses = {
            row.path: (await boss.get(path_of(row))).status_code
            for row in rows
            if not row.path.endswith("/events")  # it does not end by itself
        }
        after = await _dump(raw, prefix)

    assert len(statuses) > 15
    assert sum(status == 200 for status in statuses.values()) > 10
    assert after == before


async def _dump(raw: Redis, prefix: str) -> dict[bytes, object]:
    found: dict[bytes, object] = {}
    async for key in raw.scan_iter(f"{prefix}:*", count=1_000):
        assert isinstance(key, bytes)
        if f"{prefix}:admin:api:".encode() in key:
            continue
        found[key] = await raw.dump(key)
    return found


def test_whatever_is_open_to_anyone_and_changes_something_is_a_login_or_a_logout() -> None:
    found = {row.path for row in ACCESS_ROUTES if row.needs is Open.ANYONE}

    assert found == {"/api/admin/login", "/api/admin/logout"}


async def test_no_answer_lets_another_origin_read_it(admin: AdminApp) -> None:
    asks = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    async with client(admin, token=TOKENS[Role.ADMIN].token, headers=asks) as page:
        answers = [
            await page.options(LOGIN),
            await page.options("/api/admin/jobs/stats"),
            await page.get("/api/admin/jobs/stats"),
            await page.get("/nowhere"),
        ]

    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert [answer.status_code for answer in answers] == [405, 405, 200, 404]


# ---- where a login goes on

OURS = ["/", "/jobs", "/jobs/email?state=failed&x=1", "/a-b_c.d~e", "/x#y", "/%2F%2Fevil.example"]
NOT_OURS = [
    "", " ", "x", "jobs", "//evil.example", "///evil.example", "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example", "/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example", "http://evil.example", "https://evil.example", "https:evil.example",
    "HTTP://EVIL.EXAMPLE", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x",
    "vbscript:x", "file:///etc/passwd", "ftp://evil.example", "mailto:a@evil.example", "//",
    "/x//evil.example", "/.//evil.example", "/..//evil.example", "/x\\y", "/\x00", "/x\x00",
    "/\x0b/evil.example", "/x y", "/é", "/\u2028", "/\uff0fevil.example", "\u3000/x", "?x", "#x",
    "@evil.example", ".evil.example", ":80", "/x\r\nSet-Cookie: a=b", "/" + "x" * 3_000, "/\x7f",
]  # fmt: skip


@pytest.mark.parametrize("wanted", OURS)
def test_a_path_of_this_site_is_gone_on_to(wanted: str) -> None:
    assert landing(wanted) == wanted


@pytest.mark.parametrize("wanted", NOT_OURS, ids=ascii)
def test_anything_else_ends_at_home(wanted: str) -> None:
    assert len(NOT_OURS) >= 40
    assert landing(wanted, "/ops/") == "/ops/"


@pytest.mark.parametrize("wanted", ["/jobs/email", "//evil.example", "https://evil.example/x"])
async def test_a_login_says_where_to_go_on(admin: AdminApp, wanted: str) -> None:
    async with client(admin) as bare:
        answer = await bare.post(LOGIN, json={**BODY, "next": wanted})

    assert answer.json()["next"] == ("/jobs/email" if wanted == "/jobs/email" else "/")
