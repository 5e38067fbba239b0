-- Raw data knows the device it came from, so that it follows when somebody files afterwards that the device had been put into
-- another vehicle.
SET ROLE odograph_maintenance;

ALTER TABLE raw_journal ADD COLUMN device_id uuid;
ALTER TABLE raw_block ADD COLUMN device_id uuid;
ALTER TABLE raw_impact ADD COLUMN device_id uuid;

RESET ROLE;
