-- Rating plans, whose versions never change once made (a premium must be explicable years later), and the policies that
-- name them. Policies of a vehicle do not overlap, checked under a lock of the vehicle's row as with assignments.
SET ROLE odograph_maintenance;

CREATE TABLE rating_plan (
    tenant_id  uuid NOT NULL REFERENCES tenant (id),
    id         uuid NOT NULL,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
SELECT protect_table('rating_plan', '{
    "rls": "tenant", "class": "operational", "purpose": "pricing", "retention": "as long as a premium may be disputed",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT, UPDATE (name)", "worker": "SELECT"}}');

CREATE TABLE rating_plan_version (
    tenant_id      uuid NOT NULL,
    plan_id        uuid NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    effective_from date NOT NULL,
    terms          jsonb NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, plan_id, version),
    FOREIGN KEY (tenant_id, plan_id) REFERENCES rating_plan (tenant_id, id)
);
SELECT protect_table('rating_plan_version', '{
    "rls": "tenant", "class": "operational", "purpose": "pricing", "retention": "as long as a premium may be disputed",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "create",
    "roles": {"api": "SELECT, INSERT", "worker": "SELECT"}}');

CREATE TABLE policy (
    tenant_id      uuid NOT NULL,
    id             uuid NOT NULL,
    external_ref   text CHECK (length(external_ref) BETWEEN 1 AND 128),
    vehicle_id     uuid NOT NULL,
    main_driver_id uuid,
    product        text NOT NULL CHECK (product IN ('payd', 'phyd')),
    plan_id        uuid NOT NULL,
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    time_zone      text NOT NULL,
    starts_on      date NOT NULL,
    -- First day without cover; NULL while it runs on.
    ends_on        date,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, external_ref),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, main_driver_id) REFERENCES driver (tenant_id, id),
    FOREIGN KEY (tenant_id, plan_id) REFERENCES rating_plan (tenant_id, id),
    CHECK (starts_on < ends_on)
);
CREATE INDEX policy_by_creation ON policy (tenant_id, created_at, id);
CREATE INDEX policy_by_vehicle ON policy (tenant_id, vehicle_id, starts_on);
CREATE INDEX policy_by_driver ON policy (tenant_id, main_driver_id);
SELECT protect_table('policy', '{
    "rls": "tenant", "class": "money", "purpose": "insurance contract", "retention": "statutory, by the insurer",
    "export": "yes", "erasure": "kept with the pseudonymous driver id: the contract must stay provable", "rebuild": "no",
    "audit": "create", "roles": {"api": "SELECT, INSERT, UPDATE (ends_on)", "worker": "SELECT"}}');

RESET ROLE;
