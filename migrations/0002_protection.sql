-- Every table answers the same questions where it is made, and its protection follows from the answers: a table that
-- forgets one does not migrate. The answers stay with the table as its comment.
--
--   rls        who sees which rows: `tenant` (column tenant_id), `tenant_row` (the tenant's own row, column id), `tracks`
--              (tenant, and the api role only while it says app.tracks), `functions` (no tenant: only through functions)
--   class      of the data: operational, personal, mileage, behaviour, track, money, secret
--   purpose    what the insured consented to it for
--   retention  how long it is kept
--   export     whether a person's export holds it
--   erasure    what erasing a person does to it
--   rebuild    what it can be made from again
--   roles      what the api and worker roles may do; maintenance owns all
--   audit      which dealings with it are written to the audit log
SET ROLE odograph_maintenance;

CREATE FUNCTION protect_table(target regclass, about jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    question text;
    role_name text;
    rights text;
    seen text;
    tenant_column text := CASE about ->> 'rls' WHEN 'tenant_row' THEN 'id' ELSE 'tenant_id' END;
BEGIN
    FOREACH question IN ARRAY
        ARRAY['rls', 'class', 'purpose', 'retention', 'export', 'erasure', 'rebuild', 'roles', 'audit']
    LOOP
        IF about -> question IS NULL THEN
            RAISE 'table % does not say its %', target, question;
        END IF;
    END LOOP;

    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    -- The owner too: a mistake in maintenance code must show as a policy, not slip past them.
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY maintenance ON %s TO odograph_maintenance USING (true)', target);
    EXECUTE format('COMMENT ON TABLE %s IS %L', target, about::text);

    FOR role_name, rights IN SELECT 'odograph_' || key, value FROM jsonb_each_text(about -> 'roles') LOOP
        IF about ->> 'rls' = 'functions' THEN
            RAISE 'table % has no tenant: it is reached through functions, not by %', target, role_name;
        END IF;
        -- In a sub-select so that the setting is read once a query, not once a row.
        IF role_name = 'odograph_worker' THEN
            seen := format(
                '%I = ANY ((SELECT NULLIF(current_setting(''app.tenants'', true), '''')::uuid[])::uuid[])', tenant_column);
        ELSE
            seen := format('%I = (SELECT NULLIF(current_setting(''app.tenant'', true), '''')::uuid)', tenant_column);
            IF about ->> 'rls' = 'tracks' THEN
                seen := seen || ' AND (SELECT current_setting(''app.tracks'', true) = ''on'')';
            END IF;
        END IF;
        EXECUTE format('CREATE POLICY %I ON %s TO %I USING (%s)', role_name, target, role_name, seen);
        EXECUTE format('GRANT %s ON %s TO %I', rights, target, role_name);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION protect_table FROM PUBLIC;
RESET ROLE;
