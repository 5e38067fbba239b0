-- Fleets of vehicles and groups within a fleet: what a fleet manager is responsible for.
SET ROLE odograph_maintenance;

CREATE TABLE fleet (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    id           uuid NOT NULL,
    external_ref text CHECK (length(external_ref) BETWEEN 1 AND 128),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, external_ref)
);
SELECT protect_table('fleet', '{
    "rls": "tenant", "class": "operational", "purpose": "fleet management", "retention": "life of the contract",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, name)", "worker": "SELECT"}}');

CREATE TABLE fleet_vehicle (
    tenant_id  uuid NOT NULL,
    fleet_id   uuid NOT NULL,
    -- A vehicle is in one fleet at most.
    vehicle_id uuid NOT NULL,
    added_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id),
    UNIQUE (tenant_id, fleet_id, vehicle_id),
    FOREIGN KEY (tenant_id, fleet_id) REFERENCES fleet (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
SELECT protect_table('fleet_vehicle', '{
    "rls": "tenant", "class": "operational", "purpose": "fleet management", "retention": "life of the contract",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "add",
    "roles": {"api": "SELECT, INSERT, DELETE", "worker": "SELECT"}}');

CREATE TABLE vehicle_group (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    fleet_id   uuid NOT NULL,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, fleet_id, id),
    UNIQUE (tenant_id, fleet_id, name),
    FOREIGN KEY (tenant_id, fleet_id) REFERENCES fleet (tenant_id, id)
);
SELECT protect_table('vehicle_group', '{
    "rls": "tenant", "class": "operational", "purpose": "fleet management", "retention": "life of the contract",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT, UPDATE (name), DELETE", "worker": "SELECT"}}');

CREATE TABLE group_vehicle (
    tenant_id  uuid NOT NULL,
    fleet_id   uuid NOT NULL,
    group_id   uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    added_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, group_id, vehicle_id),
    -- Both through the fleet: a group holds only vehicles of its own fleet, and a vehicle that leaves it leaves its groups.
    FOREIGN KEY (tenant_id, fleet_id, group_id) REFERENCES vehicle_group (tenant_id, fleet_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, fleet_id, vehicle_id) REFERENCES fleet_vehicle (tenant_id, fleet_id, vehicle_id)
        ON DELETE CASCADE
);
SELECT protect_table('group_vehicle', '{
    "rls": "tenant", "class": "operational", "purpose": "fleet management", "retention": "life of the contract",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "add",
    "roles": {"api": "SELECT, INSERT, DELETE", "worker": "SELECT"}}');

RESET ROLE;
