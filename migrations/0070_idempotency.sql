-- Answers that are kept for a day under the key a client gave its request (Idempotency-Key), so that the request sent again
-- is answered again and not done again.
SET ROLE odograph_maintenance;

CREATE TABLE idempotency_key (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    client_id    uuid NOT NULL,
    -- Keyed. The client's key itself is nowhere: it is part of what opens the answer.
    key_hash     bytea NOT NULL CHECK (length(key_hash) = 32),
    -- Keyed, over method, target and body.
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    -- Who does it. A writing transaction of an attempt that was given up on finds another id here, and fails.
    attempt      uuid NOT NULL,
    started_at   timestamptz NOT NULL,
    -- What the attempt made or changed: set in the very transaction that did, so that an answer lost in a crash is not
    -- taken for a request that was never carried out.
    effect_kind  text,
    effect_id    uuid,
    -- Both NULL while it is under way.
    status       smallint CHECK (status BETWEEN 200 AND 299),
    sealed       bytea,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, client_id, key_hash),
    CHECK ((status IS NULL) = (sealed IS NULL)),
    CHECK ((effect_kind IS NULL) = (effect_id IS NULL))
);
CREATE INDEX idempotency_key_by_expiry ON idempotency_key (expires_at);
SELECT protect_table('idempotency_key', '{
    "rls": "tenant", "class": "secret", "purpose": "operation", "retention": "24 hours (api.idempotency_ttl_s)",
    "export": "no", "erasure": "gone after 24 hours; nobody can read it without the caller''s key",
    "rebuild": "no", "audit": "no",
    "roles": {"api": "SELECT, INSERT, DELETE, UPDATE (request_hash, attempt, started_at, effect_kind, effect_id, status, sealed, expires_at)"}}');

RESET ROLE;
