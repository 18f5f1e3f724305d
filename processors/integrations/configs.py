"""Which agencies have connected a provider, and how it went last."""

from collections.abc import Mapping
from typing import Final

import msgspec

from processors.database import Transaction
from processors.integrations.kinds import Provider

# The Node application's own names of integrations are others than the jobs'.
_NAMES: Final[Mapping[Provider, tuple[str, ...]]] = {
    Provider.PORTAL: (Provider.PORTAL.value, "portals"),
}


class Connection(msgspec.Struct, frozen=True):
    """An agency that has connected the provider."""

    id: str
    tenant_id: str
    agency: str
    config: Mapping[str, object] | None

    def __repr__(self) -> str:
        return f"Connection(tenant_id={self.tenant_id!r})"  # `config` holds keys

    @property
    def settings(self) -> Mapping[str, object]:
        return self.config or {}


async def connections(
    work: Transaction, provider: Provider, tenant: str | None
) -> list[Connection]:
    """All of them, or the one of that agency; those in trouble are tried again."""
    found = await work.every(
        Connection,
        """
        SELECT c.id, c.tenant_id, t.name AS agency, c.config
        FROM integration_configs c
        JOIN tenants t ON t.id = c.tenant_id AND t.deleted_at IS NULL
        WHERE c.integration_name = ANY(%(names)s) AND c.status IN ('connected', 'error')
          AND (%(tenant)s::varchar IS NULL OR c.tenant_id = %(tenant)s::varchar)
        ORDER BY c.tenant_id, c.id
        """,
        names=list(_NAMES.get(provider, (provider.value,))),
        tenant=tenant,
    )
    return [one for one in found if one.settings.get("enabled", True) is not False]


async def went(work: Transaction, connection: Connection, *, well: bool) -> None:
    """Writes how it went, unless the agency has disconnected it meanwhile."""
    await work.run(
        """
        UPDATE integration_configs
        SET status = CASE WHEN %(well)s THEN 'connected' ELSE 'error' END,
            last_sync = CASE WHEN %(well)s THEN now() ELSE last_sync END,
            updated_at = now()
        WHERE id = %(id)s AND status IN ('connected', 'error')
        """,
        id=connection.id,
        well=well,
    )
