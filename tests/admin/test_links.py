"""Links that an application brings are opened for whoever has them, and for nobody who guesses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest

from admin.app import create_app
from admin.links import links_of, row_of
from admin.settings import Settings
from streamq import App
from streamq.brought import CannotBring, Links
from tests.admin.conftest import client_of
from tests.admin.tokens import ConfiguredTokens


async def leads_to(name: str) -> str | None:
    if name == "away":
        raise ConnectionRefusedError("postgres at 10.0.0.7 refused us")
    return "https://files.example.com/a.pdf?signed=1" if name == "known" else None


LINKS = Links(path="/downloads/", leads_to=leads_to, nowhere="Este link não existe mais.\n")


@asynccontextmanager
async def links(app: App) -> AsyncIterator[Links]:
    yield LINKS


@asynccontextmanager
async def something_else(app: App) -> AsyncIterator[str]:
    yield "links"


async def opened(app: App, path: str) -> httpx2.Response:
    admin = create_app(app, Settings(), access=ConfiguredTokens(), rows=[row_of(LINKS)])
    async with client_of(admin) as stranger:
        return await stranger.get(path)


async def test_a_stranger_with_a_link_is_led_to_what_is_behind_it(app: App) -> None:
    answer = await opened(app, "/downloads/known")

    assert answer.status_code == 303
    assert answer.headers["location"] == "https://files.example.com/a.pdf?signed=1"


async def test_a_link_to_nothing_says_so_in_the_applications_words(app: App) -> None:
    answer = await opened(app, "/downloads/unknown")

    assert (answer.status_code, answer.text) == (404, LINKS.nowhere)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_what_cannot_be_told_now_is_asked_again_and_says_nothing_of_us(app: App) -> None:
    answer = await opened(app, "/downloads/away")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "10.0.0.7" not in answer.text


async def test_an_app_brings_them_by_its_setting(app: App) -> None:
    async with links_of(app) as rows:
        assert rows == ()
    app.configure(msgspec.structs.replace(app.settings, web_links=f"{__name__}:links"))
    async with links_of(app) as rows:
        (row,) = rows
        assert row.path == "/downloads/{name}"


async def test_what_is_no_links_is_refused(app: App) -> None:
    target = f"{__name__}:something_else"
    app.configure(msgspec.structs.replace(app.settings, web_links=target))
    with pytest.raises(CannotBring, match="gives no Links"):
        async with links_of(app):
            pass
