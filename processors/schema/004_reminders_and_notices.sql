-- What reminders, notices and notifications must remember to be safe to repeat.

CREATE INDEX reminder_log_by_job ON reminder_log (job_id);

-- One notice for each end of a contract: a contract that is prolonged ends anew, and is told anew.
CREATE TABLE contract_notices (
    id varchar PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id varchar NOT NULL REFERENCES tenants (id),
    rental_contract_id varchar NOT NULL REFERENCES rental_contracts (id),
    ends_on date NOT NULL,
    job_id text NOT NULL,
    created_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT uq_contract_notices UNIQUE (rental_contract_id, ends_on)
);
ALTER TABLE contract_notices ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON contract_notices USING (true) WITH CHECK (true);
CREATE POLICY one_tenant ON contract_notices AS RESTRICTIVE TO imobibase_tenant
    USING (tenant_id = current_setting('imobibase.tenant', true))
    WITH CHECK (tenant_id = current_setting('imobibase.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON contract_notices TO imobibase_tenant;

CREATE INDEX rental_contracts_active_by_end
    ON rental_contracts (local_day(end_date)) WHERE status = 'active';

-- When the user's open browsers and push subscriptions were told; a row without it still has to be.
ALTER TABLE notifications ADD COLUMN told_at timestamp;

-- Changes since a cursor, in its order.
CREATE INDEX leads_by_change ON leads (tenant_id, updated_at, id);
