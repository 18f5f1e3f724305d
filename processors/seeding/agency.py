"""One agency: itself, its people, its properties, and what happens between them."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from processors.seeding.people import BANKS, CITIES, City, Person, cnpj, person, street, zip_code
from processors.seeding.rows import Rows

HISTORY_DAYS: Final = 730
EVENTS: Final = (
    *("lead_created", "lead_status_changed", "payment_due_tomorrow", "payment_overdue"),
    *("payment_received", "contract_expiring_30days", "contract_signed", "property_published"),
    "property_visit_scheduled",
)
PROVIDERS: Final = ("zapier", "salesforce", "hubspot", "real-estate-portal")
_TYPES: Final = ("apartamento", "casa", "sala", "loja", "sobrado", "kitnet", "cobertura", "terreno")
_FEATURES: Final = ("churrasqueira", "piscina", "varanda", "portaria 24h", "academia", "mobiliado")


class Known(msgspec.Struct, frozen=True):
    """An agency that people know by its name."""

    id: str
    name: str
    slug: str
    domain: str
    colors: tuple[str, str]
    city: City


KNOWN: Final = (
    Known("1", "Imobiliária Sol", "sol", "sol.com", ("#f97316", "#ea580c"), CITIES[0]),
    Known("2", "Nova Casa Imóveis", "nova-casa", "novacasa.com", ("#3b82f6", "#2563eb"), CITIES[1]),
)


class Property(msgspec.Struct, frozen=True):
    """What other rows must know of one."""

    id: str
    category: str
    price: Decimal
    address: str
    owner_id: str


class Agency:
    """Everything that hangs together; equal for equal `seed`, `number`, `today` and password."""

    def __init__(self, seed: int, number: int, today: date, password_hash: str) -> None:
        self.random = Random(f"{seed}:{number}")
        self.number = number
        self.today = today
        self.now = datetime.combine(today, time(12), UTC)
        self.rows = Rows()
        self.known = _known(number)
        self.id = self.known.id
        self.brokers: list[str] = []
        self.admin = ""
        self._password_hash = password_hash
        self._people = 0

    def new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def moment(self, days: int = HISTORY_DAYS) -> datetime:
        """Some time in the last `days`, in office hours."""
        back = timedelta(days=self.random.randrange(1, days), minutes=self.random.randrange(600))
        return self.now - back

    def somebody(self) -> Person:
        self._people += 1
        return person(self.random, self.known.city, self.number * 1_000_000 + self._people)

    def found(self) -> None:
        """The agency itself, those who work there, and how it is set up."""
        known, city = self.known, self.known.city
        phone = f"+55{city.area_code}3{self.random.randrange(10**7):07}"
        address = f"{street(self.random, city)}, {city.name} - {city.state}"
        self.rows.add(
            *("tenants", known.id, known.name, known.slug, *known.colors, phone),
            *(f"contato@{known.domain}", address, self.now - timedelta(days=HISTORY_DAYS)),
        )
        document = cnpj(self.random)
        self.rows.add(
            *("tenant_settings", known.id, document, f"{self.random.randrange(10**7):07}"),
            *(f"CRECI-{city.state} {self.random.randrange(10**5):05}-J", self._bank(), "0001"),
            *(f"{self.random.randrange(10**5):05}-{self.random.randrange(10)}", document),
        )
        self.rows.add("brand_settings", known.id, f"{known.name} · {document}", known.slug)
        for role in ("Administrador", "Gestor", "Corretor", "Financeiro"):
            self.rows.add("user_roles", known.id, role, True)
        for event in EVENTS:
            self.rows.add("notification_preferences", known.id, event, True, True)
        for provider in PROVIDERS:
            self.rows.add("integration_configs", known.id, provider, "disconnected", self.now)
        self._staff()

    def _staff(self) -> None:
        first = str(self.number) if self.number <= len(KNOWN) else self.new_id()
        self.admin = self.user(first, "Administração", f"admin@{self.known.domain}", "admin")
        for role in ("broker", "broker", "financial"):
            name = self.somebody().name
            email = f"{role}{len(self.brokers) + 1}@{self.known.domain}"
            self.user(self.new_id(), name, email, role)
        for kind in ("daily", "weekly", "monthly"):
            self.rows.add("report_subscriptions", self.id, self.admin, kind, "pdf")

    def user(self, user_id: str, name: str, email: str, role: str) -> str:
        """Somebody who works there, and the traces that they leave."""
        rows, at = self.rows, self.now - timedelta(days=HISTORY_DAYS)
        last_login = self.moment(20)
        rows.add(
            *("users", user_id, self.id, name, email, self._password_hash, role, True),
            *(last_login, at),
        )
        if role == "broker":
            self.brokers.append(user_id)
        for kind in ("privacy", "marketing"):
            purpose = "Uso da plataforma" if kind == "privacy" else "Novidades por e-mail"
            rows.add("user_consents", user_id, self.id, email, kind, "2.1", purpose, "form", at)
        for days in (1, 45):  # one session that lives, and one that has ended
            ends = last_login + timedelta(days=20 if days == 1 else -days)
            token = f"{self.random.getrandbits(128):032x}"
            began = ends - timedelta(days=21)
            rows.add("user_sessions", user_id, self.id, token, "Firefox", "Linux", began, ends)
        for _ in range(5):
            rows.add("usage_logs", self.id, user_id, "property.view", self.moment(60))
            when = self.moment(120)
            rows.add("audit_logs", self.id, user_id, "property", None, "update", when)
        rows.add(
            *("compliance_audit_log", self.id, user_id, user_id, "user", "view", "user"),
            *(user_id, "consent", self.moment(90)),
        )
        return user_id

    def owner(self) -> str:
        """The id of somebody who owns properties."""
        who, owner_id = self.somebody(), self.new_id()
        account = f"{self.random.randrange(10**6):06}"
        self.rows.add(
            *("owners", owner_id, self.id, who.name, who.email, who.phone, who.cpf),
            *(street(self.random, self.known.city), self._bank(), "0001", account),
            *(who.email, self.moment()),
        )
        return owner_id

    def property(self, property_id: str, owner_id: str, category: str, status: str) -> Property:
        """One house or flat, with a price as its category has it: a month's, or the whole."""
        random, city = self.random, self.known.city
        kind, place = random.choice(_TYPES), random.choice(city.neighbourhoods)
        rooms = None if kind == "terreno" else random.randrange(1, 5)
        area = random.randrange(30, 300)
        price = Decimal(random.randrange(1_000, 9_000, 50))
        if category == "venda":
            price = Decimal(area * random.randrange(4_000, 14_000, 100))
        address, created = street(random, city, place), self.moment()
        title = f"{kind.capitalize()} em {place}" + _rooms(rooms)
        features = random.sample(_FEATURES, random.randrange(4))
        self.rows.add(
            *("properties", property_id, self.id, title, f"{title}. {area} m², bem localizado."),
            *(kind, category, price, address, city.name, city.state, zip_code(random, city)),
            *(rooms, rooms, area, features, status, random.random() < 0.1, created),
            created + (self.now - created) * random.random(),
        )
        return Property(property_id, category, price, address, owner_id)

    def _bank(self) -> str:
        return self.random.choice(BANKS)


def _rooms(rooms: int | None) -> str:
    if rooms is None:
        return ""
    return ", 1 quarto" if rooms == 1 else f", {rooms} quartos"


def _known(number: int) -> Known:
    """Agencies are counted from 1; those past the two by number."""
    if number <= len(KNOWN):
        return KNOWN[number - 1]
    name, slug = f"Imobiliária {number:03}", f"imobiliaria-{number:03}"
    city = CITIES[number % len(CITIES)]
    return Known(str(number), name, slug, f"{slug}.example.com", ("#0f766e", "#115e59"), city)
