"""What the environment says of the admin, and what it may not say."""

import ipaddress
from pathlib import Path

import pytest

from admin.settings import REQUESTS_A_MINUTE, Settings, UnsetSessionSecret, load_settings
from streamq.errors import InvalidSetting


def test_an_empty_environment_is_a_development_one() -> None:
    found = load_settings(production=False, environ={})

    assert found == Settings()
    assert found.requests_a_minute == REQUESTS_A_MINUTE == 100
    assert found.cron_secret is None


def test_production_needs_a_session_secret() -> None:
    with pytest.raises(UnsetSessionSecret) as error:
        load_settings(production=True, environ={"SESSION_SECRET": ""})

    assert str(error.value).startswith(
        "SQ501 SESSION_SECRET is not set and STREAMQ_ENV=production: refusing to start."
    )
    assert load_settings(production=True, environ={"SESSION_SECRET": "x"}).secure_cookies


def test_all_is_read(tmp_path: Path) -> None:
    (tmp_path / "cron").write_text("from-a-file\n")

    found = load_settings(
        production=False,
        prefix="/ops",
        environ={
            "SESSION_SECRET": "s", "CRON_SECRET_FILE": str(tmp_path / "cron"),
            "DATABASE_URL": "postgres://db/app", "ADMIN_USERS": "u", "ADMIN_TOKENS": "t",
            "ADMIN_HOSTS": "Ops.example.com, [::1]", "ADMIN_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "ADMIN_REQUESTS_PER_MINUTE": "500", "ADMIN_SECURE_COOKIES": "yes",
        },
    )  # fmt: skip

    assert found == Settings(
        prefix="/ops",
        session_secret="s",
        cron_secret="from-a-file",
        database_url="postgres://db/app",
        users="u",
        tokens="t",
        hosts=frozenset({"ops.example.com", "[::1]"}),
        proxies=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")),
        requests_a_minute=500,
        secure_cookies=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADMIN_HOSTS", "https://example.com"),
        ("ADMIN_HOSTS", "example.com:5000"),
        ("ADMIN_HOSTS", "*"),
        ("ADMIN_TRUSTED_PROXIES", "*"),
        ("ADMIN_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("ADMIN_REQUESTS_PER_MINUTE", "0"),
        ("ADMIN_REQUESTS_PER_MINUTE", "-1"),
        ("ADMIN_REQUESTS_PER_MINUTE", "1" * 5_000),
        ("ADMIN_REQUESTS_PER_MINUTE", "²"),
        ("ADMIN_SECURE_COOKIES", "maybe"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        load_settings(production=False, environ={name: value})


@pytest.mark.parametrize("prefix", ["ops", "/ops/", "/", "//ops", "/o ps", "/{x}"])
def test_a_prefix_is_a_path(prefix: str) -> None:
    with pytest.raises(InvalidSetting, match="--prefix"):
        load_settings(production=False, prefix=prefix, environ={})


def test_settings_do_not_show_their_secrets() -> None:
    settings = Settings(session_secret="hunter2", cron_secret="hunter2", database_url="hunter2")

    assert "hunter2" not in repr(settings)
