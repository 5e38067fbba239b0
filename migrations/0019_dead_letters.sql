-- What could not be used, kept where an operator can look at it, and the counts of how everything ended.
SET ROLE odograph_maintenance;

CREATE TABLE dead_letter (
    tenant_id     uuid NOT NULL REFERENCES tenant (id),
    id            uuid NOT NULL,
    message_id    uuid NOT NULL,
    -- Over reason, detail and payload, keyed: the same message coming again must not double its dead letters.
    fingerprint   bytea NOT NULL,
    -- No foreign key: a dead letter must be storable whatever is wrong with its message.
    client_id     uuid,
    source        text NOT NULL,
    vehicle_id    uuid,
    vehicle_given text NOT NULL,
    batch_id      text,
    reason        text NOT NULL,
    detail        text NOT NULL,
    samples       integer NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    uuid NOT NULL,
    key_id        uuid NOT NULL,
    sealed        bytea NOT NULL,
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, message_id, fingerprint),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES subject_key (tenant_id, id)
);
CREATE INDEX dead_letter_by_time ON dead_letter (tenant_id, received_at, id);
CREATE INDEX dead_letter_by_vehicle ON dead_letter (tenant_id, vehicle_id, received_at, id);
SELECT protect_table('dead_letter', '{
    "rls": "tenant", "class": "track", "purpose": "insurance contract; behaviour only by product and consent",
    "retention": "90 days", "export": "yes", "erasure": "subject key destroyed", "rebuild": "no", "audit": "read of a payload",
    "roles": {"api": "SELECT, INSERT", "worker": "SELECT, INSERT"}}');

CREATE TABLE outcome_count (
    tenant_id uuid NOT NULL REFERENCES tenant (id),
    -- Of arrival, UTC.
    day       date NOT NULL,
    -- `received`, `accepted`, `duplicate`, or the name of a rejection.
    outcome   text NOT NULL,
    -- The partition that counted (-1: refused at the door), so that workers do not wait for each other over a counter.
    shard     integer NOT NULL,
    messages  bigint NOT NULL,
    samples   bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, outcome, shard)
);
SELECT protect_table('outcome_count', '{
    "rls": "tenant", "class": "operational", "purpose": "operation", "retention": "2 years",
    "export": "no", "erasure": "none: no person in it", "rebuild": "no", "audit": "no",
    "roles": {"api": "SELECT, INSERT, UPDATE (messages, samples)", "worker": "SELECT, INSERT, UPDATE (messages, samples)"}}');

-- Messages that are no envelope: whose they are cannot be known.
CREATE TABLE quarantine (
    id          uuid PRIMARY KEY,
    reason      text NOT NULL,
    -- Encrypted with the master key, since there is no subject.
    sealed      bytea NOT NULL,
    received_at timestamptz NOT NULL
);
SELECT protect_table('quarantine', '{
    "rls": "functions", "class": "track", "purpose": "operation", "retention": "30 days",
    "export": "no", "erasure": "gone after 30 days", "rebuild": "no", "audit": "no", "roles": {}}');

CREATE FUNCTION quarantine_put(id uuid, reason text, sealed bytea, at timestamptz)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.quarantine (id, reason, sealed, received_at)
    VALUES (quarantine_put.id, quarantine_put.reason, quarantine_put.sealed, at)
    ON CONFLICT ON CONSTRAINT quarantine_pkey DO NOTHING
$$;
REVOKE ALL ON FUNCTION quarantine_put FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quarantine_put TO odograph_worker;

RESET ROLE;
