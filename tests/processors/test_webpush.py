"""Push messages: the RFCs' own examples, and what is refused before it could be sent."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from processors.notifications.__main__ import main
from processors.notifications.vapid import InvalidVapid, Vapid, parse_vapid
from processors.notifications.webpush import (
    PLAIN_BYTES_MAX,
    RECORD_BYTES,
    BadSubscription,
    authorization,
    encrypt,
    public_key,
    subscriber,
)
from tests.processors.browsers import Browser

# RFC 8291, section 5 and appendix A.
PLAIN = b"When I grow up, I want to be a watermelon"
SERVER_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SERVER_POINT = (
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
)
BROWSER_KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
BROWSER_POINT = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
    "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
    "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_of(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(raw(text), "big"), ec.SECP256R1())


def test_the_example_of_rfc_8291_comes_out_byte_for_byte() -> None:
    body = encrypt(PLAIN, subscriber(BROWSER_POINT, AUTH), salt=raw(SALT), key=key_of(SERVER_KEY))

    assert body == raw(BODY)
    assert Browser(key_of(BROWSER_KEY), raw(AUTH)).read(body) == PLAIN


@pytest.mark.parametrize("size", [0, 1, PLAIN_BYTES_MAX])
def test_a_browser_reads_what_was_encrypted_for_it(size: int) -> None:
    browser = Browser()
    keys = subscriber(browser.p256dh, browser.auth)

    bodies = {encrypt(b"x" * size, keys) for _ in range(2)}

    assert len(bodies) == 2, "salt and key are new for each message"
    assert {browser.read(body) for body in bodies} == {b"x" * size}
    assert max(map(len, bodies)) <= RECORD_BYTES


def test_what_is_too_long_for_one_record_is_refused() -> None:
    browser = Browser()

    with pytest.raises(ValueError, match="3994 bytes, a push message holds 3993"):
        encrypt(b"x" * 3_994, subscriber(browser.p256dh, browser.auth))


def test_keys_may_come_with_padding_and_in_plain_base64() -> None:
    padded = base64.b64encode(raw(BROWSER_POINT)).decode()

    assert subscriber(padded, AUTH + "==") == subscriber(BROWSER_POINT, AUTH)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", ""),
        ("?", AUTH),
        ("é" * 87, AUTH),
        (BROWSER_POINT, AUTH[:-4]),
        (AUTH, AUTH),
        ("BP" + "_" * 85, AUTH),
    ],
)
def test_keys_that_no_browser_gave_are_refused(p256dh: str, auth: str) -> None:
    with pytest.raises(BadSubscription):
        encrypt(PLAIN, subscriber(p256dh, auth))


def test_who_we_are_is_signed_for_one_push_service() -> None:
    vapid = parse_vapid(SERVER_KEY, "mailto:ops@example.com")
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)

    header = authorization(vapid, "https://push.example.net:8443/send/abc?x=1", at)

    scheme, token, key = header.replace(",", "").split(" ")
    assert (scheme, key) == ("vapid", f"k={SERVER_POINT}")
    assert public_key(vapid) == SERVER_POINT
    head, claims, signature = token.removeprefix("t=").split(".")
    assert json.loads(raw(head)) == {"typ": "JWT", "alg": "ES256"}
    assert json.loads(raw(claims)) == {
        "aud": "https://push.example.net:8443",
        "exp": int((at + timedelta(hours=12)).timestamp()),
        "sub": "mailto:ops@example.com",
    }
    _verify(f"{head}.{claims}", raw(signature))
    with pytest.raises(InvalidSignature):
        _verify(f"{head}.{claims}x", raw(signature))


def test_the_example_of_rfc_8292_is_a_signature_that_our_check_takes() -> None:
    head = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"
    claims = (
        "eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3"
        "NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0"
    )
    signature = (
        "i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
    )
    point = (
        "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
    )

    _verify(f"{head}.{claims}", raw(signature), point)


def _verify(signed: str, signature: bytes, point: str = SERVER_POINT) -> None:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(point))
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    key.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    ("key", "subject", "says"),
    [
        ("", "mailto:a@b.c", "no private key"),
        ("AAAA", "mailto:a@b.c", "no private key"),
        ("A" * 43, "mailto:a@b.c", "no private key"),  # zero
        ("_" * 43, "mailto:a@b.c", "no "),  # past the curve's order
        ("-----BEGIN", "mailto:a@b.c", "no "),
        (SERVER_KEY, "a@b.c", "subject"),
    ],
)
def test_a_key_that_no_push_service_would_take_is_refused_and_not_shown(
    key: str, subject: str, says: str
) -> None:
    with pytest.raises(InvalidVapid, match=says) as caught:
        parse_vapid(key, subject)

    assert not key or key not in str(caught.value)


def test_a_key_is_made_by_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    main()

    private, public = capsys.readouterr().out.splitlines()
    made = parse_vapid(private.removeprefix("VAPID_PRIVATE_KEY="), "mailto:ops@example.com")
    assert public == f"applicationServerKey: {public_key(made)}"


def test_the_private_key_is_not_shown() -> None:
    assert repr(Vapid(b"k" * 32, "mailto:a@b.c")) == "Vapid(subject='mailto:a@b.c')"
