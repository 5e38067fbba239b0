-- Raw data goes from the database when its tenant's time for it is over, but for what a hold names: a claim, a court.
SET ROLE odograph_maintenance;

CREATE TABLE raw_hold (
    tenant_id   uuid NOT NULL REFERENCES tenant (id),
    id          uuid NOT NULL,
    vehicle_id  uuid NOT NULL,
    from_ts     timestamptz NOT NULL,
    -- Inclusive.
    to_ts       timestamptz NOT NULL,
    reason      text NOT NULL CHECK (reason <> '' AND length(reason) <= 500),
    placed_by   text NOT NULL CHECK (placed_by <> '' AND length(placed_by) <= 200),
    placed_at   timestamptz NOT NULL,
    released_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    CHECK (from_ts <= to_ts)
);
CREATE INDEX raw_hold_by_vehicle ON raw_hold (tenant_id, vehicle_id) WHERE released_at IS NULL;
SELECT protect_table('raw_hold', '{
    "rls": "tenant", "class": "operational", "purpose": "claims", "retention": "life of the tenant",
    "export": "no", "erasure": "none: ids and a reason", "rebuild": "no", "audit": "place, release", "roles": {}}');

-- Before this time a vehicle lacks raw data that is gone for good, from the database and from the lake: trips that start earlier
-- stay as they are, since there is nothing whole left to derive them from. Of each vehicle, not of its tenant: who brings in years of
-- a car's history has lost nothing of it yet.
CREATE TABLE raw_horizon (
    tenant_id  uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    before     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
SELECT protect_table('raw_horizon', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "life of the vehicle",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no",
    "roles": {"worker": "SELECT"}}');

-- What is old enough to go, of all vehicles of a tenant.
CREATE INDEX raw_block_by_age ON raw_block (tenant_id, max_ts);
SELECT amend_table('raw_block', '{"retention": "by the tenant (retention.raw_days), and as long as a hold names it"}');

RESET ROLE;
