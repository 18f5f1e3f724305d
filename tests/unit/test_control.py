"""What is published on the control channel: an order, or nothing at all."""

import msgspec
import pytest

from streamq.control import Order, Word, read_order


@pytest.mark.parametrize("word", list(Word))
def test_an_order_is_read_as_it_was_given(word: Word) -> None:
    order = Order(word, "3f2a")

    assert read_order(msgspec.msgpack.encode(order)) == order


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"stop",
        msgspec.msgpack.encode({"word": "burn", "worker": "a"}),
        msgspec.msgpack.encode({"word": "stop"}),
        msgspec.msgpack.encode({"word": "stop", "worker": "x" * 2_000}),
    ],
)
def test_what_is_none_is_let_be(data: bytes) -> None:
    assert read_order(data) is None
