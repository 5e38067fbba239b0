-- Tenants are insurers; clients are the machines that hold their credentials. Whose a credential is must be known before
-- any tenant is, so that one look-up has a function of its own.
SET ROLE odograph_maintenance;

CREATE TABLE tenant (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 200),
    settings    jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz
);
SELECT protect_table('tenant', '{
    "rls": "tenant_row", "class": "operational", "purpose": "contract with the insurer", "retention": "life of the contract",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create, settings",
    "roles": {"api": "SELECT", "worker": "SELECT"}}');

CREATE TABLE client (
    tenant_id   uuid NOT NULL REFERENCES tenant (id),
    id          uuid NOT NULL UNIQUE,
    name        text NOT NULL CHECK (name <> '' AND length(name) <= 200),
    -- A PHC string (argon2id). The secret itself is never stored.
    secret_hash text NOT NULL,
    scopes      text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
SELECT protect_table('client', '{
    "rls": "tenant", "class": "secret", "purpose": "contract with the insurer", "retention": "life of the tenant",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create, disable", "roles": {}}');

CREATE FUNCTION client_credentials(client_id uuid)
RETURNS TABLE (tenant_id uuid, name text, secret_hash text, scopes text[], disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.tenant_id, c.name, c.secret_hash, c.scopes, c.disabled_at IS NOT NULL OR t.disabled_at IS NOT NULL
    FROM public.client c JOIN public.tenant t ON t.id = c.tenant_id
    WHERE c.id = client_credentials.client_id
$$;
REVOKE ALL ON FUNCTION client_credentials FROM PUBLIC;
GRANT EXECUTE ON FUNCTION client_credentials TO odograph_api;

RESET ROLE;
