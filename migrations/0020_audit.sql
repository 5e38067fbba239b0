-- Who did what to which thing, and when. Written in the transaction that did it; nobody but maintenance can change it.
SET ROLE odograph_maintenance;

CREATE TABLE audit (
    tenant_id   uuid NOT NULL REFERENCES tenant (id),
    id          uuid NOT NULL,
    at          timestamptz NOT NULL,
    -- The client that acted; NULL for the platform's operator.
    actor_id    uuid,
    action      text NOT NULL,
    object_kind text NOT NULL,
    object_id   uuid NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, actor_id) REFERENCES client (tenant_id, id)
);
CREATE INDEX audit_by_time ON audit (tenant_id, at, id);
SELECT protect_table('audit', '{
    "rls": "tenant", "class": "operational", "purpose": "accountability", "retention": "7 years",
    "export": "yes", "erasure": "kept: ids only", "rebuild": "no", "audit": "it is the audit log",
    "roles": {"api": "SELECT, INSERT"}}');

RESET ROLE;
