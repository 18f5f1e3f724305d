-- One agency never sees another's rows, by the server's own word: inside of
-- `database.transaction(tenant=...)` we are the role imobibase_tenant, and each table shows and takes
-- only rows of the tenant that the setting `imobibase.tenant` names.
--
-- Other roles keep what they have: the first policy lets everybody through, the second (restrictive,
-- so both must hold) is for this role alone. A table that it has no grant on it cannot touch.

DO $$
BEGIN
    CREATE ROLE imobibase_tenant NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL; -- roles are the server's, not the database's
END $$;
GRANT imobibase_tenant TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO imobibase_tenant;

-- What makes a row of that table the tenant's. Wherever a row may have no tenant, its user's counts.
CREATE PROCEDURE fence(tables text[], mine text) LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY everybody ON %I USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I AS RESTRICTIVE TO imobibase_tenant USING (%s) WITH CHECK (%s)',
            name, mine, mine
        );
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO imobibase_tenant', name);
    END LOOP;
END $$;

CALL fence(ARRAY['tenants'], $$ id = current_setting('imobibase.tenant', true) $$);
CALL fence(
    ARRAY[
        'users', 'tenant_settings', 'brand_settings', 'user_roles', 'tenant_subscriptions',
        'properties', 'leads', 'visits', 'contracts', 'owners', 'renters', 'rental_contracts',
        'rental_payments', 'rental_transfers', 'property_sales', 'commissions', 'finance_entries',
        'newsletter_subscriptions', 'notification_preferences', 'integration_configs',
        'saved_reports', 'files', 'audit_logs', 'data_export_requests', 'invoices',
        'invoice_numbers', 'download_links', 'reminder_log', 'email_log', 'notifications',
        'push_subscriptions', 'report_subscriptions', 'integration_entity_links',
        'integration_cursors'
    ],
    $$ tenant_id = current_setting('imobibase.tenant', true) $$
);
CALL fence(
    ARRAY['usage_logs', 'user_consents', 'compliance_audit_log'],
    $$ tenant_id = current_setting('imobibase.tenant', true)
       OR tenant_id IS NULL AND user_id IN (SELECT id FROM users) $$
);
CALL fence(ARRAY['interactions'], $$ lead_id IN (SELECT id FROM leads) $$);
CALL fence(ARRAY['invoice_items'], $$ invoice_id IN (SELECT id FROM invoices) $$);

-- No statement of a tenant reads a password, not even `SELECT *`.
REVOKE ALL ON users FROM imobibase_tenant;
GRANT SELECT (
    id, tenant_id, name, email, role, avatar, email_verified, last_login, created_at, deleted_at
) ON users TO imobibase_tenant;
REVOKE UPDATE, DELETE ON compliance_audit_log FROM imobibase_tenant;
GRANT SELECT ON email_suppressions TO imobibase_tenant;

DROP PROCEDURE fence(text[], text);
