"""Rows of one agency for tests of invoices and reports: small, and by ids that can be read."""

from datetime import date
from decimal import Decimal
from typing import Final

from processors.database import Database

TENANT: Final = "sol"
USER: Final = "1"
CONTRACT: Final = "contract-1"
PAYMENT: Final = "payment-1"
INVOICE: Final = "12345"
OTHER_TENANT: Final = "nova-casa"
OTHER_USER: Final = "2"
PIX_KEY: Final = "11.222.333/0001-81"


async def add_agency(database: Database, *, renter: str = "Ayşe Şahin Özgür") -> None:
    """Two agencies with a user each; the first with one rented property."""
    async with database.transaction() as work:
        for tenant, name, color in (
            (TENANT, "Imobiliária Sol", "#f97316"),
            (OTHER_TENANT, "Nova Casa Imóveis", "#3b82f6"),
        ):
            await work.run(
                "INSERT INTO tenants (id, name, slug, primary_color, phone, email, address)"
                " VALUES (%(id)s, %(name)s, %(slug)s, %(color)s, '+55 11 3333-4444',"
                " 'contato@example.com', 'Av. Paulista, 1000 - São Paulo/SP')",
                id=tenant,
                slug=tenant,
                name=name,
                color=color,
            )
        await work.run(
            "INSERT INTO users (id, tenant_id, name, email, password, role) VALUES"
            " (%(user)s, %(mine)s, 'Ana', 'user@example.com', 'x', 'admin'),"
            " (%(other)s, %(theirs)s, 'Bo', 'bo@example.com', 'x', 'admin')",
            user=USER,
            other=OTHER_USER,
            mine=TENANT,
            theirs=OTHER_TENANT,
        )
        await work.run(
            "INSERT INTO tenant_settings (tenant_id, cnpj, creci, bank_name, bank_agency,"
            " bank_account, pix_key) VALUES (%(tenant)s, %(key)s, 'CRECI-SP 12345-J',"
            " 'Banco do Brasil', '1234-5', '98765-4', %(key)s)",
            tenant=TENANT,
            key=PIX_KEY,
        )
        await work.run(
            "INSERT INTO properties (id, tenant_id, title, type, category, price, address, city,"
            " state, zip_code, status) VALUES ('property-1', %(tenant)s, 'Apartamento na Vila"
            " Mariana', 'apartamento', 'aluguel', 1550, 'Rua Vergueiro, 3000', 'São Paulo', 'SP',"
            " '04101-300', 'rented')",
            tenant=TENANT,
        )
        await work.run(
            "INSERT INTO owners (id, tenant_id, name, phone)"
            " VALUES ('owner-1', %(tenant)s, 'Caio', '1')",
            tenant=TENANT,
        )
        await work.run(
            "INSERT INTO renters (id, tenant_id, name, email, phone, cpf_cnpj, address)"
            " VALUES ('renter-1', %(tenant)s, %(name)s, 'renter@example.com', '+55 11 98765-4321',"
            " '529.982.247-25', 'Rua das Flores, 123')",
            tenant=TENANT,
            name=renter,
        )
        await work.run(
            "INSERT INTO rental_contracts (id, tenant_id, property_id, owner_id, renter_id,"
            " rent_value, start_date, end_date) VALUES (%(id)s, %(tenant)s, 'property-1',"
            " 'owner-1', 'renter-1', 1550, '2024-01-01', '2026-12-31')",
            id=CONTRACT,
            tenant=TENANT,
        )


async def add_payment(
    database: Database,
    *,
    payment_id: str = PAYMENT,
    month: str = "2025-01",
    due: date = date(2025, 1, 10),
    discounts: Decimal | None = None,
    status: str = "pending",
    paid: Decimal | None = None,
    paid_on: date | None = None,
) -> None:
    """Rent of 1,550, condominium of 600 and IPTU of 150, less the discounts."""
    total = Decimal("2300.00") - (discounts or 0)
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO rental_payments (id, tenant_id, rental_contract_id, reference_month,"
            " due_date, rent_value, condo_fee, iptu_value, discounts, total_value, paid_value,"
            " paid_date, status) VALUES (%(id)s, %(tenant)s, %(contract)s, %(month)s,"
            " %(due)s::date, 1550, 600, 150, %(discounts)s, %(total)s, %(paid)s, %(paid_on)s::date,"
            " %(status)s)",
            id=payment_id,
            tenant=TENANT,
            contract=CONTRACT,
            month=month,
            due=due,
            discounts=discounts,
            total=total,
            paid=paid,
            paid_on=paid_on,
            status=status,
        )


async def add_invoice(
    database: Database, *, status: str = "draft", subtotal: Decimal = Decimal("2300.00")
) -> None:
    """INV-012345 of the payment: three items, 100 of discount; due on the 10th of January 2025."""
    async with database.transaction() as work:
        await work.run(
            "INSERT INTO invoices (id, tenant_id, number, rental_payment_id, user_id, renter_id,"
            " issue_date, due_date, subtotal, discount, total, status) VALUES (%(id)s, %(tenant)s,"
            " 'INV-012345', %(payment)s, %(user)s, 'renter-1', '2025-01-02', '2025-01-10',"
            " %(subtotal)s, 100, %(subtotal)s - 100, %(status)s)",
            id=INVOICE,
            tenant=TENANT,
            payment=PAYMENT,
            user=USER,
            subtotal=subtotal,
            status=status,
        )
        for position, (what, amount) in enumerate(
            (("Aluguel", 1550), ("Condomínio", 600), ("IPTU", 150)), 1
        ):
            await work.run(
                "INSERT INTO invoice_items (invoice_id, position, description, details, unit_price,"
                " total) VALUES (%(id)s, %(position)s, %(what)s, 'Referente a janeiro de 2025',"
                " %(amount)s, %(amount)s)",
                id=INVOICE,
                position=position,
                what=what,
                amount=amount,
            )
