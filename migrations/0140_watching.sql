-- What whoever runs the platform watches: counts over all tenants, and nothing else of them. Roles that see one tenant at a
-- time cannot count over all, so they ask these functions.

-- The size of a database is told to who may connect to it, which not everybody may (deploy/postgres-init.sh).
DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO odograph_maintenance', current_database());
END
$$;

SET ROLE odograph_maintenance;

-- Open dead letters are counted by reason every few seconds: without reading the letters themselves.
CREATE INDEX dead_letter_open_by_reason ON dead_letter (reason, received_at) WHERE status = 'open';

CREATE FUNCTION watch_figures(partitions integer, at timestamptz)
RETURNS TABLE (windows_due bigint, oldest_due_at timestamptz, windows_waiting bigint, quarantined bigint, workers bigint,
               partitions_held bigint, outbox_pending bigint, database_bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT (SELECT count(*) FROM public.dirty_window d WHERE d.due_at <= at),
           (SELECT min(d.due_at) FROM public.dirty_window d WHERE d.due_at <= at),
           (SELECT count(*) FROM public.dirty_window d WHERE d.due_at > at),
           (SELECT count(*) FROM public.quarantine),
           (SELECT count(*) FROM public.worker_presence p WHERE p.until > at),
           (SELECT count(*) FROM public.partition_lease l
            WHERE l.partition < partitions AND l.worker_id IS NOT NULL AND l.lease_until > at),
           -- Where nobody takes them there are more and more: not all are counted then.
           (SELECT count(*) FROM (SELECT FROM public.outbox o WHERE o.delivered_at IS NULL LIMIT 100000) pending),
           -- Whoever migrates need not own the database, and may not be able to grant that then.
           CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) ELSE 0 END
$$;

CREATE FUNCTION watch_dead_letters()
RETURNS TABLE (reason text, letters bigint, oldest_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT d.reason, count(*), min(d.received_at) FROM public.dead_letter d WHERE d.status = 'open' GROUP BY d.reason
$$;

-- Of the queue in the database, by partition and lane.
CREATE FUNCTION queue_waiting()
RETURNS TABLE (partition integer, lane smallint, messages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.partition, m.lane, count(*) FROM public.queue_message m GROUP BY m.partition, m.lane
$$;

REVOKE ALL ON FUNCTION watch_figures, watch_dead_letters, queue_waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION watch_figures, watch_dead_letters, queue_waiting TO odograph_api, odograph_worker;

RESET ROLE;
