-- The application's own tables, those that the processors read or write: names, columns and checks
-- are the Node application's. In its own database they are there already, and stay as they are.
--
-- `timestamp` columns hold UTC. Some of them hold a day, at midnight: due_date, start_date,
-- end_date, paid_date, sale_date, entry_date. `local_day` (002) gives the day of either.

CREATE TABLE IF NOT EXISTS tenants (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    slug text NOT NULL UNIQUE,
    logo text,
    primary_color text NOT NULL DEFAULT '#0066cc',
    secondary_color text NOT NULL DEFAULT '#333333',
    phone text,
    email text,
    address text,
    created_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp
);

CREATE TABLE IF NOT EXISTS users (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    password text NOT NULL,
    role text NOT NULL DEFAULT 'user',
    avatar text,
    email_verified boolean DEFAULT false,
    last_login timestamp,
    created_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp,
    CONSTRAINT chk_users_email_format
        CHECK (email ~* '^[A-Z0-9._%+-]+@[A-Z0-9.-]+\.[A-Z]{2,}$'),
    CONSTRAINT chk_users_role CHECK (
        role IN ('admin', 'manager', 'broker', 'financial', 'user', 'viewer', 'owner', 'renter')
    )
);
CREATE INDEX IF NOT EXISTS users_by_tenant ON users (tenant_id);

CREATE TABLE IF NOT EXISTS tenant_settings (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL UNIQUE REFERENCES tenants (id),
    cnpj text,
    inscricao_municipal text,
    creci text,
    bank_name text,
    bank_agency text,
    bank_account text,
    pix_key text,
    business_hours_start text DEFAULT '09:00',
    business_hours_end text DEFAULT '18:00',
    updated_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS brand_settings (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL UNIQUE REFERENCES tenants (id),
    logo_url text,
    favicon_url text,
    custom_domain text,
    subdomain text,
    facebook_url text,
    instagram_url text,
    linkedin_url text,
    youtube_url text,
    footer_text text,
    whatsapp_enabled boolean NOT NULL DEFAULT true,
    updated_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS user_roles (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    permissions json NOT NULL DEFAULT '{}',
    is_system_role boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS tenant_subscriptions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL UNIQUE REFERENCES tenants (id),
    plan_id varchar NOT NULL,
    status text NOT NULL DEFAULT 'trial',
    trial_ends_at timestamp,
    current_period_start timestamp,
    current_period_end timestamp,
    cancelled_at timestamp,
    metadata json DEFAULT '{}',
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT chk_tenant_subscriptions_status
        CHECK (status IN ('trial', 'active', 'suspended', 'cancelled'))
);

CREATE TABLE IF NOT EXISTS properties (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    title text NOT NULL,
    description text,
    type text NOT NULL,
    category text NOT NULL,
    price numeric(12, 2) NOT NULL,
    address text NOT NULL,
    city text NOT NULL,
    state text NOT NULL,
    zip_code text,
    bedrooms integer,
    bathrooms integer,
    area integer,
    features text[],
    images text[],
    status text NOT NULL DEFAULT 'available',
    featured boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp,
    CONSTRAINT chk_properties_status
        CHECK (status IN ('available', 'rented', 'sold', 'unavailable', 'maintenance')),
    CONSTRAINT chk_properties_type CHECK (
        type IN (
            'apartamento', 'casa', 'terreno', 'comercial', 'rural', 'studio', 'kitnet', 'sobrado',
            'cobertura', 'loft', 'flat', 'chacara', 'fazenda', 'sitio', 'galpao', 'sala', 'loja',
            'predio'
        )
    ),
    CONSTRAINT chk_properties_category CHECK (category IN ('venda', 'aluguel', 'temporada')),
    CONSTRAINT chk_properties_price_positive CHECK (price >= 0),
    CONSTRAINT chk_properties_bedrooms_valid CHECK (bedrooms BETWEEN 0 AND 50),
    CONSTRAINT chk_properties_bathrooms_valid CHECK (bathrooms BETWEEN 0 AND 20),
    CONSTRAINT chk_properties_area_valid CHECK (area BETWEEN 1 AND 1000000)
);
CREATE INDEX IF NOT EXISTS properties_by_tenant ON properties (tenant_id, updated_at);

CREATE TABLE IF NOT EXISTS leads (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    email text NOT NULL,
    phone text NOT NULL,
    source text NOT NULL,
    status text NOT NULL DEFAULT 'new',
    budget numeric(12, 2),
    interests text[],
    notes text,
    assigned_to varchar REFERENCES users (id),
    preferred_type text,
    preferred_category text,
    preferred_city text,
    preferred_neighborhood text,
    min_bedrooms integer,
    max_bedrooms integer,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp,
    CONSTRAINT chk_leads_status CHECK (
        status IN (
            'new', 'contacted', 'qualified', 'proposal', 'negotiation', 'won', 'lost', 'archived'
        )
    ),
    CONSTRAINT chk_leads_source CHECK (
        source IN (
            'website', 'facebook', 'instagram', 'google', 'olx', 'vivareal', 'zapimoveis',
            'imovelweb', 'mercadolivre', 'referral', 'walk-in', 'phone', 'whatsapp', 'email',
            'outdoor', 'panfleto', 'other'
        )
    ),
    CONSTRAINT chk_leads_email_format
        CHECK (email ~* '^[A-Z0-9._%+-]+@[A-Z0-9.-]+\.[A-Z]{2,}$'),
    CONSTRAINT chk_leads_budget_positive CHECK (budget >= 0),
    CONSTRAINT chk_leads_bedrooms_range
        CHECK (min_bedrooms >= 0 AND max_bedrooms >= 0 AND min_bedrooms <= max_bedrooms)
);
CREATE INDEX IF NOT EXISTS leads_by_tenant ON leads (tenant_id, created_at);
CREATE INDEX IF NOT EXISTS leads_by_user ON leads (assigned_to);

CREATE TABLE IF NOT EXISTS interactions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    lead_id varchar NOT NULL REFERENCES leads (id),
    user_id varchar NOT NULL REFERENCES users (id),
    type text NOT NULL,
    content text NOT NULL,
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS interactions_by_user ON interactions (user_id);
CREATE INDEX IF NOT EXISTS interactions_by_lead ON interactions (lead_id);

CREATE TABLE IF NOT EXISTS visits (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    property_id varchar NOT NULL REFERENCES properties (id),
    lead_id varchar REFERENCES leads (id),
    scheduled_for timestamp NOT NULL,
    status text NOT NULL DEFAULT 'scheduled',
    notes text,
    assigned_to varchar REFERENCES users (id),
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT chk_visits_status
        CHECK (status IN ('scheduled', 'completed', 'cancelled', 'no-show'))
);
CREATE INDEX IF NOT EXISTS visits_by_tenant ON visits (tenant_id, scheduled_for);
CREATE INDEX IF NOT EXISTS visits_by_user ON visits (assigned_to);

CREATE TABLE IF NOT EXISTS contracts (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    property_id varchar NOT NULL REFERENCES properties (id),
    lead_id varchar NOT NULL REFERENCES leads (id),
    type text NOT NULL,
    status text NOT NULL DEFAULT 'draft',
    value numeric(12, 2) NOT NULL,
    terms text,
    signed_at timestamp,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp,
    CONSTRAINT chk_contracts_type CHECK (type IN ('sale', 'rental', 'lease')),
    CONSTRAINT chk_contracts_status
        CHECK (status IN ('draft', 'pending', 'signed', 'active', 'expired', 'cancelled')),
    CONSTRAINT chk_contracts_value_positive CHECK (value > 0)
);
CREATE INDEX IF NOT EXISTS contracts_by_tenant ON contracts (tenant_id, updated_at);

CREATE TABLE IF NOT EXISTS owners (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    email text,
    phone text NOT NULL,
    cpf_cnpj text,
    address text,
    bank_name text,
    bank_agency text,
    bank_account text,
    pix_key text,
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp
);
CREATE INDEX IF NOT EXISTS owners_by_tenant ON owners (tenant_id);

CREATE TABLE IF NOT EXISTS renters (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    email text,
    phone text NOT NULL,
    cpf_cnpj text,
    rg text,
    profession text,
    income numeric(12, 2),
    address text,
    emergency_contact text,
    emergency_phone text,
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp
);
CREATE INDEX IF NOT EXISTS renters_by_tenant ON renters (tenant_id);

CREATE TABLE IF NOT EXISTS rental_contracts (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    property_id varchar NOT NULL REFERENCES properties (id),
    owner_id varchar NOT NULL REFERENCES owners (id),
    renter_id varchar NOT NULL REFERENCES renters (id),
    rent_value numeric(12, 2) NOT NULL,
    condo_fee numeric(12, 2),
    iptu_value numeric(12, 2),
    due_day integer NOT NULL DEFAULT 10,
    start_date timestamp NOT NULL,
    end_date timestamp NOT NULL,
    adjustment_index text DEFAULT 'IGPM',
    deposit_value numeric(12, 2),
    administration_fee numeric(5, 2) DEFAULT 10,
    status text NOT NULL DEFAULT 'active',
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp,
    CONSTRAINT chk_rental_contracts_status
        CHECK (status IN ('draft', 'active', 'expired', 'cancelled', 'terminated')),
    CONSTRAINT chk_rental_contracts_rent_positive CHECK (rent_value > 0),
    CONSTRAINT chk_rental_contracts_condo_fee_positive CHECK (condo_fee >= 0),
    CONSTRAINT chk_rental_contracts_iptu_positive CHECK (iptu_value >= 0),
    CONSTRAINT chk_rental_contracts_due_day CHECK (due_day BETWEEN 1 AND 31),
    CONSTRAINT chk_rental_contracts_dates CHECK (end_date > start_date),
    CONSTRAINT chk_rental_contracts_admin_fee CHECK (administration_fee BETWEEN 0 AND 100),
    CONSTRAINT chk_rental_contracts_deposit_positive CHECK (deposit_value >= 0)
);
CREATE INDEX IF NOT EXISTS rental_contracts_by_tenant ON rental_contracts (tenant_id, status);
CREATE UNIQUE INDEX IF NOT EXISTS uq_rental_contracts_property_active
    ON rental_contracts (property_id) WHERE status = 'active';

CREATE TABLE IF NOT EXISTS rental_payments (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    rental_contract_id varchar NOT NULL REFERENCES rental_contracts (id),
    reference_month text NOT NULL,
    due_date timestamp NOT NULL,
    rent_value numeric(12, 2) NOT NULL,
    condo_fee numeric(12, 2),
    iptu_value numeric(12, 2),
    extra_charges numeric(12, 2),
    discounts numeric(12, 2),
    total_value numeric(12, 2) NOT NULL,
    paid_value numeric(12, 2),
    paid_date timestamp,
    status text NOT NULL DEFAULT 'pending',
    payment_method text,
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_rental_payments_contract_month UNIQUE (rental_contract_id, reference_month),
    CONSTRAINT chk_rental_payments_status CHECK (
        status IN ('pending', 'paid', 'overdue', 'partially_paid', 'cancelled', 'refunded')
    ),
    CONSTRAINT chk_rental_payments_rent_positive CHECK (rent_value >= 0),
    CONSTRAINT chk_rental_payments_condo_positive CHECK (condo_fee >= 0),
    CONSTRAINT chk_rental_payments_iptu_positive CHECK (iptu_value >= 0),
    CONSTRAINT chk_rental_payments_extra_positive CHECK (extra_charges >= 0),
    CONSTRAINT chk_rental_payments_discounts_positive CHECK (discounts >= 0),
    CONSTRAINT chk_rental_payments_total_positive CHECK (total_value >= 0),
    CONSTRAINT chk_rental_payments_paid_positive CHECK (paid_value >= 0),
    CONSTRAINT chk_rental_payments_paid_lte_total CHECK (paid_value <= total_value * 1.5),
    CONSTRAINT chk_rental_payments_reference_month_format CHECK (reference_month ~ '^\d{4}-\d{2}$')
);

CREATE TABLE IF NOT EXISTS rental_transfers (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    owner_id varchar NOT NULL REFERENCES owners (id),
    reference_month text NOT NULL,
    gross_amount numeric(12, 2) NOT NULL,
    administration_fee numeric(12, 2),
    maintenance_deductions numeric(12, 2),
    other_deductions numeric(12, 2),
    net_amount numeric(12, 2) NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    paid_date timestamp,
    payment_method text,
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_rental_transfers_owner_month UNIQUE (owner_id, reference_month),
    CONSTRAINT chk_rental_transfers_status CHECK (status IN ('pending', 'paid', 'cancelled')),
    CONSTRAINT chk_rental_transfers_gross_positive CHECK (gross_amount >= 0),
    CONSTRAINT chk_rental_transfers_net_positive CHECK (net_amount >= 0),
    CONSTRAINT chk_rental_transfers_net_lte_gross CHECK (net_amount <= gross_amount),
    CONSTRAINT chk_rental_transfers_reference_month_format CHECK (reference_month ~ '^\d{4}-\d{2}$')
);

CREATE TABLE IF NOT EXISTS property_sales (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    property_id varchar NOT NULL REFERENCES properties (id),
    buyer_lead_id varchar NOT NULL REFERENCES leads (id),
    seller_id varchar REFERENCES owners (id),
    broker_id varchar REFERENCES users (id),
    sale_value numeric(12, 2) NOT NULL,
    sale_date timestamp NOT NULL,
    commission_rate numeric(5, 2) DEFAULT 6,
    commission_value numeric(12, 2),
    status text NOT NULL DEFAULT 'completed',
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT chk_property_sales_status CHECK (status IN ('completed', 'pending', 'cancelled')),
    CONSTRAINT chk_property_sales_value_positive CHECK (sale_value > 0),
    CONSTRAINT chk_property_sales_commission_rate_valid CHECK (commission_rate BETWEEN 0 AND 100),
    CONSTRAINT chk_property_sales_commission_value_positive CHECK (commission_value >= 0)
);
CREATE INDEX IF NOT EXISTS property_sales_by_tenant ON property_sales (tenant_id, sale_date);

CREATE TABLE IF NOT EXISTS commissions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    sale_id varchar REFERENCES property_sales (id),
    rental_contract_id varchar REFERENCES rental_contracts (id),
    broker_id varchar NOT NULL REFERENCES users (id),
    transaction_type text NOT NULL,
    transaction_value numeric(12, 2) NOT NULL,
    commission_rate numeric(5, 2) NOT NULL,
    gross_commission numeric(12, 2) NOT NULL,
    agency_split numeric(5, 2) NOT NULL DEFAULT 50,
    broker_commission numeric(12, 2) NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    approved_at timestamp,
    paid_at timestamp,
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT chk_commissions_transaction_type CHECK (transaction_type IN ('sale', 'rental')),
    CONSTRAINT chk_commissions_status CHECK (status IN ('pending', 'approved', 'paid')),
    CONSTRAINT chk_commissions_transaction_value_positive CHECK (transaction_value > 0),
    CONSTRAINT chk_commissions_rate_valid CHECK (commission_rate BETWEEN 0 AND 100),
    CONSTRAINT chk_commissions_agency_split_valid CHECK (agency_split BETWEEN 0 AND 100)
);
CREATE INDEX IF NOT EXISTS commissions_by_tenant ON commissions (tenant_id, created_at);

CREATE TABLE IF NOT EXISTS finance_entries (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    category_id varchar,
    source_type text,
    source_id varchar,
    description text NOT NULL,
    amount numeric(12, 2) NOT NULL,
    flow text NOT NULL,
    entry_date timestamp NOT NULL,
    notes text,
    status text NOT NULL DEFAULT 'completed',
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT chk_finance_entries_flow CHECK (flow IN ('in', 'out')),
    CONSTRAINT chk_finance_entries_amount_positive CHECK (amount > 0),
    CONSTRAINT chk_finance_entries_status CHECK (status IN ('pending', 'completed', 'cancelled'))
);
CREATE INDEX IF NOT EXISTS finance_entries_by_tenant ON finance_entries (tenant_id, entry_date);

CREATE TABLE IF NOT EXISTS newsletter_subscriptions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    email text NOT NULL UNIQUE,
    tenant_id varchar REFERENCES tenants (id),
    subscribed_at timestamp NOT NULL DEFAULT now(),
    active boolean NOT NULL DEFAULT true,
    unsubscribed_at timestamp
);

CREATE TABLE IF NOT EXISTS notification_preferences (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    event_type text NOT NULL,
    email_enabled boolean NOT NULL DEFAULT true,
    whatsapp_enabled boolean NOT NULL DEFAULT false,
    app_push_enabled boolean NOT NULL DEFAULT true,
    recipients text[] DEFAULT '{}',
    updated_at timestamp NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_notification_preferences_tenant_event
    ON notification_preferences (tenant_id, event_type);

CREATE TABLE IF NOT EXISTS integration_configs (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    integration_type text,
    integration_name text NOT NULL,
    status text NOT NULL DEFAULT 'disconnected',
    config json DEFAULT '{}',
    last_sync timestamp,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_integration_configs_tenant_integration
    ON integration_configs (tenant_id, integration_name);

CREATE TABLE IF NOT EXISTS saved_reports (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar NOT NULL REFERENCES users (id),
    name text NOT NULL,
    report_type text NOT NULL,
    filters json NOT NULL,
    is_favorite boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS files (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar REFERENCES users (id),
    filename text NOT NULL,
    original_name text NOT NULL,
    mime_type text NOT NULL,
    size bigint NOT NULL,
    path text NOT NULL,
    url text,
    category text NOT NULL DEFAULT 'document',
    related_to text,
    related_id varchar,
    metadata json,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    deleted_at timestamp
);
CREATE INDEX IF NOT EXISTS files_by_relation ON files (tenant_id, related_to, related_id);

CREATE TABLE IF NOT EXISTS usage_logs (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar REFERENCES tenants (id),
    user_id varchar REFERENCES users (id),
    action text NOT NULL,
    details json DEFAULT '{}',
    ip_address text,
    user_agent text,
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS usage_logs_by_time ON usage_logs (created_at);

CREATE TABLE IF NOT EXISTS audit_logs (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar REFERENCES users (id),
    entity_type text NOT NULL,
    entity_id varchar,
    action text NOT NULL,
    old_values text,
    new_values text,
    metadata json,
    ip_address text,
    user_agent text,
    occurred_at timestamp NOT NULL DEFAULT now(),
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS audit_logs_by_time ON audit_logs (occurred_at);

CREATE TABLE IF NOT EXISTS user_sessions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id varchar NOT NULL REFERENCES users (id),
    tenant_id varchar REFERENCES tenants (id),
    session_token text NOT NULL UNIQUE,
    device_name text,
    device_type text,
    browser text,
    os text,
    ip_address text,
    user_agent text,
    location text,
    last_activity timestamp NOT NULL DEFAULT now(),
    expires_at timestamp NOT NULL,
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS user_sessions_by_end ON user_sessions (expires_at);

CREATE TABLE IF NOT EXISTS user_consents (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id varchar REFERENCES users (id),
    tenant_id varchar REFERENCES tenants (id),
    email text,
    consent_type text NOT NULL,
    consent_version text,
    status text NOT NULL DEFAULT 'active',
    purpose text,
    consent_method text,
    ip_address text,
    user_agent text,
    accepted_at timestamp DEFAULT now(),
    withdrawn_at timestamp,
    expires_at timestamp,
    metadata json,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS user_consents_by_user ON user_consents (user_id);

-- A legal record: nothing of ours ever deletes from it.
CREATE TABLE IF NOT EXISTS compliance_audit_log (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar REFERENCES tenants (id),
    user_id varchar REFERENCES users (id),
    actor_id varchar,
    actor_type text,
    action text NOT NULL,
    resource_type text,
    resource_id varchar,
    details json,
    ip_address text,
    user_agent text,
    legal_basis text,
    severity text DEFAULT 'info',
    "timestamp" timestamp NOT NULL DEFAULT now(),
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS compliance_audit_log_by_user
    ON compliance_audit_log (user_id, created_at);

CREATE TABLE IF NOT EXISTS data_export_requests (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id varchar REFERENCES users (id),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    email text,
    request_token text UNIQUE,
    status text NOT NULL DEFAULT 'pending',
    format text NOT NULL DEFAULT 'json',
    data_scope json,
    export_url text,
    file_url text,
    file_name text,
    expires_at timestamp,
    requested_at timestamp NOT NULL DEFAULT now(),
    completed_at timestamp,
    downloaded_at timestamp,
    download_count integer DEFAULT 0,
    file_size bigint,
    ip_address text,
    error text,
    error_message text,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT chk_data_export_requests_status
        CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    -- The database knew json, csv and pdf; the jobs write zip.
    CONSTRAINT chk_data_export_requests_format CHECK (format IN ('json', 'csv', 'zip', 'pdf'))
);
CREATE INDEX IF NOT EXISTS data_export_requests_by_end ON data_export_requests (expires_at);
