-- How the messages of one import ended, so that whoever sent a file can wait for it and be told, whichever workers took them.
SET ROLE odograph_maintenance;

CREATE TABLE import_outcome (
    tenant_id uuid NOT NULL REFERENCES tenant (id),
    run_id    uuid NOT NULL,
    -- As in outcome_count.
    outcome   text NOT NULL,
    shard     integer NOT NULL,
    samples   bigint NOT NULL,
    PRIMARY KEY (tenant_id, run_id, outcome, shard)
);
SELECT protect_table('import_outcome', '{
    "rls": "tenant", "class": "operational", "purpose": "operation", "retention": "90 days",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no",
    "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE (samples)"}}');

RESET ROLE;
