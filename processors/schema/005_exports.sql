-- What exports of a user's data must remember, and how they find an agency's rows page by page.

-- The job that made it: another attempt goes on with the same request and writes the same object.
ALTER TABLE data_export_requests ADD COLUMN job_id text UNIQUE;

CREATE INDEX properties_by_tenant_id ON properties (tenant_id, id);
CREATE INDEX contracts_by_tenant_id ON contracts (tenant_id, id);
CREATE INDEX rental_contracts_by_tenant_id ON rental_contracts (tenant_id, id);
CREATE INDEX rental_payments_by_tenant_id ON rental_payments (tenant_id, id);
CREATE INDEX files_by_tenant_id ON files (tenant_id, id);

-- What the clean-up looks for.
CREATE INDEX data_export_requests_done_by_end
    ON data_export_requests (expires_at) WHERE export_url IS NOT NULL;
