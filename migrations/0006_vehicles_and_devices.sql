-- Vehicles, the devices in them, and who drove them when. Assignments of a vehicle do not overlap; that is checked under a
-- lock of the vehicle's row, since an exclusion constraint would need an extension that the embedded PostgreSQL lacks.
SET ROLE odograph_maintenance;

CREATE TABLE vehicle (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    id           uuid NOT NULL,
    external_ref text CHECK (length(external_ref) BETWEEN 1 AND 128),
    vin          text CHECK (length(vin) BETWEEN 1 AND 32),
    make         text CHECK (length(make) BETWEEN 1 AND 100),
    model        text CHECK (length(model) BETWEEN 1 AND 100),
    year         integer CHECK (year BETWEEN 1886 AND 2200),
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, external_ref)
);
CREATE INDEX vehicle_by_creation ON vehicle (tenant_id, created_at, id);
SELECT protect_table('vehicle', '{
    "rls": "tenant", "class": "personal", "purpose": "insurance contract", "retention": "life of the contract",
    "export": "yes", "erasure": "external_ref and vin removed with the holder", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, vin, make, model, year)", "worker": "SELECT"}}');

CREATE TABLE device (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    id           uuid NOT NULL,
    external_ref text CHECK (length(external_ref) BETWEEN 1 AND 128),
    kind         text NOT NULL CHECK (length(kind) BETWEEN 1 AND 100),
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, external_ref)
);
CREATE INDEX device_by_creation ON device (tenant_id, created_at, id);
SELECT protect_table('device', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "life of the contract",
    "export": "yes", "erasure": "external_ref removed with the holder", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT", "worker": "SELECT"}}');

CREATE TABLE device_pairing (
    tenant_id   uuid NOT NULL,
    device_id   uuid NOT NULL,
    vehicle_id  uuid NOT NULL,
    -- 0 is the most trusted device of the vehicle: it wins where two tell different things of one moment.
    device_rank smallint NOT NULL CHECK (device_rank BETWEEN 0 AND 255),
    paired_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, device_id, vehicle_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
CREATE INDEX device_pairing_by_vehicle ON device_pairing (tenant_id, vehicle_id, device_rank);
SELECT protect_table('device_pairing', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "life of the contract",
    "export": "yes", "erasure": "kept: no person in it", "rebuild": "no", "audit": "pair",
    "roles": {"api": "SELECT, INSERT, UPDATE (device_rank), DELETE", "worker": "SELECT"}}');

CREATE TABLE assignment (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    driver_id  uuid NOT NULL,
    starts_at  timestamptz NOT NULL,
    -- Exclusive; NULL while it runs on.
    ends_at    timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id),
    CHECK (starts_at < ends_at)
);
CREATE INDEX assignment_by_vehicle ON assignment (tenant_id, vehicle_id, starts_at, id);
CREATE INDEX assignment_by_driver ON assignment (tenant_id, driver_id);
SELECT protect_table('assignment', '{
    "rls": "tenant", "class": "personal", "purpose": "insurance contract", "retention": "life of the contract",
    "export": "yes", "erasure": "kept with the pseudonymous driver id", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT, UPDATE (ends_at)", "worker": "SELECT"}}');

RESET ROLE;
