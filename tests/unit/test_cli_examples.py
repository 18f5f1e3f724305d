"""The command that `streamq dev` shows: of whatever app, one that can be typed as it stands."""

import shlex
from typing import Annotated, Literal

import msgspec
import pytest

from streamq import App, Payload
from streamq.cli.example import add_command


class Line(Payload):
    price: float
    paid: bool


class Invoice(Payload):
    to: Annotated[str, msgspec.Meta(examples=["ana@example.com"])]
    number: int
    kind: Literal["pdf", "xlsx"]
    line: Line
    tags: list[str]
    user: int | str
    note: str = "not needed"


def test_the_example_holds_what_the_payload_needs() -> None:
    app = App("shop")

    @app.job("invoice", name="generate-invoice")
    async def render(data: Invoice) -> None: ...

    command = add_command(app)

    assert command is not None
    *words, payload, wait = shlex.split(command)
    assert words == ["streamq", "add", "invoice", "generate-invoice"] and wait == "--wait"
    assert msgspec.json.decode(payload) == {
        "to": "ana@example.com",
        "number": 1,
        "kind": "pdf",
        "line": {"price": 1.0, "paid": True},
        "tags": [],
        "user": 1,
    }
    assert msgspec.json.decode(payload, type=Invoice).to == "ana@example.com"


@pytest.mark.parametrize(
    ("name", "shown"), [("*", "clean-up"), ("sync-*", "sync-clean-up"), (None, "clean_up")]
)
def test_a_handler_of_a_pattern_is_shown_with_a_name_that_it_takes(
    name: str | None, shown: str
) -> None:
    app = App("shop")

    @app.job("cleanup", name=name)
    async def clean_up(data: object) -> None: ...

    assert add_command(app) == f"streamq add cleanup {shown} '{{}}' --wait"


def test_an_app_without_handlers_has_no_example() -> None:
    assert add_command(App("shop")) is None
