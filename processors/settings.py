"""What processors must know of where they run: from the environment, checked at the start."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from processors.clients.mailbox import Mailbox, MailRefused, parse_mailbox
from processors.clients.sendgrid import API_URL, SendgridAccount
from processors.clients.smtp_url import InvalidSmtpUrl, SmtpServer, parse_smtp_url
from processors.database.url import (
    EXAMPLE,
    DatabaseServer,
    InvalidDatabaseUrl,
    parse_database_url,
)
from processors.integrations.access import VARIABLES, Accesses, accesses
from processors.notifications.vapid import InvalidVapid, Vapid, parse_vapid
from processors.storage.place import REGION, InvalidStorage, StoragePlace
from processors.templates.links import link_host
from streamq.errors import ConfigError, InvalidSetting

ORIGIN = "environment"
_SECRET_FILE_CHARS_MAX = 8_192
_HIDDEN = "(hidden)"
_HEADER_WORD = re.compile(r"[\x21-\x7e]{1,512}")

_DEV_APP_URL = "http://127.0.0.1:5000"
_DEV_SENDER = "noreply@localhost"
_OUTBOX = ".streamq/outbox"
_DEV_BACKUPS = "imobibase-backups"
_DEV_EXPORTS = "imobibase-exports"
_ORIGIN = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+):\d{1,5}")

# What production cannot do without, and an example of each.
_NEEDED_IN_PRODUCTION = {
    "APP_URL": "https://app.example.com",
    "FROM_EMAIL": "noreply@example.com",
    "SMTP_URL": "smtp+starttls://user:password@mail.example.com:587",
    "DATABASE_URL": EXAMPLE,
    "BACKUP_BUCKET": "backups.example.com",
    "EXPORT_BUCKET": "exports.example.com",
}


class UnsetInProduction(ConfigError):
    """Settings that development forgives are not set where mails are real."""

    code = "SQ501"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        example = "  ".join(f"{name}={_NEEDED_IN_PRODUCTION[name]}" for name in names)
        verb = "is" if len(names) == 1 else "are"
        super().__init__(
            f"{' and '.join(names)} {verb} not set and STREAMQ_ENV=production: refusing to start."
            f" For example:  {example}"
        )


class UnsetDatabase(ConfigError):
    """A command about the database, and none is named."""

    def __init__(self) -> None:
        super().__init__(f"DATABASE_URL is not set. For example:  DATABASE_URL={EXAMPLE}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the processors in one process."""

    production: bool
    app_url: str
    """Without a slash at its end."""
    sender: Mailbox
    """Whom mails are from, unless their payload says otherwise."""
    smtp: SmtpServer | None
    """None: mails become files in `outbox`; never in production."""
    sendgrid: SendgridAccount | None
    """If set, mails go out by it and not by `smtp`."""
    outbox: Path
    attachments: Path | None
    """The only folder whose files may be attached by their path; None: no folder."""
    link_hosts: frozenset[str] | None
    """Where links in mails may lead. None: anywhere; never in production."""
    database: DatabaseServer | None
    """None: jobs that need it fail and say so; never in production."""
    postgres_programs: Path | None
    """The only folder to take pg_dump and pg_restore from; None: wherever they are found."""
    storage: StoragePlace | None
    """None: jobs that need it fail and say so; never in production."""
    private_hosts: frozenset[str]
    """`host:port` that may be called by HTTP though they are not public: the operator's word."""
    vapid: Vapid | None
    """Our key for web push; None: notifications reach open browsers only."""
    accesses: Accesses
    """Where providers of integrations are called for agencies without an access of their own."""


def load_settings(*, production: bool, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the variables give; an empty one counts as not set.

    `production` is the engine's word (`settings.env`), which a file may say as well as STREAMQ_ENV:
    a second reading of it could differ, and mails would become files where they are real.

    APP_URL, FROM_EMAIL, SMTP_URL (or SMTP_URL_FILE, a file that holds it), SENDGRID_API_KEY (or
    SENDGRID_API_KEY_FILE; SMTP_URL is then not needed), SENDGRID_API_URL, MAIL_OUTBOX_DIR,
    MAIL_ATTACHMENTS_DIR, MAIL_LINK_HOSTS (names after commas), DATABASE_URL (or DATABASE_URL_FILE),
    POSTGRES_PROGRAMS_DIR (the folder of pg_dump and pg_restore),
    BACKUP_BUCKET, EXPORT_BUCKET, S3_ENDPOINT_URL, AWS_REGION, HTTP_PRIVATE_HOSTS (`host:port`
    after commas), VAPID_PRIVATE_KEY (or VAPID_PRIVATE_KEY_FILE) and VAPID_SUBJECT (FROM_EMAIL
    unless given), and the integrations' of `processors.integrations.access.VARIABLES` (each key
    also as a file, by _FILE). Raises UnsetInProduction, InvalidSetting.
    """
    given = {
        "APP_URL": environ.get("APP_URL", ""),
        "FROM_EMAIL": environ.get("FROM_EMAIL", ""),
        "SMTP_URL": _secret(environ, "SMTP_URL"),
        "DATABASE_URL": _secret(environ, "DATABASE_URL"),
        "BACKUP_BUCKET": environ.get("BACKUP_BUCKET", ""),
        "EXPORT_BUCKET": environ.get("EXPORT_BUCKET", ""),
    }
    sendgrid = _sendgrid(environ, production)
    unset = tuple(
        name
        for name in _NEEDED_IN_PRODUCTION
        if not given[name] and not (name == "SMTP_URL" and sendgrid)
    )
    if production and unset:
        raise UnsetInProduction(unset)
    app_url = _app_url(given["APP_URL"] or _DEV_APP_URL)
    attachments = environ.get("MAIL_ATTACHMENTS_DIR")
    programs = environ.get("POSTGRES_PROGRAMS_DIR")
    return Settings(
        production=production,
        app_url=app_url,
        sender=_sender(given["FROM_EMAIL"] or _DEV_SENDER),
        smtp=_smtp(given["SMTP_URL"]) if given["SMTP_URL"] else None,
        sendgrid=sendgrid,
        outbox=Path(environ.get("MAIL_OUTBOX_DIR") or _OUTBOX),
        attachments=_folder("MAIL_ATTACHMENTS_DIR", attachments) if attachments else None,
        link_hosts=_link_hosts(environ.get("MAIL_LINK_HOSTS", ""), app_url, production),
        database=_database(given["DATABASE_URL"]) if given["DATABASE_URL"] else None,
        postgres_programs=_folder("POSTGRES_PROGRAMS_DIR", programs) if programs else None,
        storage=_storage(environ),
        private_hosts=_private_hosts(environ.get("HTTP_PRIVATE_HOSTS", "")),
        accesses=_accesses(environ),
        vapid=_vapid(environ, given["FROM_EMAIL"] or _DEV_SENDER),
    )


def database_server(environ: Mapping[str, str] = os.environ) -> DatabaseServer:
    """The database alone, for commands about it. Raises UnsetDatabase, InvalidSetting."""
    url = _secret(environ, "DATABASE_URL")
    if not url:
        raise UnsetDatabase
    return _database(url)


def _secret(environ: Mapping[str, str], name: str) -> str:
    """A value that may also stand in a file, as container platforms hand out secrets."""
    value, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if not path:
        return value
    if value:
        raise InvalidSetting(f"{name}_FILE", path, ORIGIN, f"{name} is set too; keep one of them")
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_SECRET_FILE_CHARS_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{name}_FILE", path, ORIGIN, f"it cannot be read: {error}") from error


def _app_url(url: str) -> str:
    try:
        link_host(url, "APP_URL")
    except MailRefused as error:
        raise InvalidSetting("APP_URL", url, ORIGIN, error.reason) from None
    if "?" in url or "#" in url:
        raise InvalidSetting(
            "APP_URL", url, ORIGIN, "paths are put behind it, so it ends before ? and #"
        )
    return url.rstrip("/")


def _sender(address: str) -> Mailbox:
    try:
        return parse_mailbox(address, "FROM_EMAIL")
    except MailRefused as error:
        raise InvalidSetting("FROM_EMAIL", address, ORIGIN, error.reason) from None


def _smtp(url: str) -> SmtpServer:
    try:
        server = parse_smtp_url(url)
    except InvalidSmtpUrl as error:
        raise InvalidSetting("SMTP_URL", _HIDDEN, ORIGIN, str(error)) from None
    if server.cafile is not None and not Path(server.cafile).is_file():
        why = f"its cafile {server.cafile} is not a file"
        raise InvalidSetting("SMTP_URL", _HIDDEN, ORIGIN, why)
    return server


def _sendgrid(environ: Mapping[str, str], production: bool) -> SendgridAccount | None:
    key = _secret(environ, "SENDGRID_API_KEY")
    if not key:
        return None
    if _HEADER_WORD.fullmatch(key) is None:
        why = "it is no key: printable characters without blanks"
        raise InvalidSetting("SENDGRID_API_KEY", _HIDDEN, ORIGIN, why)
    url = (environ.get("SENDGRID_API_URL") or API_URL).rstrip("/")
    try:
        link_host(url, "SENDGRID_API_URL")
    except MailRefused as error:
        raise InvalidSetting("SENDGRID_API_URL", url, ORIGIN, error.reason) from None
    if production and not url.startswith("https://"):
        raise InvalidSetting("SENDGRID_API_URL", url, ORIGIN, "the key goes by https only")
    return SendgridAccount(key, url)


def _database(url: str) -> DatabaseServer:
    try:
        return parse_database_url(url)
    except InvalidDatabaseUrl as error:
        raise InvalidSetting("DATABASE_URL", _HIDDEN, ORIGIN, str(error)) from None


def _storage(environ: Mapping[str, str]) -> StoragePlace | None:
    """None unless one of the three is set: Amazon's S3 is no place for a developer's slip."""
    names = ("BACKUP_BUCKET", "EXPORT_BUCKET", "S3_ENDPOINT_URL")
    backups, exports, endpoint = (environ.get(name, "") for name in names)
    if not (backups or exports or endpoint):
        return None
    try:
        return StoragePlace(
            backups=backups or _DEV_BACKUPS,
            exports=exports or _DEV_EXPORTS,
            endpoint=endpoint or None,
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or REGION,
        )
    except InvalidStorage as error:
        value = _HIDDEN if error.name == names[2] else environ.get(error.name, "")
        raise InvalidSetting(error.name, value, ORIGIN, error.why) from None


def _vapid(environ: Mapping[str, str], sender: str) -> Vapid | None:
    key = _secret(environ, "VAPID_PRIVATE_KEY")
    if not key:
        return None
    subject = environ.get("VAPID_SUBJECT") or f"mailto:{_sender(sender).address}"
    try:
        return parse_vapid(key, subject)
    except InvalidVapid as error:
        raise InvalidSetting("VAPID_PRIVATE_KEY", _HIDDEN, ORIGIN, str(error)) from None


def _accesses(environ: Mapping[str, str]) -> Accesses:
    names = [name for pair in VARIABLES.values() for name in pair]
    return accesses({name: _secret(environ, name) for name in names})


def _private_hosts(said: str) -> frozenset[str]:
    named = [host.strip().lower() for host in said.split(",") if host.strip()]
    for host in named:
        if _ORIGIN.fullmatch(host) is None:
            why = f"{host!r} is no host:port; write 10.0.0.7:8080,crm.internal:443"
            raise InvalidSetting("HTTP_PRIVATE_HOSTS", said, ORIGIN, why)
    return frozenset(named)


def _folder(name: str, path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise InvalidSetting(name, path, ORIGIN, "it is not a folder")
    return folder.resolve()


def _link_hosts(hosts: str, app_url: str, production: bool) -> frozenset[str] | None:
    named = [host.strip().lower() for host in hosts.split(",") if host.strip()]
    for host in named:
        try:
            found = link_host(f"https://{host}", "MAIL_LINK_HOSTS")
        except MailRefused:
            found = ""
        if found != host:
            why = f"{host!r} is no name of a host; write app.example.com,example.com"
            raise InvalidSetting("MAIL_LINK_HOSTS", hosts, ORIGIN, why)
    if not named and not production:
        return None
    return frozenset({*named, link_host(app_url, "APP_URL")})
