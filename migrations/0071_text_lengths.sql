-- What the API takes (up to 200 characters) the tables take as well: a make of 150 characters was refused at the last moment,
-- in words that helped nobody.
SET ROLE odograph_maintenance;

ALTER TABLE vehicle DROP CONSTRAINT vehicle_make_check, ADD CONSTRAINT vehicle_make_check CHECK (length(make) BETWEEN 1 AND 200);
ALTER TABLE vehicle DROP CONSTRAINT vehicle_model_check, ADD CONSTRAINT vehicle_model_check CHECK (length(model) BETWEEN 1 AND 200);
ALTER TABLE device DROP CONSTRAINT device_kind_check, ADD CONSTRAINT device_kind_check CHECK (length(kind) BETWEEN 1 AND 200);

RESET ROLE;
