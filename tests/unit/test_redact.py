"""What is shown without its secrets: what is hidden, what is not, and that nothing slips by."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.payload import Payload
from streamq.redact import (
    HIDDEN,
    LEVELS_MAX,
    SHOWN_CHARS_MAX,
    Secret,
    is_secret,
    marked_in,
    redact,
    redact_text,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
CLOUD_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "name",
    [
        "password", "userPassword", "passwd", "senha", "token", "resetToken", "access_token",
        "clientSecret", "Authorization", "apiKey", "api_key", "x-api-key", "privateKey", "cpf",
        "cpfCnpj", "CNPJ", "pixKey", "chavePix", "cardNumber", "card", "cvv", "iban", "SENTRY_DSN",
        "set-cookie", "awsCredentials",
    ],
)  # fmt: skip
def test_a_value_is_hidden_for_the_name_that_it_goes_by(name: str) -> None:
    assert is_secret(name)
    assert redact({name: "hunter2", "to": "ana@example.com"}) == {
        name: HIDDEN,
        "to": "ana@example.com",
    }
    assert redact([{"a": {name: {"deep": 1}}}]) == [{"a": {name: HIDDEN}}]


@pytest.mark.parametrize(
    "name", ["to", "subject", "template", "userName", "loginUrl", "invoiceId", "key", "id", "email"]
)
def test_other_values_are_shown(name: str) -> None:
    assert redact({name: "x"}) == {name: "x"}


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_whether_there_is_a_secret_is_none(value: object) -> None:
    assert redact({"password": value}) == {"password": value}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:pass@db:6379/0", f"redis://{HIDDEN}@db:6379/0"),
        ("postgres://u:p@ss@db/app?sslmode=require", f"postgres://{HIDDEN}@db/app?sslmode=require"),
        ("https://user@example.com/x", f"https://{HIDDEN}@example.com/x"),
        (f"is {JWT} yours?", f"is {HIDDEN} yours?"),
        (f"key {CLOUD_KEY}.", f"key {HIDDEN}."),
        (f"a {PEM} b", f"a {HIDDEN} b"),
        ("got Bearer a1b2c3d4e5", f"got Bearer {HIDDEN}"),
        ("Authorization: Bearer a1b2c3d4e5", f"Authorization: {HIDDEN}"),
        ("authorization: basic dXNlcjpw", f"authorization: {HIDDEN}"),
        ("Set-Cookie: a=1; b=2\nHost: x", f"Set-Cookie: {HIDDEN}\nHost: x"),
        ("https://x/reset?token=abc&n=1", f"https://x/reset?token={HIDDEN}&n=1"),
        ("host=db password=hunter2 user=x", f"host=db password={HIDDEN} user=x"),
        ("{'password': 'hunter 2', 'a': 1}", f"{{'password': {HIDDEN}, 'a': 1}}"),
        (r"{\"apiKey\": \"a b\", \"n\": 1}", rf"{{\"apiKey\": {HIDDEN}, \"n\": 1}}"),
        ("x?X-Amz-Signature=0a1b&y=2", f"x?X-Amz-Signature={HIDDEN}&y=2"),
    ],
)
def test_a_text_is_hidden_where_it_looks_like_a_secret(text: str, shown: str) -> None:
    assert redact_text(text) == shown
    assert redact({"note": text}) == {"note": shown}
    assert redact_text(shown) == shown, "what was hidden once stays as it is"


@pytest.mark.parametrize(
    "text",
    [
        "[EmailProcessor] Sending email to user@example.com",
        "bearer of bad news",
        "your password was changed",
        "https://app.imobibase.com/login",
        "KeyError: 'token'",
        "three cards, one key",
    ],
)
def test_a_plain_text_is_shown_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_a_secret_in_a_key_is_hidden_too() -> None:
    assert redact({f"for {CLOUD_KEY}": 1}) == {f"for {HIDDEN}": 1}


class _Place(TypedDict):
    gate: Secret[int]


class _Pet(msgspec.Struct):
    chip: Secret[str] | None = None
    friend: "_Pet | None" = None


class _Order(Payload, rename="camel"):
    pin_code: Secret[str]
    pets: list[_Pet]
    by_name: Mapping[str, _Pet]
    place: Annotated[_Place, msgspec.Meta(description="where")]
    plain: str = ""


def test_a_marked_field_is_hidden_wherever_its_type_has_it() -> None:
    marked = marked_in(_Order)

    assert marked == {"pinCode", "chip", "gate"}
    order = {"pinCode": "1234", "pets": [{"chip": "x", "n": 1}], "place": {"gate": 7}, "plain": "y"}
    assert redact(order, marked) == {
        "pinCode": HIDDEN,
        "pets": [{"chip": HIDDEN, "n": 1}],
        "place": {"gate": HIDDEN},
        "plain": "y",
    }


@pytest.mark.parametrize("kind", [object, dict, int])
def test_a_type_that_says_nothing_of_its_fields_marks_none(kind: type) -> None:
    assert marked_in(kind) == frozenset()


def test_a_struct_goes_by_the_names_that_its_payload_has() -> None:
    order = _Order("1234", [], {}, {"gate": 1})

    assert redact(order, marked_in(_Order)) == {
        "pinCode": HIDDEN,
        "pets": [],
        "byName": {},
        "place": {"gate": HIDDEN},
        "plain": "",
    }


def test_bytes_and_objects_are_named_and_not_shown() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    shown = redact({"raw": b"hunter2", "odd": object(), "at": at, 7: (1, 2.5)})

    assert shown == {"raw": "[7 bytes]", "odd": "[object]", "at": at, "7": [1, 2.5]}


def test_what_is_too_deep_or_too_long_is_left_out() -> None:
    deep: object = "hunter2"
    for _ in range(LEVELS_MAX + 1):
        deep = [deep]

    assert "hunter2" not in str(redact(deep))
    long = redact_text("x" * SHOWN_CHARS_MAX + " password=hunter2")
    assert "hunter2" not in long
    assert long.endswith("more]")


@pytest.mark.parametrize(
    "piece", ["token-", "a://", "bearer ", "token='", "eyJaaaaaa.", "password\\", "cookie:", "ab"]
)
def test_no_text_takes_long(piece: str) -> None:
    long = (piece * SHOWN_CHARS_MAX)[:SHOWN_CHARS_MAX]

    began = time.process_time()
    redact_text(long)

    # A tenth of a second here; one that goes over a text again for each of its signs takes hours.
    assert time.process_time() - began < 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=20,
    ),
    st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=8),
)
def test_nothing_that_has_a_secret_name_comes_through(value: object, canary: str) -> None:
    canary = f"canary-{canary.encode().hex()}"

    shown = redact({"around": [value, {"myPassword": [canary]}, f"token={canary}"]})

    assert canary not in repr(shown)
    msgspec.json.encode(shown)
