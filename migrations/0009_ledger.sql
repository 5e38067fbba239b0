-- The dedup ledger: one row a batch, kept longer than data may be late. By hash of the vehicle, because its unique key must
-- hold the partition column, and the raw data goes by time.
SET ROLE odograph_maintenance;

CREATE TABLE batch_ledger (
    tenant_id    uuid NOT NULL,
    vehicle_id   uuid NOT NULL,
    batch_id     text NOT NULL,
    message_id   uuid NOT NULL,
    content_hash bytea NOT NULL CHECK (length(content_hash) = 32),
    source       text NOT NULL,
    samples      integer NOT NULL,
    min_ts       timestamptz,
    max_ts       timestamptz,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id, batch_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
) PARTITION BY HASH (vehicle_id);

DO $$
DECLARE
    about text := '{
        "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "accepted lateness (400 days)",
        "export": "no", "erasure": "kept: ids and hashes only", "rebuild": "no", "audit": "no",
        "roles": {"api": "SELECT", "worker": "SELECT, INSERT"}}';
    part text;
BEGIN
    PERFORM protect_table('batch_ledger', about::jsonb);
    FOR i IN 0..7 LOOP
        part := format('batch_ledger_%s', i);
        EXECUTE format('CREATE TABLE %I PARTITION OF batch_ledger FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, i);
        -- Reached through the parent only.
        PERFORM protect_table(part::regclass, about::jsonb || '{"roles": {}}');
    END LOOP;
END
$$;

RESET ROLE;
