-- A device logs in to the broker with a credential of its own; it may have several, so that one can be replaced without a
-- gap. The secrets are ours, 256 bits at random, and brokers ask at every connect: a plain hash of one is as good as a slow
-- one, since nobody can try that many, and it costs nothing. Whose a credential is must be known before any tenant is, so
-- that look-up has a function of its own.
SET ROLE odograph_maintenance;

CREATE TABLE device_credential (
    tenant_id   uuid NOT NULL REFERENCES tenant (id),
    -- What the device logs in as.
    id          uuid NOT NULL UNIQUE,
    device_id   uuid NOT NULL,
    -- SHA-256. The secret itself is never stored.
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    created_at  timestamptz NOT NULL,
    -- It stays known after that: what was sent with it and has not been read yet still has a tenant.
    revoked_at  timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
);
CREATE INDEX device_credential_by_device ON device_credential (tenant_id, device_id, created_at, id);
SELECT protect_table('device_credential', '{
    "rls": "tenant", "class": "secret", "purpose": "insurance contract", "retention": "life of the device",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create, revoke",
    "roles": {"api": "SELECT (tenant_id, id, device_id, created_at, revoked_at), INSERT, UPDATE (revoked_at)"}}');

CREATE FUNCTION device_logins(credentials uuid[])
RETURNS TABLE (id uuid, tenant_id uuid, device_id uuid, secret_hash bytea, revoked boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.id, c.tenant_id, c.device_id, c.secret_hash, c.revoked_at IS NOT NULL OR t.disabled_at IS NOT NULL
    FROM public.device_credential c JOIN public.tenant t ON t.id = c.tenant_id
    WHERE c.id = ANY (device_logins.credentials)
$$;
REVOKE ALL ON FUNCTION device_logins FROM PUBLIC;
GRANT EXECUTE ON FUNCTION device_logins TO odograph_api;

RESET ROLE;
