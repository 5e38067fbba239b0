-- What others must be told, written in the transaction that made it so and sent afterwards.
SET ROLE odograph_maintenance;

CREATE TABLE outbox (
    tenant_id    uuid NOT NULL REFERENCES tenant (id),
    id           bigint GENERATED ALWAYS AS IDENTITY,
    topic        text NOT NULL,
    -- Of the thing it is about: messages of one key go out in order.
    key          text NOT NULL,
    payload      jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    delivered_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX outbox_pending ON outbox (id) WHERE delivered_at IS NULL;
SELECT protect_table('outbox', '{
    "rls": "tenant", "class": "behaviour", "purpose": "as of what it tells", "retention": "until delivered, then 30 days",
    "export": "no", "erasure": "deleted by key", "rebuild": "no", "audit": "no",
    "roles": {"worker": "SELECT, INSERT, UPDATE (delivered_at)"}}');

RESET ROLE;
