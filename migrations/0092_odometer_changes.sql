-- An odometer is replaced, or set: the readings go on from another figure, and the difference was not driven.
SET ROLE odograph_maintenance;

CREATE TABLE odometer_change (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    -- The first instant of the new figures.
    at         timestamptz NOT NULL,
    -- What the old one showed last and the new one first; both or neither.
    old_km     double precision CHECK (old_km >= 0),
    new_km     double precision CHECK (new_km >= 0),
    reason     text CHECK (length(reason) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, vehicle_id, at),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    CHECK (num_nulls(old_km, new_km) IN (0, 2))
);
SELECT protect_table('odometer_change', '{
    "rls": "tenant", "class": "mileage", "purpose": "insurance contract", "retention": "as long as a premium may be disputed",
    "export": "yes", "erasure": "kept: no person in it", "rebuild": "no", "audit": "create, withdraw",
    "roles": {"api": "SELECT, INSERT, DELETE", "worker": "SELECT"}}');

RESET ROLE;
