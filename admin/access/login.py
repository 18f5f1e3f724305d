"""Logging in and out, and who I am: the endpoints. What they decide by stands in desk.py."""

from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from admin.access.accounts import LOGIN_CHARS_MAX
from admin.access.desk import NotAdmitted
from admin.access.identity import Identity
from admin.access.landing import NEXT_CHARS_MAX, landing
from admin.access.passwords import PASSWORD_CHARS_MAX
from admin.access.sessions import Ours, visit_of
from admin.api.paths import Done, done
from admin.api.shown import EpochMs
from admin.call import Call
from admin.errors import Refused, Unauthorized
from admin.policy import Role, Via, Who

HOME: Final = "/"


class LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: Annotated[
        str,
        Meta(min_length=1, max_length=LOGIN_CHARS_MAX, description="a user's name or e-mail"),
    ]
    password: Annotated[str, Meta(min_length=1, max_length=PASSWORD_CHARS_MAX)]
    next: Annotated[
        str, Meta(max_length=NEXT_CHARS_MAX, description="a path of this site to go on to")
    ] = HOME

    def __repr__(self) -> str:
        return "LoginBody()"  # no password in any log


class LoggedIn(msgspec.Struct, frozen=True, rename="camel"):
    """The session is in the cookie. `next`: where to go on; `expiresOn`: not later than then."""

    success: bool
    message: str
    user: str
    role: Role
    expires_on: EpochMs
    next: str


class Me(msgspec.Struct, frozen=True):
    user: str
    role: Role
    via: Via


def identity_of(call: Call) -> Identity:
    access = call.site.access
    assert isinstance(access, Identity)
    return access


async def login(call: Call, body: LoginBody) -> LoggedIn:
    """A session, in a cookie, for a user and a password."""
    identity = identity_of(call)
    address = identity.address(call.request)
    try:
        admitted = await identity.desk.admit(call.request, body.username, body.password, address)
    except NotAdmitted as error:
        # What is no name of ours may be a password in the wrong field: it is not noted.
        name = error.account.name if error.account else "unknown"
        call.note(after={"user": name, "address": address})
        raise error.refused from None
    name = admitted.account.name
    call.who = Who(name, admitted.role, Via.SESSION, address)
    call.detail = f"{name} logged in"
    home = call.site.settings.prefix + HOME
    return LoggedIn(
        True,
        f"Logged in as {name}",
        name,
        admitted.role,
        admitted.session.ends_at_ms,
        landing(body.next, home) if body.next != HOME else home,
    )


async def logout(call: Call) -> Done:
    """Ends the session of this browser; there may be none."""
    call.who = await call.known_who()
    ended = await visit_of(call.request).end()
    call.detail = "Logged out" if ended else "There was no session"
    return done(call.detail)


async def logout_everywhere(call: Call) -> Done:
    """Ends every session that you have here, in whatever browser."""
    visit = visit_of(call.request)
    found = await visit.find()
    if found is None or call.who is None or call.who.via is not Via.SESSION:
        raise Unauthorized("Only a session has others beside it; a token is revoked.")
    if isinstance(found, Ours):
        await visit.end_all(found.session.account)
        call.detail = "Logged out everywhere"
    else:
        await visit.end()
        call.detail = "Logged out here; other sessions of the application are the application's"
    return done(call.detail)


async def me(call: Call) -> Me:
    who = call.who
    if who is None:
        raise Refused(HTTPStatus.UNAUTHORIZED, "Unauthorized")
    return Me(who.name, who.role, who.via)
