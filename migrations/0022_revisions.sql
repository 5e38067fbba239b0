-- Things that are changed in place carry a revision, which an update may be made to depend on (ETag and If-Match), so that
-- of two who change the same thing at once the second learns of it. What a table says of itself can be amended.
SET ROLE odograph_maintenance;

-- Replaces some of a table's answers. The rights of the roles named are granted anew; who sees which rows stays.
CREATE FUNCTION amend_table(target regclass, changes jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    about jsonb := obj_description(target, 'pg_class')::jsonb;
    role_name text;
    rights text;
BEGIN
    IF about IS NULL THEN
        RAISE 'table % is not protected yet', target;
    END IF;
    IF changes ? 'rls' THEN
        RAISE 'who sees which rows of % cannot be amended', target;
    END IF;
    FOR role_name, rights IN SELECT key, value FROM jsonb_each_text(coalesce(changes -> 'roles', '{}')) LOOP
        IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = target AND polname = 'odograph_' || role_name) THEN
            RAISE 'role % has no policy on table %', role_name, target;
        END IF;
        EXECUTE format('REVOKE ALL ON %s FROM %I', target, 'odograph_' || role_name);
        EXECUTE format('GRANT %s ON %s TO %I', rights, target, 'odograph_' || role_name);
    END LOOP;
    IF changes ? 'roles' THEN
        changes := jsonb_set(changes, '{roles}', (about -> 'roles') || (changes -> 'roles'));
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', target, (about || changes)::text);
END
$$;
REVOKE ALL ON FUNCTION amend_table FROM PUBLIC;

ALTER TABLE vehicle ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);
ALTER TABLE driver ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);
ALTER TABLE device ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);
ALTER TABLE policy ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);
ALTER TABLE fleet ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);
ALTER TABLE vehicle_group ADD COLUMN revision integer NOT NULL DEFAULT 1 CHECK (revision > 0);

SELECT amend_table('vehicle', '{"audit": "create, update",
    "roles": {"api": "SELECT, INSERT, UPDATE (external_ref, vin, make, model, year, revision)"}}');

RESET ROLE;
