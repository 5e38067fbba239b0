-- How far a vehicle's data reaches, its detectors' state, and the window of it that must be derived anew.
SET ROLE odograph_maintenance;

CREATE TABLE vehicle_state (
    tenant_id        uuid NOT NULL,
    vehicle_id       uuid NOT NULL,
    watermark        timestamptz,
    last_received_at timestamptz,
    detectors        jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, vehicle_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
SELECT protect_table('vehicle_state', '{
    "rls": "tenant", "class": "mileage", "purpose": "insurance contract", "retention": "life of the vehicle",
    "export": "no", "erasure": "deleted with the vehicle", "rebuild": "from raw data", "audit": "no",
    "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE"}}');

CREATE TABLE dirty_window (
    tenant_id  uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    from_ts    timestamptz NOT NULL,
    to_ts      timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,
    at_once    boolean NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id),
    -- Whoever derives locks the state row first, so there must be one.
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle_state (tenant_id, vehicle_id),
    CHECK (from_ts <= to_ts)
);
CREATE INDEX dirty_window_due ON dirty_window (due_at);
-- The api role marks a window when a policy or an assignment changes what trips mean.
SELECT protect_table('dirty_window', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "until derived",
    "export": "no", "erasure": "kept: times only", "rebuild": "from raw data", "audit": "no",
    "roles": {"api": "SELECT, INSERT, UPDATE", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

-- Locks one due window and its vehicle's state. The state comes first in the join and neither lock waits, so a worker that
-- holds a state and is about to mark its window can never be waited for in a circle.
CREATE FUNCTION claim_due(at timestamptz, only_tenant uuid, force boolean)
RETURNS TABLE (tenant_id uuid, vehicle_id uuid, from_ts timestamptz, to_ts timestamptz, due_at timestamptz, at_once boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.tenant_id, d.vehicle_id, d.from_ts, d.to_ts, d.due_at, d.at_once
    FROM public.vehicle_state s
    JOIN public.dirty_window d ON d.tenant_id = s.tenant_id AND d.vehicle_id = s.vehicle_id
    WHERE (claim_due.force OR d.due_at <= claim_due.at)
      AND (claim_due.only_tenant IS NULL OR d.tenant_id = claim_due.only_tenant)
    ORDER BY d.due_at, d.vehicle_id
    LIMIT 1
    FOR NO KEY UPDATE OF s SKIP LOCKED
    FOR UPDATE OF d SKIP LOCKED
$$;
REVOKE ALL ON FUNCTION claim_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_due TO odograph_worker;

CREATE FUNCTION count_due(at timestamptz, only_tenant uuid, force boolean) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FROM public.dirty_window d
    WHERE (count_due.force OR d.due_at <= count_due.at)
      AND (count_due.only_tenant IS NULL OR d.tenant_id = count_due.only_tenant)
$$;
REVOKE ALL ON FUNCTION count_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_due TO odograph_worker;

RESET ROLE;
