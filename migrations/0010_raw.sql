-- The raw data. A short journal takes each batch as it comes; when a trip is derived its rows become blocks. Both are
-- encrypted with the subject's key and readable by the api role only while it says that it reads tracks.
SET ROLE odograph_maintenance;

CREATE TABLE raw_journal (
    tenant_id    uuid NOT NULL,
    vehicle_id   uuid NOT NULL,
    id           uuid NOT NULL,
    message_id   uuid NOT NULL,
    subject_kind text NOT NULL,
    subject_id   uuid NOT NULL,
    key_id       uuid NOT NULL,
    min_ts       timestamptz NOT NULL,
    max_ts       timestamptz NOT NULL,
    samples      integer NOT NULL,
    -- A block as of raw format v1, like in raw_block.
    payload      bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES subject_key (tenant_id, id),
    CHECK (min_ts <= max_ts)
);
-- Compressed and encrypted already: trying to compress again only costs.
ALTER TABLE raw_journal ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX raw_journal_by_time ON raw_journal (tenant_id, vehicle_id, min_ts, max_ts);
SELECT protect_table('raw_journal', '{
    "rls": "tracks", "class": "track", "purpose": "insurance contract; behaviour only by product and consent",
    "retention": "until compacted into blocks", "export": "yes", "erasure": "subject key destroyed", "rebuild": "no",
    "audit": "read of a track", "roles": {"api": "SELECT", "worker": "SELECT, INSERT, DELETE"}}');

CREATE TABLE raw_block (
    tenant_id    uuid NOT NULL,
    vehicle_id   uuid NOT NULL,
    id           uuid NOT NULL,
    subject_kind text NOT NULL,
    subject_id   uuid NOT NULL,
    key_id       uuid NOT NULL,
    min_ts       timestamptz NOT NULL,
    max_ts       timestamptz NOT NULL,
    samples      integer NOT NULL,
    payload      bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES subject_key (tenant_id, id),
    CHECK (min_ts <= max_ts)
);
ALTER TABLE raw_block ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX raw_block_by_time ON raw_block (tenant_id, vehicle_id, min_ts, max_ts);
SELECT protect_table('raw_block', '{
    "rls": "tracks", "class": "track", "purpose": "insurance contract; behaviour only by product and consent",
    "retention": "by the tenant, 400 days at least", "export": "yes", "erasure": "subject key destroyed", "rebuild": "no",
    "audit": "read of a track", "roles": {"api": "SELECT", "worker": "SELECT, INSERT"}}');

CREATE TABLE raw_impact (
    tenant_id    uuid NOT NULL,
    vehicle_id   uuid NOT NULL,
    id           uuid NOT NULL,
    message_id   uuid NOT NULL,
    subject_kind text NOT NULL,
    subject_id   uuid NOT NULL,
    key_id       uuid NOT NULL,
    trigger_ts   timestamptz NOT NULL,
    -- The impact as JSON, encrypted.
    sealed       bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, vehicle_id, id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES subject_key (tenant_id, id)
);
CREATE INDEX raw_impact_by_time ON raw_impact (tenant_id, vehicle_id, trigger_ts);
SELECT protect_table('raw_impact', '{
    "rls": "tracks", "class": "behaviour", "purpose": "claims; only where behaviour may be kept",
    "retention": "by the tenant, with its case", "export": "yes", "erasure": "subject key destroyed", "rebuild": "no",
    "audit": "read", "roles": {"api": "SELECT", "worker": "SELECT, INSERT"}}');

RESET ROLE;
