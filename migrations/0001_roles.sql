-- Three roles that the service switches to inside each transaction. None can log in: whoever logs in is a member of all
-- three, so one connection pool serves them all, and no query runs with more than its role may do.
--
-- Roles belong to the whole cluster, and other databases of it may have made them already.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['odograph_api', 'odograph_worker', 'odograph_maintenance'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO odograph_api, odograph_worker;
-- Maintenance owns every table and makes partitions.
GRANT USAGE, CREATE ON SCHEMA public TO odograph_maintenance;
