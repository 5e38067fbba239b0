-- The queue in the table hands nothing out under the new number of partitions while a row of the old is left: the two looks
-- are one statement, so whoever sees a vehicle's later message sees its earlier one too, and moves it first. And it tells how
-- full each lane is.
SET ROLE odograph_maintenance;

CREATE OR REPLACE FUNCTION queue_receive(generation integer, partition integer, in_flight bigint[], most integer)
RETURNS TABLE (id bigint, lane smallint, bytes bytea, redelivered boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH stray AS MATERIALIZED (
        SELECT EXISTS (SELECT FROM public.queue_message m WHERE m.generation < queue_receive.generation)
            OR EXISTS (SELECT FROM public.queue_message m WHERE m.generation > queue_receive.generation) AS found
    ), next AS MATERIALIZED (
        SELECT m.id, m.lane, m.bytes
        FROM public.queue_message m
        WHERE m.generation = queue_receive.generation AND m.partition = queue_receive.partition
          AND m.id <> ALL (queue_receive.in_flight)
          AND NOT (SELECT found FROM stray)
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

-- Rows of another number of partitions than this one, if there are any.
CREATE FUNCTION queue_has_strays(generation integer)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.queue_message m WHERE m.generation < queue_has_strays.generation)
        OR EXISTS (SELECT FROM public.queue_message m WHERE m.generation > queue_has_strays.generation)
$$;

CREATE FUNCTION queue_fill()
RETURNS TABLE (lane smallint, messages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT m.lane, count(*) FROM public.queue_message m GROUP BY m.lane
$$;

REVOKE ALL ON FUNCTION queue_has_strays, queue_fill FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue_has_strays TO odograph_worker;
GRANT EXECUTE ON FUNCTION queue_fill TO odograph_api, odograph_worker;

RESET ROLE;
