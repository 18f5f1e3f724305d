"""The tables that are filled, in the order of their references, and the rows of one agency."""

from typing import Final

Cells = tuple[object, ...]

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    table: tuple(columns.split())
    for table, columns in {
        "tenants": "id name slug primary_color secondary_color phone email address created_at",
        "tenant_settings": "tenant_id cnpj inscricao_municipal creci bank_name bank_agency"
        " bank_account pix_key",
        "brand_settings": "tenant_id footer_text subdomain",
        "users": "id tenant_id name email password role email_verified last_login created_at",
        "user_roles": "tenant_id name is_system_role",
        "notification_preferences": "tenant_id event_type email_enabled app_push_enabled",
        "integration_configs": "tenant_id integration_name status updated_at",
        "report_subscriptions": "tenant_id user_id type format",
        "user_consents": "user_id tenant_id email consent_type consent_version purpose"
        " consent_method accepted_at",
        "user_sessions": "user_id tenant_id session_token browser os last_activity expires_at",
        "usage_logs": "tenant_id user_id action created_at",
        "audit_logs": "tenant_id user_id entity_type entity_id action occurred_at",
        "compliance_audit_log": "tenant_id user_id actor_id actor_type action resource_type"
        " resource_id legal_basis created_at",
        "newsletter_subscriptions": "email tenant_id active subscribed_at",
        "properties": "id tenant_id title description type category price address city state"
        " zip_code bedrooms bathrooms area features status featured created_at updated_at",
        "owners": "id tenant_id name email phone cpf_cnpj address bank_name bank_agency"
        " bank_account pix_key created_at",
        "renters": "id tenant_id name email phone cpf_cnpj profession income address created_at",
        "leads": "id tenant_id name email phone source status budget assigned_to preferred_type"
        " preferred_city created_at updated_at",
        "interactions": "lead_id user_id type content created_at",
        "visits": "tenant_id property_id lead_id scheduled_for status assigned_to created_at",
        "contracts": "tenant_id property_id lead_id type status value signed_at created_at"
        " updated_at",
        "rental_contracts": "id tenant_id property_id owner_id renter_id rent_value condo_fee"
        " iptu_value due_day start_date end_date deposit_value status created_at updated_at",
        "rental_payments": "id tenant_id rental_contract_id reference_month due_date rent_value"
        " condo_fee iptu_value discounts total_value paid_value paid_date status payment_method"
        " created_at",
        "rental_transfers": "tenant_id owner_id reference_month gross_amount administration_fee"
        " net_amount status paid_date created_at",
        "property_sales": "id tenant_id property_id buyer_lead_id seller_id broker_id sale_value"
        " sale_date commission_rate commission_value status created_at",
        "commissions": "tenant_id sale_id broker_id transaction_type transaction_value"
        " commission_rate gross_commission broker_commission status paid_at created_at",
        "finance_entries": "tenant_id source_type source_id description amount flow entry_date"
        " status created_at",
        "invoices": "id tenant_id number rental_payment_id user_id renter_id issue_date due_date"
        " subtotal discount total status created_at",
        "invoice_items": "invoice_id position description details quantity unit_price total",
        "invoice_numbers": "tenant_id last",
    }.items()
}


class Rows:
    """What is to be written, by table."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Cells]] = {table: [] for table in COLUMNS}

    def add(self, table: str, *cells: object) -> None:
        assert len(cells) == len(COLUMNS[table]), f"{table} has other columns than {cells!r}"
        self._rows[table].append(cells)

    def of(self, table: str) -> list[Cells]:
        return self._rows[table]
