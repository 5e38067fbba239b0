-- Operators of the platform manage tenants and their clients through the API. Their clients belong to no tenant, and their
-- transactions run under a role of their own, which reaches tenants, clients and the audit log, and nothing that is a tenant's.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'odograph_operator') THEN
        CREATE ROLE odograph_operator NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, 'odograph_operator', 'MEMBER') THEN
        GRANT odograph_operator TO CURRENT_USER;
    END IF;
END
$$;
GRANT USAGE ON SCHEMA public TO odograph_operator;

SET ROLE odograph_maintenance;

CREATE TABLE operator_client (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 200),
    -- A PHC string (argon2id). The secret itself is never stored.
    secret_hash text NOT NULL,
    scopes      text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz
);
SELECT protect_table('operator_client', '{
    "rls": "functions", "class": "secret", "purpose": "operation", "retention": "life of the platform",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

CREATE FUNCTION operator_credentials(client_id uuid)
RETURNS TABLE (name text, secret_hash text, scopes text[], disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.name, c.secret_hash, c.scopes, c.disabled_at IS NOT NULL
    FROM public.operator_client c WHERE c.id = operator_credentials.client_id
$$;
REVOKE ALL ON FUNCTION operator_credentials FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operator_credentials TO odograph_api;

-- Which operator acted, where one did through the API.
ALTER TABLE audit ADD COLUMN operator_id uuid REFERENCES operator_client (id);
-- Tenants are changed by them, and their settings by the tenant itself.
ALTER TABLE tenant ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);

CREATE POLICY odograph_operator ON tenant TO odograph_operator USING (true);
CREATE POLICY odograph_operator ON client TO odograph_operator USING (true);
CREATE POLICY odograph_operator ON audit FOR INSERT TO odograph_operator WITH CHECK (true);
SELECT amend_table('tenant', '{"audit": "create, update, settings", "roles": {
    "api": "SELECT, UPDATE (settings, revision)",
    "operator": "SELECT, INSERT, UPDATE (name, settings, disabled_at, revision)"}}');
SELECT amend_table('client', '{"audit": "create, update, rotate, disable", "roles": {
    "operator": "SELECT, INSERT, UPDATE (name, secret_hash, scopes, disabled_at)"}}');
SELECT amend_table('audit', '{"roles": {"operator": "INSERT"}}');

RESET ROLE;
