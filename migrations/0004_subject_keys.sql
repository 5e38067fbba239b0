-- A key per subject (driver, else vehicle, else the tenant), wrapped by the master key. Destroying the wrapped key erases
-- what it encrypted wherever that lies, in backups and copies too.
SET ROLE odograph_maintenance;

CREATE TABLE subject_key (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    id           uuid NOT NULL,
    subject_kind text NOT NULL CHECK (subject_kind IN ('driver', 'vehicle', 'tenant')),
    subject_id   uuid NOT NULL,
    -- NULL once destroyed: the row stays, so that what it encrypted is known to be erased and not merely unreadable.
    wrapped      bytea,
    created_at   timestamptz NOT NULL,
    destroyed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
CREATE UNIQUE INDEX subject_key_live ON subject_key (tenant_id, subject_kind, subject_id) WHERE destroyed_at IS NULL;
SELECT protect_table('subject_key', '{
    "rls": "tenant", "class": "secret", "purpose": "protection of what it encrypts", "retention": "until the subject is erased",
    "export": "no", "erasure": "wrapped key destroyed", "rebuild": "no", "audit": "destroy",
    "roles": {"api": "SELECT, INSERT", "worker": "SELECT, INSERT"}}');

RESET ROLE;
