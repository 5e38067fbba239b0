-- While a car drives, all that changes of its dirty window is how far it reaches and how long to wait for silence, with every
-- batch. Both follow from the vehicle's state, so an open window stands for everything up to the vehicle's watermark and its
-- timer is pushed on only when it would go off.
SET ROLE odograph_maintenance;

ALTER TABLE dirty_window
    ADD COLUMN open boolean NOT NULL DEFAULT false,
    -- An open window that is not due at once waits until its vehicle has been silent for this long.
    ADD COLUMN silence_s integer NOT NULL DEFAULT 0 CHECK (silence_s >= 0);

-- Timers alone, so that to look for those that would go off costs nothing while much else is due.
CREATE INDEX dirty_window_timer ON dirty_window (due_at) WHERE open AND NOT at_once;

-- Pushes on the timers of vehicles that were heard of since; tells how many. Whoever holds a window is not waited for.
CREATE FUNCTION postpone_due(at timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH due AS (
        SELECT d.tenant_id, d.vehicle_id, d.id, s.last_received_at + make_interval(secs => d.silence_s) AS until
        FROM public.dirty_window d
        JOIN public.vehicle_state s ON s.tenant_id = d.tenant_id AND s.vehicle_id = d.vehicle_id
        WHERE d.due_at <= postpone_due.at AND d.open AND NOT d.at_once
          AND s.last_received_at + make_interval(secs => d.silence_s) > postpone_due.at
        FOR UPDATE OF d SKIP LOCKED
    ), postponed AS (
        UPDATE public.dirty_window d SET due_at = due.until FROM due
        WHERE d.tenant_id = due.tenant_id AND d.vehicle_id = due.vehicle_id AND d.id = due.id
        RETURNING 1
    )
    SELECT count(*) FROM postponed
$$;
REVOKE ALL ON FUNCTION postpone_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION postpone_due TO odograph_worker;

DROP FUNCTION claim_due(timestamptz, uuid, uuid, boolean);
CREATE FUNCTION claim_due(at timestamptz, only_tenant uuid, only_vehicle uuid, force boolean)
RETURNS TABLE (tenant_id uuid, vehicle_id uuid)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.tenant_id, d.vehicle_id
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

RESET ROLE;
