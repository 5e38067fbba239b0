-- A dirty window says why it is: what comes of it may correct what was shown, and a correction must be explained. A vehicle
-- can have several, so that one late sample of last year beside today's trip does not make the whole year dirty.
SET ROLE odograph_maintenance;

ALTER TABLE dirty_window
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN why text[] NOT NULL DEFAULT '{new_data}' CHECK (cardinality(why) > 0),
    -- Batches of telemetry that are part of it.
    ADD COLUMN batches integer NOT NULL DEFAULT 0,
    -- API clients behind it.
    ADD COLUMN clients uuid[] NOT NULL DEFAULT '{}',
    -- In an operator's words.
    ADD COLUMN notes text[] NOT NULL DEFAULT '{}';
ALTER TABLE dirty_window
    ALTER COLUMN why DROP DEFAULT,
    DROP CONSTRAINT dirty_window_pkey,
    ADD PRIMARY KEY (tenant_id, vehicle_id, id);
SELECT amend_table('dirty_window', '{"erasure": "kept: times, and what made it dirty"}');

-- Claims by vehicle too, and brings what made the window dirty. The locks are as they were: the state comes first in the
-- join and neither lock waits, so a worker that holds a state and is about to mark its window can never be waited for in a
-- circle. As long as the state is held, nobody else takes another window of the vehicle.
DROP FUNCTION claim_due(timestamptz, uuid, boolean);
CREATE FUNCTION claim_due(at timestamptz, only_tenant uuid, only_vehicle uuid, force boolean)
RETURNS TABLE (tenant_id uuid, vehicle_id uuid, from_ts timestamptz, to_ts timestamptz, due_at timestamptz, at_once boolean,
               why text[], batches integer, clients uuid[], notes text[])
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.tenant_id, d.vehicle_id, d.from_ts, d.to_ts, d.due_at, d.at_once, d.why, d.batches, d.clients, d.notes
    FROM public.vehicle_state s
    JOIN public.dirty_window d ON d.tenant_id = s.tenant_id AND d.vehicle_id = s.vehicle_id
    WHERE (claim_due.force OR d.due_at <= claim_due.at)
      AND (claim_due.only_tenant IS NULL OR d.tenant_id = claim_due.only_tenant)
      AND (claim_due.only_vehicle IS NULL OR d.vehicle_id = claim_due.only_vehicle)
    ORDER BY d.due_at, d.vehicle_id
    LIMIT 1
    FOR NO KEY UPDATE OF s SKIP LOCKED
    FOR UPDATE OF d SKIP LOCKED
$$;
REVOKE ALL ON FUNCTION claim_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION claim_due TO odograph_worker;

-- Nothing asks for it but tests.
DROP FUNCTION count_due;

RESET ROLE;
