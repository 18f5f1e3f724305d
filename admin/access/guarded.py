"""An admin with all that guards it, put together from its settings."""

import logging
from collections.abc import Sequence
from typing import Final

from admin.access.accounts import Accounts
from admin.access.audit import AuditJournal
from admin.access.cookies import Cookie
from admin.access.csrf import same_origin
from admin.access.desk import Desk
from admin.access.devices import COOKIE as DEVICE_COOKIE
from admin.access.devices import Devices
from admin.access.headers import SafeHeaders
from admin.access.hosts import Hosts
from admin.access.identity import Identity
from admin.access.passwords import Checker, Costs
from admin.access.reach import Reach
from admin.access.routes import ACCESS_ROUTES
from admin.access.sessions import (
    SessionMiddleware,
    create_redis_session_store,
    get_session_config,
)
from admin.access.table import UsersTable
from admin.access.throttle import ApiThrottle, Counter, LoginThrottle
from admin.access.tokens import Tokens
from admin.app import AdminApp, create_app
from admin.policy import Row
from admin.routes import ROUTES
from admin.settings import Settings
from streamq import App

LOGIN_PATH: Final = "/api/admin/login"

log = logging.getLogger("streamq.admin")


def guarded(
    app: App,
    settings: Settings,
    *,
    rows: Sequence[Row] = ROUTES,
    reach: Reach | None = None,
    costs: Costs | None = None,
    login_throttle: LoginThrottle | None = None,
) -> AdminApp:
    """The admin of an App behind logins, tokens and all the rest; connects to nothing.

    `rows` beside those of access; `costs` of hashes that are nobody's: else those of the
    costliest that there are. Raises ConfigError for users or tokens that cannot be read.
    """
    reach = reach or Reach()
    counter = Counter(app.redis.admin)
    table = None if settings.database_url is None else UsersTable(settings.database_url)
    accounts = Accounts(settings.users, table)
    if accounts.cheap:
        log.warning(
            "the passwords of %s are kept in a way that was made cheaper than `streamq"
            " hash-password` makes it now: make them anew", ", ".join(accounts.cheap),
        )  # fmt: skip
    config = get_session_config(create_redis_session_store(app), settings)
    login_path = settings.prefix + LOGIN_PATH
    desk = Desk(
        accounts,
        Checker(accounts.forms, costs or Costs(accounts.cost)),
        login_throttle or LoginThrottle(counter),
        Devices(app.redis.admin, Cookie(DEVICE_COOKIE, settings.secure_cookies, login_path)),
    )
    tokens = Tokens(app.redis.admin, settings.tokens)
    return create_app(
        app,
        settings,
        access=Identity(settings, accounts, tokens, reach, desk),
        audit=AuditJournal(app, settings.session_secret),
        guards=[ApiThrottle(counter, settings, reach), same_origin],
        outside=[
            lambda inner: SafeHeaders(inner, tls=settings.secure_cookies),
            lambda inner: Hosts(inner, settings.hosts),
            lambda inner: SessionMiddleware(inner, config),
        ],
        rows=[*ACCESS_ROUTES, *rows],
    )
