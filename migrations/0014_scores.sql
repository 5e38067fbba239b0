-- Behaviour scores with their reasons, one a driver and day.
SET ROLE odograph_maintenance;

CREATE TABLE score (
    tenant_id         uuid NOT NULL,
    driver_id         uuid NOT NULL,
    -- Last insured-local day of the window.
    as_of             date NOT NULL,
    value             numeric(4, 1) NOT NULL CHECK (value BETWEEN 0 AND 100),
    window_days       smallint NOT NULL,
    exposure_km       double precision NOT NULL,
    trips             integer NOT NULL,
    model_name        text NOT NULL,
    model_version     text NOT NULL,
    parameters_sha256 text NOT NULL,
    reasons           jsonb NOT NULL,
    PRIMARY KEY (tenant_id, driver_id, as_of),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id)
);
SELECT protect_table('score', '{
    "rls": "tenant", "class": "behaviour", "purpose": "pricing by behaviour, by product and consent",
    "retention": "as long as a premium may be disputed", "export": "yes", "erasure": "deleted", "rebuild": "from trips",
    "audit": "no", "roles": {"api": "SELECT", "worker": "SELECT, INSERT, UPDATE, DELETE"}}');

RESET ROLE;
