-- Fleets and groups are changed and given up through the API, drivers change their reference, and a group has the tenant's own
-- name like everything else that requests name.
SET ROLE odograph_maintenance;

ALTER TABLE vehicle_group ADD COLUMN external_ref text CHECK (length(external_ref) BETWEEN 1 AND 128);
ALTER TABLE vehicle_group ADD CONSTRAINT vehicle_group_tenant_id_external_ref_key UNIQUE (tenant_id, external_ref);
CREATE INDEX fleet_by_creation ON fleet (tenant_id, created_at, id);
-- A list of vehicles by reference follows it.
CREATE INDEX vehicle_by_reference ON vehicle (tenant_id, (coalesce(external_ref, '') COLLATE "C"), id);
CREATE INDEX group_vehicle_by_vehicle ON group_vehicle (tenant_id, vehicle_id);

SELECT amend_table('fleet', '{"audit": "create, update, delete",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, name, revision), DELETE"}}');
SELECT amend_table('fleet_vehicle', '{"audit": "add, remove"}');
SELECT amend_table('vehicle_group', '{"audit": "create, update, delete",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, name, revision), DELETE"}}');
SELECT amend_table('group_vehicle', '{"audit": "add, remove"}');
SELECT amend_table('driver', '{"audit": "create, update",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, revision)"}}');

RESET ROLE;
