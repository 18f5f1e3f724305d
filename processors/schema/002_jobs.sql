-- What the processors add to the application's tables.

-- The day of a point in time. Midnight UTC is how the application writes a day itself (a due date);
-- any other time is UTC, and its day is the one in São Paulo at that moment.
CREATE FUNCTION local_day(moment timestamp) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE
    WHEN moment = date_trunc('day', moment) THEN moment::date
    ELSE (moment AT TIME ZONE 'UTC' AT TIME ZONE 'America/Sao_Paulo')::date
END;

CREATE INDEX rental_payments_by_due_day ON rental_payments (tenant_id, local_day(due_date));
CREATE INDEX rental_payments_by_paid_day
    ON rental_payments (tenant_id, local_day(paid_date)) WHERE status = 'paid';
CREATE INDEX rental_payments_open_by_due_day
    ON rental_payments (local_day(due_date)) WHERE status IN ('pending', 'overdue', 'partially_paid');

CREATE TABLE invoices (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    number text NOT NULL,
    rental_payment_id varchar UNIQUE REFERENCES rental_payments (id),
    user_id varchar NOT NULL REFERENCES users (id),
    renter_id varchar REFERENCES renters (id),
    issue_date timestamp NOT NULL DEFAULT now(),
    due_date timestamp NOT NULL,
    subtotal numeric(12, 2) NOT NULL,
    discount numeric(12, 2) NOT NULL DEFAULT 0,
    tax numeric(12, 2) NOT NULL DEFAULT 0,
    total numeric(12, 2) NOT NULL,
    currency text NOT NULL DEFAULT 'BRL',
    status text NOT NULL DEFAULT 'draft',
    pdf_key text,
    issued_at timestamp,
    notes text,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_invoices_number UNIQUE (tenant_id, number),
    CONSTRAINT chk_invoices_status
        CHECK (status IN ('draft', 'issued', 'sent', 'paid', 'cancelled')),
    CONSTRAINT chk_invoices_total
        CHECK (subtotal >= 0 AND discount >= 0 AND tax >= 0 AND total = subtotal - discount + tax)
);

CREATE TABLE invoice_items (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    invoice_id varchar NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    position integer NOT NULL,
    description text NOT NULL,
    details text,
    quantity numeric(12, 3) NOT NULL DEFAULT 1,
    unit_price numeric(12, 2) NOT NULL,
    total numeric(12, 2) NOT NULL,
    CONSTRAINT uq_invoice_items_position UNIQUE (invoice_id, position)
);

-- The last number given out: taken in the transaction that makes the invoice, so that none is
-- given twice and none is lost.
CREATE TABLE invoice_numbers (
    tenant_id varchar PRIMARY KEY REFERENCES tenants (id),
    last integer NOT NULL
);

-- A link in a mail: ours, for a few days; opened, it leads to a presigned one for minutes.
CREATE TABLE download_links (
    token_sha256 bytea PRIMARY KEY,
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar REFERENCES users (id),
    object_key text NOT NULL,
    filename text NOT NULL,
    mime_type text NOT NULL,
    expires_at timestamp NOT NULL,
    opened integer NOT NULL DEFAULT 0,
    created_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX download_links_by_end ON download_links (expires_at);
CREATE INDEX download_links_by_object ON download_links (object_key);

CREATE TABLE reminder_log (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    rental_payment_id varchar NOT NULL REFERENCES rental_payments (id),
    type text NOT NULL,
    sent_on date NOT NULL,
    job_id text NOT NULL,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_reminder_log UNIQUE (rental_payment_id, type, sent_on),
    CONSTRAINT chk_reminder_log_type CHECK (type IN ('upcoming', 'overdue', 'final-notice'))
);

-- One row for each recipient of each mail; the row is what keeps a retry from mailing twice.
CREATE TABLE email_log (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar REFERENCES tenants (id),
    job_id text NOT NULL,
    recipient text NOT NULL,
    template text NOT NULL,
    provider text NOT NULL,
    message_id text NOT NULL,
    status text NOT NULL,
    reply text,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_email_log UNIQUE (job_id, recipient),
    CONSTRAINT chk_email_log_status
        CHECK (status IN ('sending', 'sent', 'deferred', 'refused', 'suppressed'))
);
CREATE INDEX email_log_by_recipient ON email_log (lower(recipient), created_at);

CREATE TABLE email_suppressions (
    email text PRIMARY KEY CHECK (email = lower(email)),
    reason text NOT NULL CHECK (reason IN ('bounce', 'complaint', 'unsubscribe')),
    created_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE notifications (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar NOT NULL REFERENCES users (id),
    job_id text NOT NULL,
    title text NOT NULL,
    message text NOT NULL,
    type text NOT NULL,
    action_url text,
    data json,
    read boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_notifications_job_user UNIQUE (job_id, user_id),
    CONSTRAINT chk_notifications_type CHECK (type IN ('info', 'success', 'warning', 'error'))
);
CREATE INDEX notifications_by_user ON notifications (user_id, created_at);

CREATE TABLE push_subscriptions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar NOT NULL REFERENCES users (id),
    endpoint text NOT NULL UNIQUE,
    p256dh text NOT NULL,
    auth text NOT NULL,
    created_at timestamp NOT NULL DEFAULT now(),
    failed_at timestamp
);
CREATE INDEX push_subscriptions_by_user ON push_subscriptions (user_id);

CREATE TABLE report_subscriptions (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    user_id varchar NOT NULL REFERENCES users (id),
    type text NOT NULL CHECK (type IN ('daily', 'weekly', 'monthly')),
    format text NOT NULL DEFAULT 'pdf' CHECK (format IN ('pdf', 'excel', 'csv')),
    active boolean NOT NULL DEFAULT true,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_report_subscriptions UNIQUE (user_id, type)
);

CREATE TABLE backups (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    job_id text NOT NULL,
    database text NOT NULL,
    type text NOT NULL CHECK (type IN ('full', 'incremental')),
    key text UNIQUE,
    files_key text,
    size bigint,
    sha256 text,
    status text NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'deleted')),
    error text,
    started_at timestamp NOT NULL DEFAULT now(),
    finished_at timestamp,
    verified_at timestamp
);
CREATE INDEX backups_by_start ON backups (database, started_at);

CREATE TABLE integration_entity_links (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    provider text NOT NULL,
    entity_type text NOT NULL CHECK (entity_type IN ('property', 'lead', 'contract')),
    local_id varchar NOT NULL,
    remote_id text NOT NULL,
    remote_version text,
    hash text,
    synced_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_integration_entity_links_local
        UNIQUE (tenant_id, provider, entity_type, local_id),
    CONSTRAINT uq_integration_entity_links_remote
        UNIQUE (tenant_id, provider, entity_type, remote_id)
);

CREATE TABLE integration_cursors (
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    provider text NOT NULL,
    entity_type text NOT NULL CHECK (entity_type IN ('property', 'lead', 'contract')),
    direction text NOT NULL CHECK (direction IN ('pull', 'push')),
    cursor text NOT NULL,
    updated_at timestamp NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, provider, entity_type, direction)
);
