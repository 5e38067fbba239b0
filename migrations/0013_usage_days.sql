-- Usage, quantised once: whole metres of one insured-local day, with all that was used to cut the day.
SET ROLE odograph_maintenance;

CREATE TABLE usage_day (
    tenant_id   uuid NOT NULL,
    policy_id   uuid NOT NULL,
    day         date NOT NULL,
    metres      bigint NOT NULL CHECK (metres > 0),
    utc_from    timestamptz NOT NULL,
    utc_to      timestamptz NOT NULL,
    tzdb        text NOT NULL,
    interpreter smallint NOT NULL,
    PRIMARY KEY (tenant_id, policy_id, day),
    FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id),
    CHECK (utc_from <= utc_to)
);
SELECT protect_table('usage_day', '{
    "rls": "tenant", "class": "mileage", "purpose": "insurance contract", "retention": "as long as a premium may be disputed",
    "export": "yes", "erasure": "kept: what was charged must stay provable", "rebuild": "from trips", "audit": "no",
    "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

RESET ROLE;
