"""The processors' settings: what development forgives, what production refuses, in which words."""

from pathlib import Path

import pytest

from processors.clients.mailbox import Mailbox
from processors.clients.sendgrid import SendgridAccount
from processors.clients.smtp_url import Security
from processors.settings import UnsetInProduction, load_settings
from streamq.errors import ConfigError, InvalidSetting

PRODUCTION = {
    "APP_URL": "https://app.imobibase.com/",
    "FROM_EMAIL": "ImobiBase <noreply@imobibase.com>",
    "SMTP_URL": "smtp+starttls://user:s3cr3t@mail.imobibase.com",
    "DATABASE_URL": "postgresql://app:s3cr3t@db.imobibase.com/imobibase",
    "BACKUP_BUCKET": "backups.imobibase.com",
    "EXPORT_BUCKET": "exports.imobibase.com",
}


def test_development_needs_nothing() -> None:
    settings = load_settings(production=False, environ={})

    assert not settings.production
    assert settings.app_url == "http://127.0.0.1:5000"
    assert settings.sender == Mailbox("", "noreply@localhost")
    assert settings.smtp is None
    assert settings.outbox == Path(".streamq/outbox")
    assert settings.attachments is None
    assert settings.link_hosts is None


def test_production_takes_what_is_set() -> None:
    settings = load_settings(production=True, environ=PRODUCTION)

    assert settings.production
    assert settings.app_url == "https://app.imobibase.com"
    assert settings.sender == Mailbox("ImobiBase", "noreply@imobibase.com")
    assert settings.smtp is not None
    assert settings.smtp.security is Security.STARTTLS
    assert settings.link_hosts == frozenset({"app.imobibase.com"})


@pytest.mark.parametrize("name", sorted(PRODUCTION))
@pytest.mark.parametrize("value", [None, ""])
def test_production_refuses_to_start_without_one_and_names_it(name: str, value: str | None) -> None:
    environ = {key: text for key, text in PRODUCTION.items() if key != name}
    if value is not None:
        environ[name] = value

    with pytest.raises(UnsetInProduction) as caught:
        load_settings(production=True, environ=environ)

    assert str(caught.value).startswith(
        f"SQ501 {name} is not set and STREAMQ_ENV=production: refusing to start."
        f" For example:  {name}="
    )
    assert caught.value.exit_code == 2


def test_production_names_all_that_is_missing_at_once() -> None:
    with pytest.raises(UnsetInProduction, match=f"{' and '.join(PRODUCTION)} are not set"):
        load_settings(production=True, environ={})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("APP_URL", "app.imobibase.com", "give a whole one"),
        ("APP_URL", "javascript:alert(1)", "no link"),
        ("APP_URL", "https://user@app.imobibase.com", "names a user"),
        ("APP_URL", "https://app.imobibase.com?x=1", "ends before"),
        ("FROM_EMAIL", "noreply", "no mail address"),
        ("FROM_EMAIL", "a@x.br, b@x.br", "one address per field"),
        ("FROM_EMAIL", "a@x.br\r\nBcc: b@x.br", "U\\+000D"),
        ("SMTP_URL", "smtp://user:s3cr3t@mail.example.com:s3cr3t", "its port is no number"),
        ("EXPORT_BUCKET", "Exports of ours", "a bucket's name is"),
        ("S3_ENDPOINT_URL", "https://key:s3cr3t@s3.example.com", "holds a password"),
        ("S3_ENDPOINT_URL", "s3.example.com", "is no address"),
        ("DATABASE_URL", "mysql://user:s3cr3t@db.example.com/x", "does not begin with postgresql"),
        ("SMTP_URL", "smtps://mail.example.com?cafile=/nowhere.pem", "is not a file"),
        ("SMTP_URL_FILE", "/nowhere", "cannot be read"),
        ("MAIL_ATTACHMENTS_DIR", "/nowhere", "not a folder"),
        ("MAIL_LINK_HOSTS", "app.example.com, https://x", "no name of a host"),
        ("MAIL_LINK_HOSTS", "*.example.com", "no name of a host"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_settings(production=False, environ={name: value})

    assert f"Setting {name} = " in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_the_mail_servers_url_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "smtp-url"
    path.write_text("smtps://user:s3cr3t@mail.example.com\n")

    settings = load_settings(production=False, environ={"SMTP_URL_FILE": str(path)})

    assert settings.smtp is not None
    assert settings.smtp.password == "s3cr3t"
    with pytest.raises(InvalidSetting, match="keep one of them"):
        load_settings(
            production=False, environ={"SMTP_URL_FILE": str(path), "SMTP_URL": "smtp://localhost"}
        )


def test_settings_do_not_print_the_password() -> None:
    assert "s3cr3t" not in repr(load_settings(production=True, environ=PRODUCTION))


def test_the_hosts_that_mails_may_lead_to_are_the_applications_and_those_named() -> None:
    settings = load_settings(
        production=True, environ={**PRODUCTION, "MAIL_LINK_HOSTS": "sol.com, Nova-Casa.com"}
    )

    assert settings.link_hosts == frozenset({"app.imobibase.com", "sol.com", "nova-casa.com"})


def test_attachments_come_from_the_folder_that_is_named(tmp_path: Path) -> None:
    assert (
        load_settings(production=False, environ={"MAIL_ATTACHMENTS_DIR": str(tmp_path)}).attachments
        == tmp_path.resolve()
    )


def test_production_needs_no_mail_server_where_sendgrid_is() -> None:
    environ = {name: value for name, value in PRODUCTION.items() if name != "SMTP_URL"}

    settings = load_settings(production=True, environ={**environ, "SENDGRID_API_KEY": "SG.s3cr3t"})

    assert settings.smtp is None
    assert settings.sendgrid == SendgridAccount("SG.s3cr3t", "https://api.sendgrid.com")
    assert "s3cr3t" not in repr(settings.sendgrid)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SENDGRID_API_KEY", "SG.s3cr3t\r\nX-Evil: 1", "it is no key"),
        ("SENDGRID_API_KEY", "SG s3cr3t", "it is no key"),
        ("SENDGRID_API_URL", "api.eu.sendgrid.com", "is no link"),
        ("SENDGRID_API_URL", "http://api.sendgrid.com", "the key goes by https only"),
    ],
)
def test_an_account_that_cannot_be_is_refused(name: str, value: str, says: str) -> None:
    environ = {**PRODUCTION, "SENDGRID_API_KEY": "SG.s3cr3t", name: value}

    with pytest.raises(InvalidSetting, match=says) as caught:
        load_settings(production=True, environ=environ)

    assert name in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
