"""A real browser obeys what our headers say: in normal use it complains of nothing, and what an
attacker would have it do it refuses. Controls 11, 13 and 14."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.responses import Response

from admin.access.guarded import guarded
from admin.access.passwords import Costs
from admin.access.reach import Reach
from admin.app import routed
from admin.call import Call
from admin.policy import Method, Open, Role, Row
from admin.routes import ROUTES
from streamq import App
from streamq.embedded import EmbeddedServer
from streamq.settings import Settings as EngineSettings
from tests.admin.access.people import COST, NAMES, PASSWORD, PATIENT_S, settings_of
from tests.admin.office import Office
from tests.admin.rows import path_of
from tests.admin.running import Running, running
from tests.support.browsers import LIMIT_MS, chromium

pytestmark = pytest.mark.slow

PAUSE: Final = "/api/admin/jobs/pause/email"
LOG_IN: Final = """
([username, password]) => fetch("/api/admin/login", {
  method: "POST", headers: {"Content-Type": "application/json"},
  body: JSON.stringify({username, password}),
}).then(answer => answer.status)
"""
STATUS: Final = "([path, method]) => fetch(path, {method}).then(answer => answer.status)"
VIOLATED: Final = """
act => new Promise(resolve => {
  addEventListener("securitypolicyviolation", said => resolve(said.effectiveDirective));
  setTimeout(() => resolve("nothing was refused"), 5000);
  const made = (tag, fields) => Object.assign(document.createElement(tag), fields);
  const acts = {
    script: () => document.body.append(made("script", {textContent: "window.ran = 1"})),
    handler: () => document.body.setAttribute("onclick", "window.ran = 1"),
    foreign: () => document.body.append(made("script", {src: "http://127.0.0.1:1/x.js"})),
    style: () => document.head.append(made("style", {textContent: "p { color: red }"})),
    image: () => document.body.append(made("img", {src: "http://127.0.0.1:1/x.png"})),
    frame: () => document.body.append(made("iframe", {src: "/livez"})),
    base: () => document.head.append(made("base", {href: "http://127.0.0.1:1/"})),
    fetch: () => fetch("http://127.0.0.1:1/").catch(() => {}),
    form: () => {
      const form = made("form", {action: "http://127.0.0.1:1/", method: "POST"});
      document.body.append(form);
      form.submit();
    },
  };
  acts[act]();
})
"""


async def _page(call: Call) -> Response:
    return Response("<!doctype html><title>jobs</title><p>jobs</p>", media_type="text/html")


# What comes as plain text a browser shows in a page of its own, which may have styles.
PLAIN_PAGE: Final = Row(
    method=Method.GET, path="/page", handler=_page, needs=Open.ANYONE, does="show a page"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def served(server: EmbeddedServer, prefix: str) -> Iterator[Running]:
    app = App("office", settings=EngineSettings(), redis=server.url, prefix=prefix)
    office = Office(app)

    async def prepare() -> None:
        await office.in_every_state()
        await app.close()

    # In this thread playwright has a loop that runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(prepare())).result()
    costs = Costs(COST, bcrypt=5)
    rows = [*ROUTES, PLAIN_PAGE]
    with running(guarded(app, settings_of(), rows=rows, reach=Reach(PATIENT_S), costs=costs)) as it:
        yield it


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    opened.set_default_timeout(LIMIT_MS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, served: Running) -> Page:
    """Of our own origin, logged in as an admin."""
    opened = context.new_page()
    opened.goto(f"{served.url}/page")
    assert opened.evaluate(LOG_IN, [NAMES[Role.ADMIN], PASSWORD]) == 200
    return opened


def test_in_normal_use_it_complains_of_nothing(page: Page, served: Running) -> None:
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    rows = [bound.row for bound in routed(served.admin) if bound.row.method is Method.GET]
    seen = {}
    for row in rows:
        if not row.path.endswith("/events"):
            path = path_of(row).replace("nobody", "failed")
            answer = page.goto(served.url + path)
            assert answer is not None
            seen[path] = answer.status

    assert len(seen) > 20
    assert {path: status for path, status in seen.items() if status != 200} == {}
    assert [said for said in complaints if "Content Security Policy" in said] == []


def test_a_page_of_ours_may_ask_change_and_listen(page: Page, served: Running) -> None:
    paused = page.evaluate(STATUS, [PAUSE, "POST"])
    stats = page.evaluate("() => fetch('/api/admin/jobs/stats').then(answer => answer.json())")
    heard = page.evaluate(
        """() => new Promise((resolve, fail) => {
          const events = new EventSource("/api/admin/jobs/events");
          events.onopen = () => { events.close(); resolve("open"); };
          events.onerror = () => fail("refused");
        })"""
    )

    assert (paused, stats["pausedQueues"], heard) == (200, 1, "open")


@pytest.mark.parametrize(
    ("act", "directive"),
    [
        ("script", "script-src-elem"), ("handler", "script-src-attr"),
        ("foreign", "script-src-elem"), ("style", "style-src-elem"), ("image", "img-src"),
        ("frame", "frame-src"), ("base", "base-uri"), ("fetch", "connect-src"),
        ("form", "form-action"),
    ],
)  # fmt: skip
def test_what_got_into_a_page_of_ours_can_do_nothing(page: Page, act: str, directive: str) -> None:
    refused = page.evaluate(VIOLATED, act)

    assert refused == directive
    assert page.evaluate("() => window.ran") is None


# ---- another site's page, in the same browser


class _Elsewhere(BaseHTTPRequestHandler):
    """A site that an admin happens to visit."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """By another name of this machine: for a browser another site."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    thread = threading.Thread(target=site.serve_forever, name="elsewhere")
    thread.start()
    yield f"http://localhost:{site.server_port}"
    site.shutdown()
    thread.join()
    site.server_close()


def test_another_sites_page_changes_nothing_and_reads_nothing(
    context: BrowserContext, page: Page, served: Running, elsewhere: str
) -> None:
    other = context.new_page()
    other.goto(elsewhere)
    sent = """([url, mode]) => fetch(url, {method: "POST", mode, credentials: "include"})
      .then(answer => answer.type, () => "refused")"""
    blind = other.evaluate(sent, [served.url + PAUSE, "no-cors"])
    plain = other.evaluate(sent, [served.url + PAUSE, "cors"])
    read = other.evaluate(
        "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')",
        f"{served.url}/api/admin/jobs/stats",
    )
    with other.expect_navigation():
        other.evaluate(
            """url => {
              const form = Object.assign(document.createElement("form"),
                {method: "POST", action: url});
              document.body.append(form);
              form.submit();
            }""",
            served.url + PAUSE,
        )
    stats = page.evaluate("() => fetch('/api/admin/jobs/stats').then(answer => answer.json())")

    assert (plain, read) == ("refused", "refused")
    assert blind in ("opaque", "refused")
    assert "Forbidden" in other.content() or "Unauthorized" in other.content()
    assert stats["pausedQueues"] == 0


def test_another_sites_page_cannot_frame_ours(
    context: BrowserContext, page: Page, served: Running, elsewhere: str
) -> None:
    other = context.new_page()
    complaints: list[str] = []
    other.on("console", lambda said: complaints.append(said.text))
    other.goto(elsewhere)
    with other.expect_console_message(lambda said: "frame" in said.text.lower()):
        other.evaluate(
            """url => document.body.append(
              Object.assign(document.createElement("iframe"), {src: url}))""",
            f"{served.url}/api/admin/jobs/stats",
        )

    assert any("frame-ancestors" in said or "X-Frame-Options" in said for said in complaints)
