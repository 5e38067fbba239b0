-- What a policy would cost, as it was told, with everything that followed from: it can be read again, and nothing is
-- charged by it.
SET ROLE odograph_maintenance;

CREATE TABLE quote (
    tenant_id   uuid NOT NULL REFERENCES tenant (id),
    id          uuid NOT NULL,
    -- The policy whose change is quoted; NULL for new business.
    policy_id   uuid,
    -- Whose score was taken.
    driver_id   uuid,
    starts_on   date NOT NULL,
    -- First day not quoted.
    ends_on     date NOT NULL,
    currency    text NOT NULL,
    total       numeric NOT NULL,
    -- What the policy costs over the same months without the change.
    as_is_total numeric,
    -- As asked for.
    request     jsonb NOT NULL,
    -- A rated premium for each month, with its inputs and steps. Decimals in it are strings.
    premiums    jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, policy_id) REFERENCES policy (tenant_id, id),
    FOREIGN KEY (tenant_id, driver_id) REFERENCES driver (tenant_id, id),
    CHECK (starts_on < ends_on),
    CHECK (created_at < valid_until)
);
CREATE INDEX quote_by_creation ON quote (tenant_id, created_at, id);
SELECT protect_table('quote', '{
    "rls": "tenant", "class": "money", "purpose": "pricing", "retention": "as long as an offer may be disputed",
    "export": "yes", "erasure": "kept with the pseudonymous driver id: what was offered must stay provable", "rebuild": "no",
    "audit": "quote", "roles": {"api": "SELECT, INSERT"}}');

RESET ROLE;
