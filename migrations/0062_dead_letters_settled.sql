-- Dead letters are sent again or given up: each says what became of it. The message it is sent again as is named before it is
-- published, so that whoever breaks off between the two and tries again sends the same message, which the ledger knows. The
-- payload of one that is given up goes.
SET ROLE odograph_maintenance;

ALTER TABLE dead_letter
    ADD COLUMN status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resubmitted', 'discarded')),
    ADD COLUMN resubmission_of uuid,
    ADD COLUMN resubmitted_as uuid,
    ADD COLUMN discard_reason text CHECK (length(discard_reason) BETWEEN 1 AND 500),
    ADD COLUMN settled_at timestamptz,
    -- The client.
    ADD COLUMN settled_by uuid,
    ALTER COLUMN sealed DROP NOT NULL,
    ADD CONSTRAINT dead_letter_discarded CHECK ((status = 'discarded') = (sealed IS NULL)),
    ADD CONSTRAINT dead_letter_settled CHECK ((status = 'open') = (settled_at IS NULL));
CREATE INDEX dead_letter_open ON dead_letter (tenant_id, received_at, id) WHERE status = 'open';

SELECT amend_table('dead_letter', '{"audit": "read of a payload, resubmit, discard",
    "roles": {"api":
        "SELECT, INSERT, UPDATE (status, resubmitted_as, discard_reason, settled_at, settled_by, sealed)"}}');

RESET ROLE;
