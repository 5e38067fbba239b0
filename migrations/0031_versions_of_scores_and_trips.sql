-- A score or a trip that changes gets a new version; what it was before stays readable. The versions in force have their own
-- tables as before, so that reading them costs no more.
SET ROLE odograph_maintenance;

ALTER TABLE score
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN scored_at timestamptz NOT NULL DEFAULT '1970-01-01T00:00:00Z';
ALTER TABLE score
    ALTER COLUMN version DROP DEFAULT,
    ALTER COLUMN scored_at DROP DEFAULT;

CREATE TABLE score_history (
    tenant_id         uuid NOT NULL,
    driver_id         uuid NOT NULL,
    as_of             date NOT NULL,
    version           integer NOT NULL CHECK (version > 0),
    value             numeric(4, 1) NOT NULL,
    window_days       smallint NOT NULL,
    exposure_km       double precision NOT NULL,
    trips             integer NOT NULL,
    model_name        text NOT NULL,
    model_version     text NOT NULL,
    parameters_sha256 text NOT NULL,
    reasons           jsonb NOT NULL,
    scored_at         timestamptz NOT NULL,
    replaced_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, driver_id, as_of, version),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id)
);
SELECT protect_table('score_history', '{
    "rls": "tenant", "class": "behaviour", "purpose": "pricing by behaviour, by product and consent",
    "retention": "as long as a premium may be disputed", "export": "yes", "erasure": "deleted", "rebuild": "no: it is what was shown",
    "audit": "no", "roles": {"api": "SELECT", "worker": "SELECT, INSERT"}}');

CREATE TABLE trip_history (
    tenant_id   uuid NOT NULL,
    trip_id     uuid NOT NULL,
    version     integer NOT NULL CHECK (version > 0),
    vehicle_id  uuid NOT NULL,
    driver_id   uuid,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    started_by  text NOT NULL,
    ended_by    text NOT NULL,
    time_zone   text NOT NULL,
    start_day   date NOT NULL,
    derived_at  timestamptz NOT NULL,
    replaced_at timestamptz NOT NULL,
    -- A row of trip_features, the days and the events. Where behaviour may not be kept any more of the version that is in
    -- force, it goes from those before it too.
    features    jsonb NOT NULL,
    days        jsonb NOT NULL,
    events      jsonb NOT NULL,
    PRIMARY KEY (tenant_id, trip_id, version),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
);
SELECT protect_table('trip_history', '{
    "rls": "tenant", "class": "behaviour", "purpose": "insurance contract; behaviour only by product and consent",
    "retention": "as long as a premium may be disputed", "export": "yes", "erasure": "deleted", "rebuild": "no: it is what was shown",
    "audit": "no", "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE (features, events)"}}');

RESET ROLE;
