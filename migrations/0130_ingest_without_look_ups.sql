-- What a worker does for each batch of each vehicle, cut to what it must. Ledger and journal name vehicles and keys whose rows
-- the same transaction has read, that nobody may delete, and the vehicle's state (which refers to its vehicle) is locked: to
-- look each of them up again for each row is most of what inserting costs. Of the journal no row is ever asked for but with
-- its vehicle, and a vehicle has few.
SET ROLE odograph_maintenance;

ALTER TABLE batch_ledger DROP CONSTRAINT batch_ledger_tenant_id_vehicle_id_fkey;
ALTER TABLE raw_journal
    DROP CONSTRAINT raw_journal_tenant_id_vehicle_id_fkey,
    DROP CONSTRAINT raw_journal_tenant_id_key_id_fkey,
    DROP CONSTRAINT raw_journal_pkey,
    -- Batches of a vehicle that are committed together share a row.
    DROP COLUMN message_id,
    DROP COLUMN received_at;
-- A worker's whole micro-batch rewrites these rows, none of it in an index.
ALTER TABLE vehicle_state SET (fillfactor = 50);

-- Grows with each change of what ingest must know of a vehicle (policies, drivers, owners, odometer), so that a worker reads
-- that once and then only asks whether it still holds. Beside the vehicle's state, not in it: whoever derives holds that row
-- while it waits for policies, and whoever changes a policy must not wait for whoever derives.
CREATE TABLE vehicle_context_version (
    tenant_id  uuid NOT NULL,
    vehicle_id uuid NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, vehicle_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicle (tenant_id, id)
) WITH (fillfactor = 50);
SELECT protect_table('vehicle_context_version', '{
    "rls": "tenant", "class": "operational", "purpose": "insurance contract", "retention": "life of the vehicle",
    "export": "no", "erasure": "kept: a number", "rebuild": "no", "audit": "no", "roles": {"worker": "SELECT"}}');

CREATE FUNCTION context_changed(of_tenant uuid, vehicles uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    -- In order, so that two who change several vehicles cannot wait for each other in a circle.
    INSERT INTO public.vehicle_context_version AS v (tenant_id, vehicle_id)
    SELECT DISTINCT of_tenant, c.id FROM unnest(vehicles) AS c (id) WHERE c.id IS NOT NULL ORDER BY c.id
    ON CONFLICT (tenant_id, vehicle_id) DO UPDATE SET version = v.version + 1
$$;
REVOKE ALL ON FUNCTION context_changed FROM PUBLIC;

-- For tables that name the vehicle.
CREATE FUNCTION context_of_vehicle_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM public.context_changed(NEW.tenant_id, ARRAY[NEW.vehicle_id]);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM public.context_changed(OLD.tenant_id, ARRAY[OLD.vehicle_id]);
    ELSE
        PERFORM public.context_changed(NEW.tenant_id, ARRAY[OLD.vehicle_id, NEW.vehicle_id]);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION context_of_vehicle_changed FROM PUBLIC;
CREATE TRIGGER context_changed AFTER INSERT OR UPDATE OR DELETE ON policy
    FOR EACH ROW EXECUTE FUNCTION context_of_vehicle_changed();
CREATE TRIGGER context_changed AFTER INSERT OR UPDATE OR DELETE ON assignment
    FOR EACH ROW EXECUTE FUNCTION context_of_vehicle_changed();
CREATE TRIGGER context_changed AFTER INSERT OR UPDATE OR DELETE ON vehicle_transfer
    FOR EACH ROW EXECUTE FUNCTION context_of_vehicle_changed();
CREATE TRIGGER context_changed AFTER INSERT OR UPDATE OR DELETE ON odometer_change
    FOR EACH ROW EXECUTE FUNCTION context_of_vehicle_changed();

CREATE FUNCTION context_of_policy_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    changed record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    PERFORM public.context_changed(
        changed.tenant_id,
        ARRAY(SELECT p.vehicle_id FROM public.policy p WHERE p.tenant_id = changed.tenant_id AND p.id = changed.policy_id));
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION context_of_policy_changed FROM PUBLIC;
CREATE TRIGGER context_changed AFTER INSERT OR UPDATE OR DELETE ON policy_change
    FOR EACH ROW EXECUTE FUNCTION context_of_policy_changed();

CREATE FUNCTION context_of_driver_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM public.context_changed(NEW.tenant_id, ARRAY(
        SELECT p.vehicle_id FROM public.policy p
        WHERE p.tenant_id = NEW.tenant_id
          AND (p.main_driver_id = NEW.id
               OR EXISTS (SELECT FROM public.policy_change c
                          WHERE c.tenant_id = p.tenant_id AND c.policy_id = p.id AND c.main_driver_id = NEW.id))
        UNION
        SELECT a.vehicle_id FROM public.assignment a WHERE a.tenant_id = NEW.tenant_id AND a.driver_id = NEW.id));
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION context_of_driver_changed FROM PUBLIC;
CREATE TRIGGER context_changed AFTER UPDATE OF left_at ON driver
    FOR EACH ROW WHEN (OLD.left_at IS DISTINCT FROM NEW.left_at) EXECUTE FUNCTION context_of_driver_changed();

RESET ROLE;
