-- What was shown to the world and is something else now: before, after and why, one row a trip, a driver's scores or a
-- month's premium.
SET ROLE odograph_maintenance;

CREATE TABLE correction (
    tenant_id  uuid NOT NULL REFERENCES tenant (id),
    id         uuid NOT NULL,
    kind       text NOT NULL,
    -- What it is about, as far as it applies. A trip may be gone since, so there is no reference to it.
    vehicle_id uuid,
    driver_id  uuid,
    policy_id  uuid,
    trip_id    uuid,
    -- Insured-local days it reaches over, both inclusive.
    from_day   date NOT NULL,
    to_day     date NOT NULL,
    before     jsonb,
    after      jsonb,
    why        text[] NOT NULL CHECK (cardinality(why) > 0),
    -- As of the dirty window it comes of.
    batches    integer NOT NULL,
    clients    uuid[] NOT NULL,
    notes      text[] NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id),
    FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id),
    CHECK (from_day <= to_day),
    CHECK (num_nonnulls(before, after) > 0)
);
CREATE INDEX correction_by_time ON correction (tenant_id, at, id);
CREATE INDEX correction_by_vehicle ON correction (tenant_id, vehicle_id, at, id);
CREATE INDEX correction_by_driver ON correction (tenant_id, driver_id, at, id);
CREATE INDEX correction_by_policy ON correction (tenant_id, policy_id, at, id);
CREATE INDEX correction_by_trip ON correction (tenant_id, trip_id, at, id);
SELECT protect_table('correction', '{
    "rls": "tenant", "class": "behaviour", "purpose": "insurance contract: what was charged must be explained",
    "retention": "as long as a premium may be disputed", "export": "yes", "erasure": "figures of behaviour deleted, money kept",
    "rebuild": "no: it is what was shown", "audit": "no", "roles": {"api": "SELECT, INSERT", "worker": "SELECT, INSERT"}}');

RESET ROLE;
