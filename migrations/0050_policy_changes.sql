-- A policy changes by date: its product, its plan, its main driver, its end. The policy's row keeps what it was written
-- with; each change what it says from its day on. Nothing is overwritten, so that what was charged can be explained.
SET ROLE odograph_maintenance;

CREATE TABLE policy_change (
    tenant_id         uuid NOT NULL,
    id                uuid NOT NULL,
    policy_id         uuid NOT NULL,
    -- First insured-local day it is in force.
    effective_on      date NOT NULL,
    -- NULL: as it was.
    product           text CHECK (product IN ('payd', 'phyd')),
    plan_id           uuid,
    main_driver_id    uuid,
    -- From then on nobody is the main driver.
    drops_main_driver boolean NOT NULL,
    reason            text CHECK (length(reason) BETWEEN 1 AND 200),
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id),
    FOREIGN KEY (tenant_id, plan_id) REFERENCES rating_plan (tenant_id, id),
    FOREIGN KEY (tenant_id, main_driver_id) REFERENCES driver (tenant_id, id),
    CHECK (product IS NOT NULL OR plan_id IS NOT NULL OR main_driver_id IS NOT NULL OR drops_main_driver),
    CHECK (main_driver_id IS NULL OR NOT drops_main_driver)
);
CREATE INDEX policy_change_by_policy ON policy_change (tenant_id, policy_id, created_at, id);
CREATE INDEX policy_change_by_driver ON policy_change (tenant_id, main_driver_id);
SELECT protect_table('policy_change', '{
    "rls": "tenant", "class": "money", "purpose": "insurance contract", "retention": "statutory, by the insurer",
    "export": "yes", "erasure": "kept with the pseudonymous driver id: the contract must stay provable", "rebuild": "no",
    "audit": "change", "roles": {"api": "SELECT, INSERT", "worker": "SELECT"}}');

ALTER TABLE policy ADD COLUMN cancelled_at timestamptz;
ALTER TABLE policy ADD COLUMN cancel_reason text CHECK (length(cancel_reason) BETWEEN 1 AND 200);
-- One that is cancelled from its beginning covers nothing.
ALTER TABLE policy DROP CONSTRAINT policy_check;
ALTER TABLE policy ADD CONSTRAINT policy_cover CHECK (starts_on <= ends_on);
SELECT amend_table('policy', '{"audit": "create, update, change, cancel",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, ends_on, cancelled_at, cancel_reason, revision)"}}');

-- The vehicles whose policies changed, and since when: every premium of a later month is rated anew, whether anything was
-- driven in it or not. Whoever derives the vehicle next does it.
CREATE TABLE rating_due (
    tenant_id  uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    from_day   date NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
SELECT protect_table('rating_due', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "until rated",
    "export": "no", "erasure": "kept: days only", "rebuild": "no", "audit": "no",
    "roles": {"api": "SELECT, INSERT, UPDATE (from_day)", "worker": "SELECT, DELETE"}}');
-- A vehicle that never sent anything has no state yet, and a window hangs on one.
SELECT amend_table('vehicle_state', '{"roles": {"api": "SELECT, INSERT"}}');

RESET ROLE;
