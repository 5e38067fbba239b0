-- What became of a message that came over HTTP: whoever sent it can ask. A row is made at the door, before the queue has the
-- message, and settled by the worker in the transaction that commits it. Files and brokers have no use for it.
SET ROLE odograph_maintenance;

CREATE TABLE message (
    tenant_id       uuid NOT NULL REFERENCES tenant (id),
    id              uuid NOT NULL,
    -- NULL where it was turned away before the vehicle was known.
    vehicle_id      uuid,
    batch_id        text,
    source          text NOT NULL,
    resubmission_of uuid,
    received_at     timestamptz NOT NULL,
    -- From here on NULL while it waits.
    outcome         text,
    -- Counts of its samples by how they ended.
    tally           jsonb,
    settled_at      timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK (num_nulls(outcome, tally, settled_at) IN (0, 3))
);
CREATE INDEX message_by_time ON message (received_at);
SELECT protect_table('message', '{
    "rls": "tenant", "class": "operational", "purpose": "operation", "retention": "30 days",
    "export": "no", "erasure": "none: ids and counts only", "rebuild": "no", "audit": "no",
    "roles": {"api": "SELECT, INSERT, UPDATE (received_at)", "worker": "SELECT, UPDATE (outcome, tally, settled_at)"}}');

RESET ROLE;
