-- Premiums with what they depend on and the steps that led to them. A new figure is a new version; the old one stays.
SET ROLE odograph_maintenance;

CREATE TABLE premium (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    policy_id    uuid NOT NULL,
    -- First day of the month.
    period       date NOT NULL CHECK (extract(day FROM period) = 1),
    version      integer NOT NULL CHECK (version > 0),
    is_current   boolean NOT NULL,
    amount       numeric NOT NULL,
    currency     text NOT NULL,
    interpreter  smallint NOT NULL,
    plan_id      uuid NOT NULL,
    plan_version integer NOT NULL,
    usage_m      bigint NOT NULL,
    score        numeric,
    -- Decimals in it are strings, so that jsonb cannot touch their digits.
    inputs       jsonb NOT NULL,
    steps        jsonb NOT NULL,
    rated_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, policy_id, period, version),
    FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id),
    FOREIGN KEY (tenant_id, plan_id, plan_version) REFERENCES rating_plan_version (tenant_id, plan_id, version)
);
CREATE UNIQUE INDEX premium_current ON premium (tenant_id, policy_id, period) WHERE is_current;
SELECT protect_table('premium', '{
    "rls": "tenant", "class": "money", "purpose": "insurance contract", "retention": "statutory, by the insurer",
    "export": "yes", "erasure": "kept: what was charged must stay provable", "rebuild": "from usage, scores and plans",
    "audit": "rating on demand",
    "roles": {"api": "SELECT, INSERT, UPDATE (is_current)", "worker": "SELECT, INSERT, UPDATE (is_current)"}}');

RESET ROLE;
