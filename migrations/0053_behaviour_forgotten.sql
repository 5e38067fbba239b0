-- A policy that is changed for the past may allow less than was kept: behaviour is then taken out of the raw data, by writing
-- blocks again without it.
SET ROLE odograph_maintenance;

SELECT amend_table('raw_block', '{"roles": {"worker": "SELECT, INSERT, DELETE"}}');
SELECT amend_table('raw_impact', '{"roles": {"worker": "SELECT, INSERT, DELETE"}}');

RESET ROLE;
