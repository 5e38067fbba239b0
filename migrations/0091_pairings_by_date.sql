-- A device is swapped, taken out, put into another vehicle: a pairing holds from an instant to another, and a device is in one
-- vehicle at a time. What was paired before lasts since ever; of a device that was paired with several vehicles, each pairing
-- lasts until the next was made.
SET ROLE odograph_maintenance;

ALTER TABLE device_pairing
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- NULL: as long as anybody knows.
    ADD COLUMN starts_at timestamptz,
    -- Exclusive; NULL while it lasts.
    ADD COLUMN ends_at timestamptz;
UPDATE device_pairing p SET starts_at = n.starts_at, ends_at = n.ends_at
FROM (SELECT tenant_id, device_id, vehicle_id,
             CASE WHEN lag(paired_at) OVER w IS NOT NULL THEN paired_at END AS starts_at, lead(paired_at) OVER w AS ends_at
      FROM device_pairing WINDOW w AS (PARTITION BY tenant_id, device_id ORDER BY paired_at, vehicle_id)) AS n
WHERE n.tenant_id = p.tenant_id AND n.device_id = p.device_id AND n.vehicle_id = p.vehicle_id;
ALTER TABLE device_pairing
    ALTER COLUMN id DROP DEFAULT,
    DROP CONSTRAINT device_pairing_pkey,
    ADD PRIMARY KEY (tenant_id, id),
    ADD CHECK (starts_at <= ends_at);
CREATE INDEX device_pairing_by_device ON device_pairing (tenant_id, device_id, starts_at);
SELECT amend_table('device_pairing', '{"audit": "pair, remove",
    "roles": {"api": "SELECT, INSERT, UPDATE (device_rank, starts_at, ends_at), DELETE"}}');
-- A device's row is locked while its pairings change, and shared by whoever takes in data by them: what is on its way when one
-- changes has been written by then, and is found.
SELECT amend_table('device', '{"roles": {"api": "SELECT, INSERT, UPDATE (revision)", "worker": "SELECT, UPDATE (revision)"}}');

RESET ROLE;
