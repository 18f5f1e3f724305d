"""What an export holds: which tables, and which of their rows are whose."""

from enum import StrEnum
from typing import Final, LiteralString

import msgspec


class ExportType(StrEnum):
    USER_DATA = "user-data"
    PROPERTIES = "properties"
    CONTRACTS = "contracts"
    ALL = "all"


AGENCY_ROLES: Final = frozenset({"admin", "broker"})
"""Who has all of the agency's rows in an export; others have their own."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of it. `own` picks the user's rows, as `mine` names the verified address or NULL.

    All columns are in it, what a later release adds too, unless `columns` says which.
    """

    name: LiteralString
    title: str
    """In the README's words."""
    types: frozenset[ExportType]
    own: LiteralString
    shared: bool = False
    """Whether some roles have all of the agency's rows."""
    live: LiteralString = "true"
    columns: LiteralString = "*"

    def rows(self, role: str) -> LiteralString:
        """Which rows, as a condition. The agency's fence is the transaction's besides."""
        if self.shared and role in AGENCY_ROLES:
            return f"tenant_id = %(tenant)s AND {self.live}"
        return f"{self.own} AND {self.live}"


_PERSONAL: Final = frozenset({ExportType.USER_DATA, ExportType.ALL})
_PROPERTIES: Final = frozenset({ExportType.PROPERTIES, ExportType.ALL})
_CONTRACTS: Final = frozenset({ExportType.CONTRACTS, ExportType.ALL})
_NOT_DELETED: Final = "deleted_at IS NULL"

# Owners and renters are people of the agency's; one who also logs in has the same address, and only
# a verified one counts: anybody can write an address into a form.
_MY_RENTALS: Final = (
    "(owner_id IN (SELECT id FROM owners WHERE lower(email) = %(mine)s)"
    " OR renter_id IN (SELECT id FROM renters WHERE lower(email) = %(mine)s))"
)

TABLES: Final = (
    Table(
        name="users",
        title="Dados da conta",
        types=_PERSONAL,
        own="id = %(user)s",
        columns=(
            "id, tenant_id, name, email, role, avatar, email_verified, last_login, created_at,"
            " deleted_at"
        ),
    ),
    Table(name="user_consents", title="Consentimentos", types=_PERSONAL, own="user_id = %(user)s"),
    Table(
        name="interactions",
        title="Interações registradas",
        types=_PERSONAL,
        own="user_id = %(user)s",
    ),
    Table(
        name="compliance_audit_log",
        title="Registro de auditoria (os 1.000 mais recentes)",
        types=_PERSONAL,
        own=(
            "id IN (SELECT id FROM compliance_audit_log WHERE user_id = %(user)s"
            " ORDER BY created_at DESC LIMIT 1000)"
        ),
    ),
    Table(
        name="leads",
        title="Clientes interessados atribuídos",
        types=_PERSONAL,
        own="assigned_to = %(user)s",
        live=_NOT_DELETED,
    ),
    Table(name="visits", title="Visitas atribuídas", types=_PERSONAL, own="assigned_to = %(user)s"),
    Table(
        name="owners",
        title="Cadastro de proprietário",
        types=_PERSONAL,
        own="lower(email) = %(mine)s",
        live=_NOT_DELETED,
    ),
    Table(
        name="renters",
        title="Cadastro de inquilino",
        types=_PERSONAL,
        own="lower(email) = %(mine)s",
        live=_NOT_DELETED,
    ),
    Table(
        name="properties",
        title="Imóveis",
        types=_PROPERTIES,
        own=f"id IN (SELECT property_id FROM rental_contracts WHERE {_MY_RENTALS})",
        shared=True,
        live=_NOT_DELETED,
    ),
    Table(
        name="contracts",
        title="Contratos",
        types=_CONTRACTS,
        own="lead_id IN (SELECT id FROM leads WHERE assigned_to = %(user)s)",
        shared=True,
        live=_NOT_DELETED,
    ),
    Table(
        name="rental_contracts",
        title="Contratos de locação",
        types=_CONTRACTS,
        own=_MY_RENTALS,
        shared=True,
        live=_NOT_DELETED,
    ),
    Table(
        name="rental_payments",
        title="Pagamentos de aluguel",
        types=_CONTRACTS,
        own=(
            "rental_contract_id IN (SELECT id FROM rental_contracts"
            f" WHERE {_MY_RENTALS} AND {_NOT_DELETED})"
        ),
        shared=True,
    ),
    Table(
        name="files",
        title="Arquivos",
        types=frozenset({ExportType.ALL}),
        own="user_id = %(user)s",
        shared=True,
        live=_NOT_DELETED,
    ),
)


def tables_of(kind: ExportType) -> tuple[Table, ...]:
    return tuple(table for table in TABLES if kind in table.types)
