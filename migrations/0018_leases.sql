-- Who works which partition. A lease runs out; the epoch grows with each change of hands and fences off whoever lost it and
-- does not know. Times are the caller's: the clock is an argument here too.
SET ROLE odograph_maintenance;

CREATE TABLE partition_lease (
    partition   integer PRIMARY KEY,
    epoch       bigint NOT NULL,
    worker_id   uuid,
    lease_until timestamptz NOT NULL
);
SELECT protect_table('partition_lease', '{
    "rls": "functions", "class": "operational", "purpose": "insurance contract", "retention": "life of the queue",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

-- Who is there to share the partitions, also while it holds none.
CREATE TABLE worker_presence (
    worker_id uuid PRIMARY KEY,
    until     timestamptz NOT NULL
);
SELECT protect_table('worker_presence', '{
    "rls": "functions", "class": "operational", "purpose": "insurance contract", "retention": "a day",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

-- Says that a worker is there until then, forgets who has long been gone, and tells who is there.
CREATE FUNCTION worker_attend(worker uuid, at timestamptz, until timestamptz)
RETURNS TABLE (worker_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM public.worker_presence p WHERE p.until < at - interval '1 day';
    INSERT INTO public.worker_presence AS p (worker_id, until) VALUES (worker, worker_attend.until)
    ON CONFLICT ON CONSTRAINT worker_presence_pkey DO UPDATE SET until = excluded.until;
    RETURN QUERY SELECT p.worker_id FROM public.worker_presence p WHERE p.until > at ORDER BY 1;
END
$$;

CREATE FUNCTION worker_leave(worker uuid)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.worker_presence p WHERE p.worker_id = worker
$$;

CREATE FUNCTION lease_acquire(worker uuid, partitions integer, want integer, at timestamptz, until timestamptz)
RETURNS TABLE (partition integer, epoch bigint, lease_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO public.partition_lease AS l (partition, epoch, worker_id, lease_until)
    SELECT n, 0, NULL, at FROM generate_series(0, partitions - 1) AS n
    WHERE NOT EXISTS (SELECT FROM public.partition_lease x WHERE x.partition = n)
    ON CONFLICT DO NOTHING;

    RETURN QUERY
    WITH free AS MATERIALIZED (
        SELECT l.partition
        FROM public.partition_lease l
        WHERE l.partition < partitions AND (l.worker_id IS NULL OR l.lease_until <= at)
        ORDER BY l.partition
        LIMIT want
        -- A row that is locked is being worked or taken by another right now.
        FOR UPDATE SKIP LOCKED
    )
    UPDATE public.partition_lease l
    SET epoch = l.epoch + 1, worker_id = worker, lease_until = until
    FROM free WHERE l.partition = free.partition
    RETURNING l.partition, l.epoch, l.lease_until;
END
$$;

-- Those still held: also those that ran out, as long as nobody took them.
CREATE FUNCTION lease_renew(worker uuid, until timestamptz)
RETURNS TABLE (partition integer, epoch bigint, lease_until timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.partition_lease l SET lease_until = until WHERE l.worker_id = worker
    RETURNING l.partition, l.epoch, l.lease_until
$$;

CREATE FUNCTION lease_release(worker uuid, partitions integer[], epochs bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.partition_lease l SET worker_id = NULL
    FROM unnest(partitions, epochs) AS held (partition, epoch)
    WHERE l.partition = held.partition AND l.epoch = held.epoch AND l.worker_id = worker
$$;

-- The fence. The lock lasts until the caller's transaction ends: a takeover waits for it or passes the partition by.
CREATE FUNCTION lease_fence(worker uuid, partition integer, epoch bigint)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT true FROM public.partition_lease l
    WHERE l.partition = lease_fence.partition AND l.epoch = lease_fence.epoch AND l.worker_id = worker
    FOR SHARE
$$;

REVOKE ALL ON FUNCTION lease_acquire, lease_renew, lease_release, lease_fence, worker_attend, worker_leave
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lease_acquire, lease_renew, lease_release, lease_fence, worker_attend, worker_leave
    TO odograph_worker;

RESET ROLE;
