-- A vehicle changes hands. From that instant on nothing of it is the former owner's: trips are cut there, a policy covers only
-- its own owner's time though two may cover parts of one day, and assignments end. Data is judged by event time, so a transfer
-- may be filed afterwards.
SET ROLE odograph_maintenance;

CREATE TABLE vehicle_transfer (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    -- The first instant that is the new owner's.
    at         timestamptz NOT NULL,
    reason     text CHECK (length(reason) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, vehicle_id, at),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
SELECT protect_table('vehicle_transfer', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "life of the vehicle",
    "export": "yes", "erasure": "kept: no person in it", "rebuild": "no", "audit": "transfer, withdraw",
    "roles": {"api": "SELECT, INSERT, DELETE", "worker": "SELECT"}}');

RESET ROLE;
