-- What each batch writes, cut to what somebody reads.
SET ROLE odograph_maintenance;

-- The tenant was read by whoever let the message in, and nobody may delete it: looking it up and locking its one row for each
-- message cost more than the message. Settling rewrites the row in its page.
ALTER TABLE message DROP CONSTRAINT message_tenant_id_fkey;
ALTER TABLE message SET (fillfactor = 50);

-- A vehicle's id is nobody else's, and where its rows end tells as much as where they begin: half as long an entry is enough.
DROP INDEX raw_journal_by_time;
CREATE INDEX raw_journal_by_time ON raw_journal (vehicle_id, min_ts);

-- The fence. The lock lasts until the caller's transaction ends: a takeover, which locks the row as if to delete it, waits for it
-- or passes the partition by. A renewal changes no key, so it waits for no transaction, and none for it.
CREATE OR REPLACE FUNCTION lease_fence(worker uuid, partition integer, epoch bigint)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT true FROM public.partition_lease l
    WHERE l.partition = lease_fence.partition AND l.epoch = lease_fence.epoch AND l.worker_id = worker
    FOR KEY SHARE
$$;

-- Every car on the road has a window that waits. A window that is due has to be found without looking at all of these, and that
-- of one vehicle without looking at any other: a condition that holds for every kind of question at once is answered by no index.
CREATE OR REPLACE FUNCTION claim_due(at timestamptz, only_tenant uuid, only_vehicle uuid, force boolean)
RETURNS TABLE (tenant_id uuid, vehicle_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    until timestamptz := CASE WHEN force THEN 'infinity' ELSE at END;
BEGIN
    IF only_tenant IS NOT NULL AND only_vehicle IS NOT NULL THEN
        RETURN QUERY
        SELECT d.tenant_id, d.vehicle_id
        FROM public.vehicle_state s
        JOIN public.dirty_window d ON d.tenant_id = s.tenant_id AND d.vehicle_id = s.vehicle_id
        WHERE d.tenant_id = only_tenant AND d.vehicle_id = only_vehicle AND d.due_at <= until
        ORDER BY d.due_at
        LIMIT 1
        FOR NO KEY UPDATE OF s SKIP LOCKED
        FOR UPDATE OF d SKIP LOCKED;
    ELSIF only_tenant IS NOT NULL THEN
        RETURN QUERY
        SELECT d.tenant_id, d.vehicle_id
        FROM public.vehicle_state s
        JOIN public.dirty_window d ON d.tenant_id = s.tenant_id AND d.vehicle_id = s.vehicle_id
        WHERE d.tenant_id = only_tenant AND d.due_at <= until
        ORDER BY d.due_at, d.vehicle_id
        LIMIT 1
        FOR NO KEY UPDATE OF s SKIP LOCKED
        FOR UPDATE OF d SKIP LOCKED;
    ELSE
        RETURN QUERY
        SELECT d.tenant_id, d.vehicle_id
        FROM public.vehicle_state s
        JOIN public.dirty_window d ON d.tenant_id = s.tenant_id AND d.vehicle_id = s.vehicle_id
        WHERE d.due_at <= until
        ORDER BY d.due_at, d.vehicle_id
        LIMIT 1
        FOR NO KEY UPDATE OF s SKIP LOCKED
        FOR UPDATE OF d SKIP LOCKED;
    END IF;
END
$$;

RESET ROLE;
