-- A driver leaves, an employer for one: nothing from then on is attributed to them, whatever still names them.
SET ROLE odograph_maintenance;

ALTER TABLE driver ADD COLUMN left_at timestamptz;
SELECT amend_table('driver', '{"audit": "create, update, leave, stay",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, left_at, revision)"}}');
SELECT amend_table('assignment', '{"audit": "create, end"}');

RESET ROLE;
