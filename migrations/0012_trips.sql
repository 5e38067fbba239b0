-- Trips, a function of the raw data: deleted and written anew as often as it takes. What a trip amounts to has its own
-- table, so that a list of trips does not read it, and behaviour has its own columns there, NULL where it may not be kept.
SET ROLE odograph_maintenance;

CREATE TABLE trip (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    vehicle_id   uuid NOT NULL,
    driver_id    uuid,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz NOT NULL,
    started_by   text NOT NULL,
    ended_by     text NOT NULL,
    state        text NOT NULL CHECK (state IN ('provisional', 'closed')),
    time_zone    text NOT NULL,
    -- Insured-local day of the start.
    start_day    date NOT NULL,
    version      integer NOT NULL CHECK (version > 0),
    content_hash bytea NOT NULL CHECK (length(content_hash) = 32),
    derived_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id),
    CHECK (started_at <= ended_at)
);
CREATE INDEX trip_by_start ON trip (tenant_id, started_at, id);
CREATE INDEX trip_by_vehicle ON trip (tenant_id, vehicle_id, started_at, ended_at);
CREATE INDEX trip_by_driver ON trip (tenant_id, driver_id, start_day);
SELECT protect_table('trip', '{
    "rls": "tenant", "class": "mileage", "purpose": "insurance contract", "retention": "as long as a premium may be disputed",
    "export": "yes", "erasure": "deleted", "rebuild": "from raw data", "audit": "no",
    "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

CREATE TABLE trip_features (
    tenant_id       uuid NOT NULL,
    trip_id         uuid NOT NULL,
    plan_version    smallint NOT NULL,
    samples         integer NOT NULL,
    duration_s      double precision NOT NULL,
    moving_s        double precision NOT NULL,
    idle_s          double precision NOT NULL,
    fix_share       double precision,
    hdop_median     double precision,
    marks           jsonb NOT NULL,
    odometer_m      double precision,
    speed_m         double precision,
    gps_m           double precision,
    billable_m      double precision NOT NULL,
    mileage_source  text,
    mileage_grade   text NOT NULL,
    mileage_reasons text[] NOT NULL,
    -- From here on behaviour: all NULL where the product or the consent does not allow it to be kept.
    mean_speed_kmh  double precision,
    top_speed_kmh   double precision,
    night_share     double precision,
    weekend_share   double precision,
    speeding_share  double precision,
    limit_known_s   double precision,
    phone_share     double precision,
    phone_known_s   double precision,
    braking_seen    boolean,
    cornering_seen  boolean,
    PRIMARY KEY (tenant_id, trip_id),
    FOREIGN KEY (tenant_id, trip_id) REFERENCES trip (tenant_id, id) ON DELETE CASCADE,
    CHECK (num_nulls(mean_speed_kmh, top_speed_kmh, night_share, weekend_share, limit_known_s, phone_known_s, braking_seen,
        cornering_seen) IN (0, 8)),
    CHECK (mean_speed_kmh IS NOT NULL OR num_nonnulls(speeding_share, phone_share) = 0)
);
SELECT protect_table('trip_features', '{
    "rls": "tenant", "class": "behaviour", "purpose": "pricing; behaviour columns only by product and consent",
    "retention": "as long as a premium may be disputed", "export": "yes", "erasure": "deleted with the trip",
    "rebuild": "from raw data", "audit": "no", "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

CREATE TABLE trip_day (
    tenant_id  uuid NOT NULL,
    trip_id    uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    -- Insured-local.
    day        date NOT NULL,
    -- Of the trip: a day's metres are added in this order, so that the sum is the same each time.
    started_at timestamptz NOT NULL,
    metres     double precision NOT NULL,
    PRIMARY KEY (tenant_id, trip_id, day),
    FOREIGN KEY (tenant_id, trip_id) REFERENCES trip (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX trip_day_by_vehicle ON trip_day (tenant_id, vehicle_id, day, started_at);
SELECT protect_table('trip_day', '{
    "rls": "tenant", "class": "mileage", "purpose": "insurance contract", "retention": "as long as a premium may be disputed",
    "export": "yes", "erasure": "deleted with the trip", "rebuild": "from raw data", "audit": "no",
    "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

CREATE TABLE behaviour_event (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    trip_id    uuid NOT NULL,
    -- Place in the trip's list.
    seq        integer NOT NULL,
    kind       text NOT NULL,
    ts         timestamptz NOT NULL,
    duration_s double precision NOT NULL,
    peak       double precision NOT NULL,
    speed_kmh  double precision,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, trip_id, seq),
    FOREIGN KEY (tenant_id, trip_id) REFERENCES trip (tenant_id, id) ON DELETE CASCADE
);
SELECT protect_table('behaviour_event', '{
    "rls": "tenant", "class": "behaviour", "purpose": "pricing by behaviour, by product and consent",
    "retention": "as long as a premium may be disputed", "export": "yes", "erasure": "deleted with the trip",
    "rebuild": "from raw data", "audit": "no", "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

RESET ROLE;
