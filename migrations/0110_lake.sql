-- The lake: what of a tenant lies in object storage. A row is written in the transaction that makes it true, so that a process
-- that dies between storing an object and saying so leaves nothing that anybody takes for data.
SET ROLE odograph_maintenance;

-- An object of the lake. Of `trips` there is one a day and bucket, under a name that stays: it is replaced as a whole. Of `raw` each
-- has a name of its own and never changes.
CREATE TABLE lake_file (
    tenant_id     uuid NOT NULL REFERENCES tenant (id),
    id            uuid NOT NULL,
    data_set      text NOT NULL CHECK (data_set IN ('raw', 'trips')),
    day           date NOT NULL,
    path          text NOT NULL UNIQUE,
    -- `writing`: announced, and perhaps there; `live`: there; `gone`: to be deleted, since others hold what it held.
    state         text NOT NULL CHECK (state IN ('writing', 'live', 'gone')),
    bytes         bigint NOT NULL,
    sha256        bytea CHECK (length(sha256) = 32),
    -- Trips, or blocks.
    items         integer NOT NULL,
    samples       bigint NOT NULL,
    -- Of trips: the sum of their billable metres.
    metres        double precision,
    -- Of blocks: how many are no more, and only waste space.
    dead          integer NOT NULL DEFAULT 0,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (state <> 'live' OR sha256 IS NOT NULL)
);
CREATE INDEX lake_file_by_day ON lake_file (tenant_id, data_set, day);
CREATE INDEX lake_file_unsettled ON lake_file (changed_at) WHERE state <> 'live';
SELECT protect_table('lake_file', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "as long as its object",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no",
    "roles": {"api": "SELECT", "worker": "SELECT, UPDATE (dead)"}}');

-- Where each block lies in the lake.
CREATE TABLE lake_block (
    tenant_id    uuid NOT NULL,
    vehicle_id   uuid NOT NULL,
    -- As in raw_block.
    id           uuid NOT NULL,
    subject_kind text NOT NULL,
    subject_id   uuid NOT NULL,
    key_id       uuid NOT NULL,
    device_id    uuid,
    min_ts       timestamptz NOT NULL,
    max_ts       timestamptz NOT NULL,
    samples      integer NOT NULL,
    file_id      uuid NOT NULL,
    at_byte      bigint NOT NULL,
    bytes        integer NOT NULL,
    -- When raw_block let go of it: from then on it lies here only.
    dropped_at   timestamptz,
    PRIMARY KEY (tenant_id, vehicle_id, id),
    FOREIGN KEY (tenant_id, file_id) REFERENCES lake_file (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES subject_key (tenant_id, id)
);
CREATE INDEX lake_block_by_time ON lake_block (tenant_id, vehicle_id, min_ts, max_ts) WHERE dropped_at IS NOT NULL;
CREATE INDEX lake_block_by_file ON lake_block (tenant_id, file_id);
CREATE INDEX lake_block_by_key ON lake_block (tenant_id, key_id);
SELECT protect_table('lake_block', '{
    "rls": "tracks", "class": "track", "purpose": "insurance contract; behaviour only by product and consent",
    "retention": "by the tenant", "export": "yes: what it points to", "erasure": "subject key destroyed", "rebuild": "no",
    "audit": "read of a track", "roles": {"api": "SELECT", "worker": "SELECT, DELETE"}}');

-- Blocks that have still to go to the lake.
ALTER TABLE raw_block ADD COLUMN in_lake boolean NOT NULL DEFAULT false;
CREATE INDEX raw_block_to_lake ON raw_block (tenant_id, min_ts) WHERE NOT in_lake;

-- Days of trips that are not in the lake as they are in the database. A row for each change, so that those who derive at the same
-- time do not wait for each other; housekeeping leaves one a day.
CREATE TABLE lake_trip_change (
    tenant_id uuid NOT NULL,
    day       date NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (tenant_id, day, id)
);
SELECT protect_table('lake_trip_change', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "until the day is in the lake",
    "export": "no", "erasure": "none: no person in it", "rebuild": "all days that have trips", "audit": "no", "roles": {}}');

CREATE FUNCTION note_trips_written() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO public.lake_trip_change (tenant_id, day) SELECT DISTINCT tenant_id, start_day FROM changed;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION note_trips_written FROM PUBLIC;
CREATE TRIGGER trips_inserted AFTER INSERT ON trip REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_trips_written();
CREATE TRIGGER trips_updated_from AFTER UPDATE ON trip REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_trips_written();
CREATE TRIGGER trips_updated_to AFTER UPDATE ON trip REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_trips_written();
CREATE TRIGGER trips_deleted AFTER DELETE ON trip REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_trips_written();

-- Whose turn it is to look after the lake: one worker at a time, so that none does what another has just done. Nothing goes wrong
-- where two do.
CREATE TABLE lake_turn (
    job   text PRIMARY KEY,
    owner uuid NOT NULL,
    until timestamptz NOT NULL
);
SELECT protect_table('lake_turn', '{
    "rls": "functions", "class": "operational", "purpose": "operation", "retention": "one row a job",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no", "roles": {}}');

INSERT INTO lake_trip_change (tenant_id, day) SELECT DISTINCT tenant_id, start_day FROM trip;

RESET ROLE;
