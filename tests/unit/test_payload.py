"""Payloads: what may be added, what is refused in which words, and that no bytes crash a worker."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.errors import (
    InvalidPayload,
    NotSerialisable,
    PayloadTooLarge,
    StreamqError,
    Undecodable,
    UnfitPayloadType,
)
from streamq.payload import NESTING_MAX, STORED_BYTES_MAX, Payload, codec_of

LIMIT: Final = 256 * 1024
PARKED: Final = "It runs when a build that can read it starts"


class Attachment(Payload):
    filename: str
    size: int = 0


class SendEmail(Payload, rename="camel"):
    to: str | list[str]
    send_email: bool = True
    invoice_id: int | str | None = None
    attachments: list[Attachment] = msgspec.field(default_factory=list)
    data: dict[str, object] = msgspec.field(default_factory=dict)
    price: float = 0.0


class Tree(Payload):
    left: "Tree | None" = None


def encode(payload: object, kind: type = object, limit_bytes: int = LIMIT) -> bytes:
    return codec_of(kind).encode(payload, "email", "send-email", limit_bytes)


def decode(data: bytes | msgspec.Raw, kind: type = object) -> object:
    return codec_of(kind).decode(data, "email", "send-email")


def nested(levels: int, wrap: Callable[[object], object] = lambda inner: [inner]) -> object:
    value: object = 1
    for _ in range(levels):
        value = wrap(value)
    return value


# ---- what goes through


def test_a_payload_comes_back_as_it_was_added() -> None:
    payload = SendEmail(
        to=["ana@x.br", "bo@x.br"],
        attachments=[Attachment("nota-fiscal.pdf", 17)],
        data={"nome": "João", "n": 2**63, "none": None, "list": [1.5, True, b"\xcb\x7f\xf8"]},
    )

    assert decode(encode(payload, SendEmail), SendEmail) == payload


def test_a_table_that_fits_is_taken_for_a_typed_handler() -> None:
    data = encode({"to": "ana@x.br", "sendEmail": False}, SendEmail)

    assert decode(data, SendEmail) == SendEmail(to="ana@x.br", send_email=False)


def test_fields_have_the_names_that_other_producers_use() -> None:
    table = decode(encode(SendEmail(to="a", invoice_id=5), SendEmail))

    assert isinstance(table, dict)
    assert table["invoiceId"] == 5


def test_what_was_added_is_not_changed_by_its_sender_later() -> None:
    payload = SendEmail(to="a")
    data = encode(payload, SendEmail)

    payload.to = "b"

    assert decode(data, SendEmail) == SendEmail(to="a")


def test_types_beyond_json_come_back_as_the_handlers_type() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Rich(Payload):
        when: datetime
        key: UUID
        amount: Decimal
        colour: Colour

    payload = Rich(datetime(2026, 11, 24, tzinfo=UTC), UUID(int=7), Decimal("1.10"), Colour.RED)

    assert decode(encode(payload, Rich), Rich) == payload


def test_a_stored_payload_is_read_from_a_slice_of_a_record() -> None:
    record = msgspec.msgpack.encode(["send-email", msgspec.Raw(encode({"to": "a"}))])

    _, raw = msgspec.msgpack.decode(record, type=tuple[str, msgspec.Raw])

    assert decode(raw, SendEmail) == SendEmail(to="a")


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=100,
)


@pytest.mark.slow
@given(JSONISH)
def test_any_plain_data_comes_back_equal(data: object) -> None:
    assert decode(encode(data)) == data


def test_the_deepest_allowed_nesting_goes_through() -> None:
    for wrap in (lambda inner: [inner], lambda inner: {"k": inner}):
        value = nested(NESTING_MAX, wrap)
        assert decode(encode(value)) == value


def test_the_deepest_allowed_nesting_is_walked_without_complaint() -> None:
    # The bytes look like a NaN to the quick test, so that the walk has to look.
    value = [nested(NESTING_MAX - 1), b"\xcb\x7f\xf0"]

    assert decode(encode(value)) == value


def test_a_wide_payload_is_not_taken_for_a_deep_one() -> None:
    rows = [{"nome": "João", "values": [n, [n]]} for n in range(2_000)]

    assert decode(encode(rows)) == rows


def test_a_payload_of_exactly_the_limit_goes_through() -> None:
    text = "x" * 1_000
    size_bytes = len(encode(text))

    assert len(encode(text, limit_bytes=size_bytes)) == size_bytes


# ---- what is refused at `add`


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            {"to": "a", "invoiceId": 1.5},
            "Expected int | str | null, got float - at $.invoiceId",
        ),
        ({}, "Object missing required field to"),
        (
            {"to": "a", "sendmail": True},
            'Object contains unknown field "sendmail" (did you mean sendEmail?)',
        ),
        (
            {"to": "a", "send_email": True},
            'Object contains unknown field "send_email" (did you mean sendEmail?)',
        ),
        ({"to": "a", "zzz": 1}, 'Object contains unknown field "zzz"'),
        (
            {"to": "a", "attachments": [{"filename": "x"}, {"filname": "y"}]},
            'Object contains unknown field "filname" (did you mean filename?)'
            " - at $.attachments[1]",
        ),
        ({"to": ["a", 5]}, "Expected str, got int - at $.to[1]"),
        ([1], "Expected object, got array"),
        ("text", "Expected object, got str"),
        (None, "Expected object, got None"),
        (Attachment("x"), 'Object contains unknown field "filename"'),
        (SendEmail(to=5), "Expected str | array, got int - at $.to"),  # type: ignore[arg-type]
    ],
)
def test_a_payload_that_does_not_fit_is_refused_in_the_callers_stack(
    payload: object, reason: str
) -> None:
    with pytest.raises(InvalidPayload) as refused:
        encode(payload, SendEmail)

    assert str(refused.value) == f"SQ203 email/send-email: {reason}"
    assert (refused.value.queue, refused.value.name) == ("email", "send-email")


def test_a_check_of_the_payloads_own_is_a_refusal_too() -> None:
    class Bounded(Payload):
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    with pytest.raises(InvalidPayload, match="low is above high"):
        encode({"low": 2, "high": 1}, Bounded)
    with pytest.raises(Undecodable, match="low is above high"):
        decode(encode({"low": 2, "high": 1}), Bounded)


class User:
    """An object of the application, with no way into bytes."""


@dataclass
class Point:
    x: object
    y: object = 0


IT: Final = "Pass its id: jobs should carry keys, not objects."
NO_NUMBER: Final = "JSON has no such number: pass None."
SURROGATE: Final = 'text with half a surrogate pair. Decode it right, or with errors="replace".'


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"user": User()}, f"$.user is an object of {__name__}.User. {IT}"),
        ({"a": [1, {"b": User()}]}, f"$.a[1].b is an object of {__name__}.User. {IT}"),
        (User(), f"$ is an object of {__name__}.User. {IT}"),
        (User, f"$ is an object of builtins.type. {IT}"),
        ({"f": len}, f"$.f is an object of builtins.builtin_function_or_method. {IT}"),
        (Point(1, User()), f"$.y is an object of {__name__}.User. {IT}"),
        ({1j: 1}, f"a key of $ is an object of builtins.complex. {IT}"),
        ({"a": math.nan}, f"$.a is NaN. {NO_NUMBER}"),
        ({"a": [0.5, math.inf]}, f"$.a[1] is infinite. {NO_NUMBER}"),
        ({"a": -math.inf}, f"$.a is infinite. {NO_NUMBER}"),
        ({"not a name": math.nan}, f"$['not a name'] is NaN. {NO_NUMBER}"),
        ({math.nan: 1}, f"a key of $ is NaN. {NO_NUMBER}"),
        (Point(math.nan), f"$.x is NaN. {NO_NUMBER}"),
        (SendEmail(to="a", data={"x": math.nan}), f"$.data.x is NaN. {NO_NUMBER}"),
        (SendEmail(to="a", price=math.inf), f"$.price is infinite. {NO_NUMBER}"),
        ({"a": "\ud800"}, f"$.a is {SURROGATE}"),
        ({"a": {"\udfff": 1}}, f"a key of $.a is {SURROGATE}"),
        (SendEmail(to="\ud83d"), f"$.to is {SURROGATE}"),
        ({"a": 2**64}, "$.a is an integer beyond 64 bits. Pass it as text."),
        ({"a": -(2**63) - 1}, "$.a is an integer beyond 64 bits. Pass it as text."),
        ({"a": 10**10_000}, "$.a is an integer beyond 64 bits. Pass it as text."),
        ((1, {2, math.nan}), None),
    ],
)
def test_what_no_payload_can_carry_is_named_with_its_place(
    payload: object, said: str | None
) -> None:
    for kind in (object, type(payload)) if isinstance(payload, SendEmail) else (object,):
        with pytest.raises(NotSerialisable) as refused:
            encode(payload, kind)

        assert said is None or str(refused.value) == f"SQ204 {said}"


def test_models_are_called_by_their_library() -> None:
    models = type("Model", (), {"__module__": "django.db.models.base"})
    user = type("User", (models,), {})()
    base = type("BaseModel", (), {"__module__": "pydantic.main"})
    form = type("Form", (base,), {})()

    with pytest.raises(NotSerialisable) as django:
        encode({"user": user})
    with pytest.raises(NotSerialisable) as pydantic:
        encode({"form": form})

    assert str(django.value) == (
        "SQ204 $.user is a Django model (User). Pass its id: jobs should carry keys, not objects."
    )
    assert str(pydantic.value) == (
        "SQ204 $.form is a pydantic model (Form). Pass its model_dump()."
    )


@pytest.mark.parametrize("levels", [NESTING_MAX + 1, 500, 10_000])
def test_endless_nesting_is_refused_and_not_recursed_into(levels: int) -> None:
    wide = ["x"] * 20
    for wrap in (
        lambda inner: [inner],
        lambda inner: {"k": inner},
        lambda inner: [*wide, inner],
        lambda inner: dict.fromkeys(range(20), 0) | {"k": inner},
    ):
        with pytest.raises(NotSerialisable, match=f"more than {NESTING_MAX} levels deep"):
            encode(nested(levels, wrap))


def test_a_payload_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop += [loop, loop]

    with pytest.raises(NotSerialisable, match="Does it contain itself"):
        encode({"a": loop})


def test_a_recursive_type_is_bounded_like_any_data() -> None:
    deep = nested(NESTING_MAX + 1, lambda inner: Tree(inner if isinstance(inner, Tree) else None))

    with pytest.raises(NotSerialisable, match="levels deep"):
        encode(deep, Tree)


def test_the_place_is_short_however_long_its_keys() -> None:
    with pytest.raises(NotSerialisable) as refused:
        encode({"k" * 10_000: {"l" * 10_000: User()}})

    assert len(str(refused.value)) < 250


def test_one_byte_over_the_limit_is_refused() -> None:
    size_bytes = len(encode("x" * 1_000))

    with pytest.raises(PayloadTooLarge) as refused:
        encode("x" * 1_000, limit_bytes=size_bytes - 1)

    assert (refused.value.size_bytes, refused.value.limit_bytes) == (size_bytes, size_bytes - 1)


# Bytes that look like a NaN to the quick test and are none must not be refused.
@given(st.lists(st.binary() | st.text() | st.integers(-(2**63), 2**64 - 1), max_size=20))
def test_no_finite_data_is_mistaken_for_nan(values: list[object]) -> None:
    tricky = [b"\xcb\x7f\xf0", 0xCB7FF0, "\u02ff\x7f", *values]

    assert decode(encode(tricky)) == tricky


HOSTILE = st.sampled_from([math.nan, math.inf, -math.inf, "\ud800", 2**64, User(), 1j])


@pytest.mark.slow
@given(
    st.recursive(
        HOSTILE, lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner)
    ).filter(lambda value: value not in ([], {}))
)
def test_hostile_values_are_refused_wherever_they_stand(value: object) -> None:
    if not holds_hostile(value):
        return
    with pytest.raises(NotSerialisable):
        encode({"rows": [1, value]})


def holds_hostile(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(holds_hostile, value.values()))
    if isinstance(value, list):
        return any(map(holds_hostile, value))
    return True


# ---- what a worker reads


GOOD: Final = encode({"to": "ana@x.br", "attachments": [{"filename": "x", "size": 3}], "data": {}})


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    for kind in (object, SendEmail, Tree, dict, int):
        try:
            decode(data, kind)
        except Undecodable as refused:
            assert PARKED in str(refused)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_a_damaged_payload_is_decoded_or_refused(at: int, byte: int, cut: int) -> None:
    damaged = bytearray(GOOD)
    damaged[at] = byte
    for data in (bytes(damaged), bytes(damaged[:cut]), bytes(damaged) + GOOD[:cut]):
        for kind in (object, SendEmail):
            try:
                decode(data, kind)
            except StreamqError as refused:
                assert isinstance(refused, Undecodable)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xa2\xff\xfe",
        b"\x91" * 100_000,
        b"\x81\xa1k" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\x80\x01",
        b"\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    for kind in (object, SendEmail):
        with pytest.raises(Undecodable):
            decode(data, kind)


def test_an_unknown_field_is_parked_with_a_guess_and_never_dropped() -> None:
    stored = encode({"to": "a", "sendmail": True})

    with pytest.raises(Undecodable) as refused:
        decode(stored, SendEmail)

    assert str(refused.value) == (
        'SQ213 email/send-email parked: Object contains unknown field "sendmail"'
        " (did you mean sendEmail?). It runs when a build that can read it starts;"
        " see  streamq jobs email --state parked"
    )


def test_what_is_stored_beyond_all_limits_is_not_even_decoded() -> None:
    with pytest.raises(Undecodable, match=f"at most {STORED_BYTES_MAX:,} are read"):
        decode(b"\xc6" + (STORED_BYTES_MAX).to_bytes(4, "big") + bytes(STORED_BYTES_MAX))


# ---- types


def test_a_codec_is_made_once_for_a_type() -> None:
    assert codec_of(SendEmail) is codec_of(SendEmail)


def test_a_type_that_no_bytes_become_is_refused_when_it_is_registered() -> None:
    class Holds(msgspec.Struct):
        inner: dict[str, list[User | None]]

    for kind in (User, Holds):
        with pytest.raises(UnfitPayloadType, match="nothing that is stored becomes a User"):
            codec_of(kind)


def test_a_union_that_bytes_cannot_tell_apart_is_refused() -> None:
    class Holds(msgspec.Struct):
        either: SendEmail | Attachment

    with pytest.raises(UnfitPayloadType, match="tag"):
        codec_of(Holds)


def test_a_recursive_type_is_a_payload() -> None:
    tree = Tree(Tree())

    assert decode(encode(tree, Tree), Tree) == tree


def test_the_limit_of_levels_is_far_below_the_limit_of_recursion() -> None:
    assert sys.getrecursionlimit() > NESTING_MAX * 10
