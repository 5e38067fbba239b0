-- Behaviour events are listed by vehicle and time, over all trips: each says its vehicle itself, so that a list follows an
-- index instead of visiting every trip. Lists of what was derived since some time follow one of their own.
SET ROLE odograph_maintenance;

ALTER TABLE behaviour_event ADD COLUMN vehicle_id uuid;
UPDATE behaviour_event e SET vehicle_id = t.vehicle_id FROM trip t WHERE t.tenant_id = e.tenant_id AND t.id = e.trip_id;
ALTER TABLE behaviour_event ALTER COLUMN vehicle_id SET NOT NULL;
CREATE INDEX behaviour_event_by_time ON behaviour_event (tenant_id, ts, id);
CREATE INDEX behaviour_event_by_vehicle ON behaviour_event (tenant_id, vehicle_id, ts, id);
CREATE INDEX trip_by_derivation ON trip (tenant_id, derived_at, id);

RESET ROLE;
