-- Drivers. Who they are lies apart from what they drove: telemetry and trips know a driver by id only, and the identity is
-- encrypted with the driver's own key.
SET ROLE odograph_maintenance;

CREATE TABLE driver (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    id           uuid NOT NULL,
    external_ref text CHECK (length(external_ref) BETWEEN 1 AND 128),
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, external_ref)
);
CREATE INDEX driver_by_creation ON driver (tenant_id, created_at, id);
SELECT protect_table('driver', '{
    "rls": "tenant", "class": "personal", "purpose": "insurance contract", "retention": "life of the contract",
    "export": "yes", "erasure": "external_ref removed, id stays as a pseudonym", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref)", "worker": "SELECT"}}');

CREATE TABLE driver_identity (
    tenant_id  uuid NOT NULL,
    driver_id  uuid NOT NULL,
    key_id     uuid NOT NULL,
    -- Name, e-mail and telephone as JSON, encrypted.
    sealed     bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, driver_id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, key_id) REFERENCES subject_key (tenant_id, id)
);
SELECT protect_table('driver_identity', '{
    "rls": "tenant", "class": "personal", "purpose": "insurance contract", "retention": "life of the contract",
    "export": "yes", "erasure": "driver key destroyed, row deleted", "rebuild": "no", "audit": "read, write",
    "roles": {"api": "SELECT, INSERT, UPDATE, DELETE"}}');

RESET ROLE;
