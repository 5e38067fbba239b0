-- Reports read all trips of a span of days, over one driver, a fleet or everybody: without an index by day each would read
-- every trip there ever was.
SET ROLE odograph_maintenance;

CREATE INDEX trip_by_day ON trip (tenant_id, start_day);

RESET ROLE;
