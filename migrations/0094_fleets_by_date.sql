-- A fleet sees of a vehicle what was driven while it was its owner's, no less after a sale and no more after a purchase. What
-- it was in is kept when it changes hands; the views say which time of a vehicle a fleet or group reaches.
SET ROLE odograph_maintenance;

-- NULL: as long as anybody knows.
ALTER TABLE fleet_vehicle ADD COLUMN starts_at timestamptz;
SELECT amend_table('fleet_vehicle', '{"audit": "add, remove, transfer",
    "roles": {"api": "SELECT, INSERT, UPDATE (starts_at), DELETE"}}');

CREATE TABLE fleet_vehicle_past (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    fleet_id   uuid NOT NULL,
    -- NULL: the fleet itself.
    group_id   uuid,
    vehicle_id uuid NOT NULL,
    starts_at  timestamptz,
    ends_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, fleet_id) REFERENCES fleet (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, fleet_id, group_id) REFERENCES vehicle_group (tenant_id, fleet_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
CREATE INDEX fleet_vehicle_past_by_vehicle ON fleet_vehicle_past (tenant_id, vehicle_id);
CREATE INDEX fleet_vehicle_past_by_fleet ON fleet_vehicle_past (tenant_id, fleet_id);
SELECT protect_table('fleet_vehicle_past', '{
    "rls": "tenant", "class": "operational", "purpose": "fleet management", "retention": "life of the fleet",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "transfer, withdraw",
    "roles": {"api": "SELECT, INSERT, UPDATE (ends_at), DELETE"}}');

-- With the rights of whoever asks: row-level security bounds the tables beneath.
CREATE VIEW fleet_reach WITH (security_invoker = true) AS
    SELECT tenant_id, fleet_id, vehicle_id, starts_at, NULL::timestamptz AS ends_at FROM fleet_vehicle
    UNION ALL
    SELECT tenant_id, fleet_id, vehicle_id, starts_at, ends_at FROM fleet_vehicle_past WHERE group_id IS NULL;
CREATE VIEW group_reach WITH (security_invoker = true) AS
    SELECT g.tenant_id, g.group_id, g.vehicle_id, f.starts_at, NULL::timestamptz AS ends_at
    FROM group_vehicle g
    JOIN fleet_vehicle f ON f.tenant_id = g.tenant_id AND f.fleet_id = g.fleet_id AND f.vehicle_id = g.vehicle_id
    UNION ALL
    SELECT tenant_id, group_id, vehicle_id, starts_at, ends_at FROM fleet_vehicle_past WHERE group_id IS NOT NULL;
GRANT SELECT ON fleet_reach, group_reach TO odograph_api;

RESET ROLE;
