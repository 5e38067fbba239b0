-- A pricing system reads usage and premiums across all policies, a month at a time, and asks for what has changed since it
-- last did.
SET ROLE odograph_maintenance;

CREATE INDEX usage_day_by_day ON usage_day (tenant_id, day, policy_id);
CREATE INDEX premium_by_period ON premium (tenant_id, period, rated_at, id);
CREATE INDEX premium_by_rating ON premium (tenant_id, rated_at, id);

RESET ROLE;
