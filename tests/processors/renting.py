"""Rows of an agency for tests of reminders: a contract, its renter, and payments by their day."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from processors.database import Database
from processors.days import day_of

SOL = "sol"


def today() -> date:
    return day_of(datetime.now(UTC))


class Agency:
    """Adds rows of one tenant. Days are told from today: -5 is five days ago."""

    def __init__(self, database: Database, tenant: str = SOL) -> None:
        self.database = database
        self.tenant = tenant
        self._contracts = 0

    async def open(self) -> None:
        async with self.database.transaction() as work:
            await work.run(
                "INSERT INTO tenants (id, name, slug) VALUES (%(t)s, 'Imobiliária Sol', %(slug)s)",
                slug=self.tenant,
                t=self.tenant,
            )
            await work.run(
                "INSERT INTO tenant_settings (tenant_id, pix_key) VALUES (%(t)s, 'pix@sol.com')",
                t=self.tenant,
            )
            await work.run(
                "INSERT INTO owners (id, tenant_id, name, phone)"
                " VALUES (%(t)s, %(t)s, 'Dona', '1')",
                t=self.tenant,
            )

    async def contract(
        self,
        *due: int,
        email: str | None = "ana@example.com",
        ends: int = 400,
        status: str = "active",
    ) -> str:
        """A contract with an open payment of R$ 1.550,00 for each day of `due`; its id."""
        self._contracts += 1
        contract = f"{self.tenant}-{self._contracts}"
        day = today()
        async with self.database.transaction() as work:
            await work.run(
                "INSERT INTO properties (id, tenant_id, title, type, category, price, address,"
                " city, state) VALUES (%(id)s, %(t)s, 'Apê', 'apartamento', 'aluguel', 1,"
                " 'Rua das Flores, 10', 'São Paulo', 'SP')",
                id=contract,
                t=self.tenant,
            )
            await work.run(
                "INSERT INTO renters (id, tenant_id, name, email, phone)"
                " VALUES (%(id)s, %(t)s, 'Ana Souza', %(email)s, '1')",
                id=contract,
                t=self.tenant,
                email=email,
            )
            await work.run(
                "INSERT INTO rental_contracts (id, tenant_id, property_id, owner_id, renter_id,"
                " rent_value, start_date, end_date, status) VALUES (%(id)s, %(t)s, %(id)s, %(t)s,"
                " %(id)s, 1550, %(start)s::date, %(end)s::date, %(status)s)",
                id=contract,
                t=self.tenant,
                start=day - timedelta(days=900),
                end=day + timedelta(days=ends),
                status=status,
            )
            for number, days in enumerate(due, 1):
                await work.run(
                    "INSERT INTO rental_payments (id, tenant_id, rental_contract_id,"
                    " reference_month, due_date, rent_value, total_value) VALUES"
                    " (%(id)s, %(t)s, %(contract)s, %(month)s, %(due)s::date, 1550, 1550)",
                    id=f"{contract}_{days}",
                    t=self.tenant,
                    contract=contract,
                    month=f"2025-{number:02}",
                    due=day + timedelta(days=days),
                )
        return contract

    async def pay(self, payment: str, amount: int = 1550, status: str = "paid") -> None:
        """Pays it, in part if it is less; `status`: what it is then called."""
        async with self.database.transaction() as work:
            await work.run(
                "UPDATE rental_payments SET paid_value = %(amount)s::numeric, paid_date = now(),"
                " status = CASE WHEN %(amount)s < total_value THEN 'partially_paid'"
                " ELSE %(status)s END WHERE id = %(id)s",
                id=payment,
                amount=Decimal(amount),
                status=status,
            )

    async def switch_off(self, event: str) -> None:
        async with self.database.transaction() as work:
            await work.run(
                "INSERT INTO notification_preferences (tenant_id, event_type, email_enabled)"
                " VALUES (%(t)s, %(event)s, false)",
                t=self.tenant,
                event=event,
            )
