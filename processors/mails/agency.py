"""In whose name a mail goes out: an agency and its brand, or the platform."""

import re
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from processors.clients.mailbox import Mailbox, MailRefused, parse_mailbox
from processors.database import Database
from processors.paper.text import phone
from processors.templates.brand import Branding, is_color
from processors.templates.links import link_host
from processors.templates.render import Site
from streamq import Fail

REMEMBERED_S: Final = 60.0
"""How late a change of a brand may show."""
REMEMBERED_MAX: Final = 1_000
_LINE_CHARS_MAX: Final = 200
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class Agency(msgspec.Struct, frozen=True):
    """Who sends. `tenant` None: the platform."""

    tenant: str | None
    branding: Branding

    def sender(self, ours: Mailbox) -> Mailbox:
        """Our address, which our servers may send from, by the agency's name."""
        if self.tenant is None:
            return ours
        return msgspec.structs.replace(ours, name=self.branding.company_name)

    @property
    def reply_to(self) -> Mailbox | None:
        """Where an answer to an agency's mail belongs."""
        if self.tenant is None or self.branding.email is None:
            return None
        return Mailbox(self.branding.company_name, self.branding.email)


class _Row(msgspec.Struct, frozen=True):
    name: str
    logo: str | None
    primary_color: str
    secondary_color: str
    phone: str | None
    email: str | None
    address: str | None
    footer_text: str | None
    custom_domain: str | None


class _User(msgspec.Struct, frozen=True):
    email: str
    tenant_id: str


class Agencies:
    """The agencies of one database; each is read once a minute at most."""

    def __init__(self, database: Database | None, site: Site) -> None:
        self._database = database
        self._site = site
        self._known: dict[str, tuple[float, Agency]] = {}

    async def of(self, tenant: str | None, addresses: Sequence[str]) -> Agency:
        """The agency that the job names; else the one whose users all of `addresses` are; else the
        platform. Raises Fail for one that does not exist, and DatabaseUnavailable.
        """
        if self._database is None:
            return Agency(None, self._site.branding)
        if tenant is None:
            tenant = await self._of_users(self._database, addresses)
        if tenant is None:
            return Agency(None, self._site.branding)
        found = self._known.get(tenant)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        agency = await self._read(self._database, tenant)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[tenant] = (time.monotonic() + REMEMBERED_S, agency)
        return agency

    async def _of_users(self, database: Database, addresses: Sequence[str]) -> str | None:
        spellings = sorted({*addresses, *map(str.lower, addresses)})
        async with database.transaction(read_only=True) as work:
            users = await work.every(_User, _USERS, spellings=spellings)
        tenants = {user.tenant_id for user in users}
        if {user.email.lower() for user in users} == set(map(str.lower, addresses)):
            return tenants.pop() if len(tenants) == 1 else None
        return None

    async def _read(self, database: Database, tenant: str) -> Agency:
        async with database.transaction(tenant=tenant, read_only=True) as work:
            row = await work.one(_Row, _AGENCY, tenant=tenant)
        if row is None:
            raise Fail(
                f"there is no agency {tenant[:80]!r} (header tenant): it was deleted, or the job is"
                " of another database"
            )
        return Agency(tenant, _branding(row, self._site))


def _branding(row: _Row, site: Site) -> Branding:
    """What an agency filled in, as far as it can stand in a mail: a slip in a profile must not stop
    its mails.
    """
    ours = site.branding
    return Branding(
        company_name=_line(row.name) or ours.company_name,
        primary_color=_color(row.primary_color) or ours.primary_color,
        secondary_color=_color(row.secondary_color) or ours.secondary_color,
        logo=_link(row.logo, site.app_url),
        address=_line(row.address),
        phone=_line(phone(row.phone or "")),
        email=_address(row.email),
        website=_link(row.custom_domain and f"https://{row.custom_domain}", site.app_url),
        footer_text=_line(row.footer_text),
    )


def _line(text: str | None) -> str | None:
    """On one line, without what turns the order of letters, cut to 200."""
    cleaned = " ".join(_CONTROLS.sub(" ", text or "").split())
    return cleaned.replace("=?", "= ?")[:_LINE_CHARS_MAX].strip() or None


def _color(text: str) -> str | None:
    return text.strip() if is_color(text.strip()) else None


def _link(text: str | None, app_url: str) -> str | None:
    """An absolute link; what begins with a slash is the application's own."""
    if not text:
        return None
    link = f"{app_url}{text}" if text.startswith("/") else text
    try:
        link_host(link, "brand")
    except MailRefused:
        return None
    return link


def _address(text: str | None) -> str | None:
    try:
        return parse_mailbox(text, "brand").address if text else None
    except MailRefused:
        return None


_USERS: Final = """
    SELECT email, tenant_id FROM users WHERE email = ANY(%(spellings)s) AND deleted_at IS NULL
"""
_AGENCY: Final = """
    SELECT tenants.name, coalesce(nullif(brand.logo_url, ''), tenants.logo) AS logo,
        tenants.primary_color, tenants.secondary_color, tenants.phone, tenants.email,
        tenants.address, brand.footer_text, brand.custom_domain
    FROM tenants LEFT JOIN brand_settings AS brand ON brand.tenant_id = tenants.id
    WHERE tenants.id = %(tenant)s AND tenants.deleted_at IS NULL
"""
