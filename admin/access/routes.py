"""The routes of access, in the form of the table that they are added to; see `admin/routes.py`."""

from typing import Final

from admin.access import audit, login
from admin.policy import Row
from admin.routes import ADMIN, ANYONE, GET, POST, VIEWER, api, row

# fmt: off
ACCESS_ROUTES: Final[tuple[Row, ...]] = (
    row(POST, "/api/admin/login", login.login, ANYONE, "log in", "session.login"),
    row(POST, "/api/admin/logout", login.logout, ANYONE, "log out", "session.logout"),
    row(POST, "/api/admin/logout-everywhere", login.logout_everywhere, VIEWER,
        "log out everywhere", "session.logout-everywhere"),
    row(GET, "/api/admin/me", login.me, VIEWER, "tell who you are"),
    api(GET, "/audit", audit.audit, ADMIN, "read the audit"),
)
# fmt: on
