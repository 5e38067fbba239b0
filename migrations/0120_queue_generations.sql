-- How the queue is cut into partitions, in one place that every process sees. A change of the number is another generation of
-- queues: publishers go over to it and say so; what the old one holds is worked off first, or a vehicle's later messages
-- could be worked on before its earlier ones. Times are the caller's.
SET ROLE odograph_maintenance;

CREATE TABLE queue_generation (
    generation integer PRIMARY KEY CHECK (generation > 0),
    partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 1024),
    -- `current`: published to. `draining`: superseded, some may still publish to it. `sealed`: takes no more messages.
    -- `drained`: empty. `removed`: its queues are gone. The oldest that is not drained is the one that is consumed.
    state      text NOT NULL CHECK (state IN ('current', 'draining', 'sealed', 'drained', 'removed')),
    changed_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX queue_generation_current ON queue_generation ((true)) WHERE state = 'current';
SELECT protect_table('queue_generation', '{
    "rls": "functions", "class": "operational", "purpose": "insurance contract", "retention": "life of the queue",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

-- Every process that publishes, and to which generation. One that has not been heard of until then does not publish: what
-- it sends all the same it does not call durable.
CREATE TABLE queue_publisher (
    publisher_id uuid PRIMARY KEY,
    generation   integer NOT NULL,
    until        timestamptz NOT NULL
);
SELECT protect_table('queue_publisher', '{
    "rls": "functions", "class": "operational", "purpose": "insurance contract", "retention": "an hour",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

-- The first generation, where there is none yet.
CREATE FUNCTION queue_begin(generation integer, partitions integer, at timestamptz)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.queue_generation (generation, partitions, state, changed_at)
    SELECT queue_begin.generation, queue_begin.partitions, 'current', at
    WHERE NOT EXISTS (SELECT FROM public.queue_generation)
    ON CONFLICT DO NOTHING
$$;

-- Says what a process publishes to (NULL: to the current one from now on), tells what it should publish to, and whether all
-- others have left what was before: until then it may not begin, or a vehicle's next message, which comes by another process,
-- could be put into the old queues after this one is in the new. The share of the row keeps a change of the number out until
-- this is written: whoever looks for publishers of the old generation later finds this one.
CREATE FUNCTION queue_attend(publisher uuid, published integer, at timestamptz, until timestamptz)
RETURNS TABLE (generation integer, partitions integer, others_left boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    current public.queue_generation;
BEGIN
    SELECT * INTO STRICT current FROM public.queue_generation g WHERE g.state = 'current' FOR SHARE;
    DELETE FROM public.queue_publisher p WHERE p.until < at - interval '1 hour';
    INSERT INTO public.queue_publisher AS p (publisher_id, generation, until)
    VALUES (publisher, coalesce(published, current.generation), queue_attend.until)
    ON CONFLICT ON CONSTRAINT queue_publisher_pkey DO UPDATE SET generation = excluded.generation, until = excluded.until;
    RETURN QUERY SELECT current.generation, current.partitions, NOT EXISTS (
        SELECT FROM public.queue_publisher p
        WHERE p.generation < current.generation AND p.until > at AND p.publisher_id <> publisher);
END
$$;

CREATE FUNCTION queue_leave(publisher uuid)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.queue_publisher p WHERE p.publisher_id = publisher
$$;

-- All that are not over and done with, and how many publish to each.
CREATE FUNCTION queue_generations(at timestamptz)
RETURNS TABLE (generation integer, partitions integer, state text, changed_at timestamptz, publishers bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT g.generation, g.partitions, g.state, g.changed_at,
           (SELECT count(*) FROM public.queue_publisher p WHERE p.generation = g.generation AND p.until > at)
    FROM public.queue_generation g WHERE g.state <> 'removed' ORDER BY g.generation
$$;

-- The next generation, with this many partitions; NULL while the one before the current is not worked off.
CREATE FUNCTION queue_repartition(partitions integer, at timestamptz)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    old integer;
BEGIN
    SELECT g.generation INTO STRICT old FROM public.queue_generation g WHERE g.state = 'current' FOR UPDATE;
    IF EXISTS (SELECT FROM public.queue_generation g WHERE g.state IN ('draining', 'sealed')) THEN
        RETURN NULL;
    END IF;
    UPDATE public.queue_generation g SET state = 'draining', changed_at = at WHERE g.generation = old;
    INSERT INTO public.queue_generation (generation, partitions, state, changed_at)
    VALUES (old + 1, queue_repartition.partitions, 'current', at);
    RETURN old + 1;
END
$$;

-- Whether it was in the one state and is in the next now.
CREATE FUNCTION queue_generation_moves(generation integer, was text, becomes text, at timestamptz)
RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH moved AS (
        UPDATE public.queue_generation g SET state = becomes, changed_at = at
        WHERE g.generation = queue_generation_moves.generation AND g.state = was
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM moved)
$$;

REVOKE ALL ON FUNCTION queue_begin, queue_attend, queue_leave, queue_generations, queue_repartition, queue_generation_moves
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue_begin, queue_attend, queue_leave, queue_generations, queue_repartition, queue_generation_moves
    TO odograph_worker;

RESET ROLE;
