-- The queue where one process is enough. It is read before any tenant is known, so both roles reach it through functions
-- only. What is in flight is known to its consumer alone: a row leaves when it is acknowledged, and comes again when the
-- consumer is gone.
SET ROLE odograph_maintenance;

CREATE TABLE queue_message (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The number of partitions that `partition` was made with. When it changes, rows of the old are moved over.
    generation  integer NOT NULL,
    partition   integer NOT NULL,
    -- 0 urgent, 1 live, 2 bulk.
    lane        smallint NOT NULL,
    bytes       bytea NOT NULL,
    enqueued_at timestamptz NOT NULL
);
ALTER TABLE queue_message ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX queue_message_order ON queue_message (generation, partition, lane, id);
SELECT protect_table('queue_message', '{
    "rls": "functions", "class": "track", "purpose": "insurance contract", "retention": "until acknowledged",
    "export": "no", "erasure": "gone when acknowledged", "rebuild": "no", "audit": "no", "roles": {}}');

-- Highest id that was ever handed out of a partition and lane: what is not above it may have been received before.
CREATE TABLE queue_mark (
    generation integer NOT NULL,
    partition  integer NOT NULL,
    lane       smallint NOT NULL,
    handed_out bigint NOT NULL,
    PRIMARY KEY (generation, partition, lane)
);
SELECT protect_table('queue_mark', '{
    "rls": "functions", "class": "operational", "purpose": "insurance contract", "retention": "life of the queue",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

CREATE FUNCTION queue_publish(generation integer, partitions integer[], lanes smallint[], messages bytea[], at timestamptz)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.queue_message (generation, partition, lane, bytes, enqueued_at)
    SELECT queue_publish.generation, m.partition, m.lane, m.bytes, at
    FROM unnest(partitions, lanes, messages) WITH ORDINALITY AS m (partition, lane, bytes, place)
    ORDER BY m.place
$$;

CREATE FUNCTION queue_receive(generation integer, partition integer, in_flight bigint[], most integer)
RETURNS TABLE (id bigint, lane smallint, bytes bytea, redelivered boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH next AS MATERIALIZED (
        SELECT m.id, m.lane, m.bytes
        FROM public.queue_message m
        WHERE m.generation = queue_receive.generation AND m.partition = queue_receive.partition
          AND m.id <> ALL (queue_receive.in_flight)
        ORDER BY m.lane, m.id
        LIMIT queue_receive.most
    ), waiting AS MATERIALIZED (
        -- The first, and as many more as 32 MiB hold: a few large ones must not fill a worker's memory.
        SELECT w.id, w.lane, w.bytes
        FROM (SELECT n.*, sum(length(n.bytes)) OVER (ORDER BY n.lane, n.id) - length(n.bytes) AS before FROM next n) w
        WHERE w.before < 33554432
    ), before AS MATERIALIZED (
        SELECT k.lane, k.handed_out
        FROM public.queue_mark k
        WHERE k.generation = queue_receive.generation AND k.partition = queue_receive.partition
    ), marked AS (
        INSERT INTO public.queue_mark AS k (generation, partition, lane, handed_out)
        SELECT queue_receive.generation, queue_receive.partition, w.lane, max(w.id) FROM waiting w GROUP BY w.lane
        ON CONFLICT ON CONSTRAINT queue_mark_pkey
        DO UPDATE SET handed_out = greatest(k.handed_out, excluded.handed_out)
        RETURNING 1
    )
    SELECT w.id, w.lane, w.bytes, w.id <= coalesce(b.handed_out, 0)
    FROM waiting w LEFT JOIN before b USING (lane)
    ORDER BY w.lane, w.id
$$;

CREATE FUNCTION queue_acknowledge(ids bigint[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.queue_message m WHERE m.id = ANY (ids)
$$;

CREATE FUNCTION queue_depth()
RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FROM public.queue_message
$$;

-- Rows of another number of partitions, oldest first: whoever finds them moves them to where they belong now.
CREATE FUNCTION queue_strays(generation integer, most integer)
RETURNS TABLE (id bigint, bytes bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.id, m.bytes FROM public.queue_message m
    WHERE m.generation < queue_strays.generation OR m.generation > queue_strays.generation
    ORDER BY m.id LIMIT queue_strays.most
    FOR UPDATE SKIP LOCKED
$$;

CREATE FUNCTION queue_rehome(generation integer, ids bigint[], partitions integer[])
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE public.queue_message m SET generation = queue_rehome.generation, partition = t.partition
    FROM unnest(ids, partitions) AS t (id, partition)
    WHERE m.id = t.id
$$;

REVOKE ALL ON FUNCTION queue_publish, queue_receive, queue_acknowledge, queue_depth, queue_strays, queue_rehome FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue_publish, queue_depth TO odograph_api;
GRANT EXECUTE ON FUNCTION queue_publish, queue_receive, queue_acknowledge, queue_depth, queue_strays, queue_rehome
    TO odograph_worker;

RESET ROLE;
