//! A worker's view: the tenants of one micro-batch, and only while it holds the partition's lease.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use odograph_domain::{
    device::PairedDevice,
    id::{DriverId, MessageId, TenantId, VehicleId},
    intake::{KnownDriver, LedgerEntry, LedgerKey, NewBatch, OpenWindow, VehicleContext, VehicleState},
    lease::Lease,
    time::{EventTime, ReceivedAt},
};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    contexts::{ContextVersion, contexts},
    drivers::resolve_driver,
    error::{Result, StoreError},
    ledger, resolve,
    session::{Scope, Tx, now},
    store::Store,
    tenant::from_json,
    vehicles::resolve_vehicle,
    writes::{Writes, write},
};

#[derive(Debug, Clone)]
pub struct WorkerStore {
    pub(crate) store: Store,
}

impl WorkerStore {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Opens the transaction of a micro-batch. [`StoreError::Fenced`] when the partition has gone to another; else it stays
    /// with this worker until the transaction ends.
    pub async fn begin(&self, lease: &Lease, tenants: &[TenantId]) -> Result<WorkerTx> {
        let mut tx = self.store.begin(Scope::Worker(tenants)).await?;
        let held = sqlx::query_scalar!(
            "SELECT lease_fence($1, $2, $3)",
            lease.worker.uuid(),
            i32::from(lease.partition),
            lease.epoch,
        )
        .fetch_one(&mut *tx)
        .await?;
        match held {
            Some(true) => Ok(WorkerTx {
                store: self.store.clone(),
                tx,
                partition: lease.partition,
            }),
            _ => Err(StoreError::Fenced),
        }
    }

    /// What must be known of these vehicles; those that do not exist are left out. Ordered by tenant and vehicle.
    pub async fn contexts(&self, vehicles: &[(TenantId, VehicleId)]) -> Result<Vec<VehicleContext>> {
        let tenants: BTreeSet<TenantId> = vehicles.iter().map(|(tenant, _)| *tenant).collect();
        let tenants: Vec<TenantId> = tenants.into_iter().collect();
        let mut tx = self.store.begin(Scope::Worker(&tenants)).await?;
        let found = contexts(&mut tx, vehicles).await?;
        tx.commit().await?;
        Ok(found)
    }

    pub async fn resolve_vehicle(&self, tenant: TenantId, given: &str) -> Result<Option<VehicleId>> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        let vehicle = resolve_vehicle(&mut tx, tenant, given).await?;
        tx.commit().await?;
        Ok(vehicle)
    }

    pub async fn resolve_driver(&self, tenant: TenantId, given: &str) -> Result<Option<DriverId>> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        let driver = resolve_driver(&mut tx, tenant, given).await?;
        tx.commit().await?;
        Ok(driver)
    }

    /// Puts away a message that is no envelope: whose it is cannot be known. The same bytes are kept once, however often
    /// they come.
    pub async fn quarantine(&self, bytes: &[u8], reason: &str) -> Result<()> {
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(bytes)[..16]);
        let id = Uuid::from_bytes(id);
        let sealed = self.store.master().own().seal(&quarantine_context(id), bytes)?;
        let mut tx = self.store.begin(Scope::Worker(&[])).await?;
        sqlx::query!(
            "SELECT quarantine_put($1, $2, $3, $4)",
            id,
            reason,
            sealed,
            now(self.store.clock())
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) fn quarantine_context(id: Uuid) -> Vec<u8> {
    [b"quarantine".as_slice(), id.as_bytes()].concat()
}

/// The transaction of a micro-batch. Dropped without [`WorkerTx::commit`], nothing of it happened.
#[derive(Debug)]
pub struct WorkerTx {
    store: Store,
    tx: Tx,
    partition: u16,
}

impl WorkerTx {
    /// The vehicles of these names (id or reference), each where its name stands; `None` where there is none.
    pub async fn resolve_vehicles(&mut self, named: &[(TenantId, &str)]) -> Result<Vec<Option<VehicleId>>> {
        resolve::vehicles(&mut self.tx, named).await
    }

    /// As [`WorkerTx::resolve_vehicles`].
    pub async fn resolve_drivers(&mut self, named: &[(TenantId, &str)]) -> Result<Vec<Option<KnownDriver>>> {
        resolve::drivers(&mut self.tx, named).await
    }

    /// As [`WorkerTx::resolve_vehicles`], with everywhere each device ever was.
    pub async fn resolve_devices(&mut self, named: &[(TenantId, &str)]) -> Result<Vec<Option<PairedDevice>>> {
        resolve::devices(&mut self.tx, named).await
    }

    /// The states of these vehicles, locked until the transaction ends and made where there are none, and what must be known of
    /// each. Vehicles that do not exist are left out. Ordered by vehicle.
    pub async fn lock(
        &mut self,
        vehicles: &[(TenantId, VehicleId)],
    ) -> Result<Vec<(VehicleState, Arc<VehicleContext>)>> {
        let locked = lock_states(&mut self.tx, vehicles).await?;
        let wanted: Vec<_> = locked
            .iter()
            .map(|locked| ((locked.tenant, locked.state.vehicle), &locked.context))
            .collect();
        let contexts = self.store.known_contexts().get(&mut self.tx, &wanted).await?;
        let states = locked.into_iter().map(|locked| locked.state);
        Ok(states.zip(contexts).collect())
    }

    /// Enters batches into the ledger; of several under one key the first. Returns what it held before under the keys of those
    /// that were there already.
    pub async fn enter(&mut self, batches: &[&NewBatch]) -> Result<HashMap<LedgerKey, LedgerEntry>> {
        ledger::enter(&mut self.tx, batches).await
    }

    /// Those of the messages that have dead letters already.
    pub async fn buried(&mut self, messages: &[(TenantId, MessageId)]) -> Result<HashSet<MessageId>> {
        if messages.is_empty() {
            return Ok(HashSet::new());
        }
        let tenants: Vec<Uuid> = messages.iter().map(|(tenant, _)| tenant.uuid()).collect();
        let ids: Vec<Uuid> = messages.iter().map(|(_, message)| message.uuid()).collect();
        let found = sqlx::query_scalar!(
            "SELECT DISTINCT d.message_id FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, message_id)
             JOIN dead_letter d ON d.tenant_id = w.tenant_id AND d.message_id = w.message_id",
            &tenants,
            &ids,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(found.into_iter().map(MessageId::from).collect())
    }

    /// Writes all that a micro-batch amounts to but its ledger, which [`WorkerTx::enter`] has written. Call it as often as need
    /// be; nothing counts before the commit.
    pub async fn write(&mut self, writes: &Writes) -> Result<()> {
        write(&mut self.tx, &self.store, i32::from(self.partition), writes).await
    }

    pub async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

/// In order of the vehicles, so that two transactions cannot wait for each other in a circle. Those that do not exist are left
/// out.
pub(crate) async fn lock_states(
    conn: &mut PgConnection,
    vehicles: &[(TenantId, VehicleId)],
) -> Result<Vec<LockedState>> {
    let wanted: BTreeSet<(VehicleId, TenantId)> =
        vehicles.iter().map(|(tenant, vehicle)| (*vehicle, *tenant)).collect();
    let mut locked = lock_those_there(conn, &wanted).await?;
    if locked.len() < wanted.len() {
        let there: BTreeSet<VehicleId> = locked.iter().map(|locked| locked.state.vehicle).collect();
        let missing = wanted.into_iter().filter(|(vehicle, _)| !there.contains(vehicle));
        let missing: BTreeSet<_> = missing.collect();
        if make_states(conn, &missing).await? {
            locked.extend(lock_those_there(conn, &missing).await?);
            locked.sort_by_key(|locked| locked.state.vehicle);
        }
    }
    Ok(locked)
}

/// A vehicle's state, and which version of its context holds.
#[derive(Debug)]
pub(crate) struct LockedState {
    pub(crate) tenant: TenantId,
    pub(crate) state: VehicleState,
    pub(crate) context: ContextVersion,
}

async fn lock_those_there(
    conn: &mut PgConnection,
    wanted: &BTreeSet<(VehicleId, TenantId)>,
) -> Result<Vec<LockedState>> {
    let ids: Vec<Uuid> = wanted.iter().map(|(vehicle, _)| vehicle.uuid()).collect();
    let tenants: Vec<Uuid> = wanted.iter().map(|(_, tenant)| tenant.uuid()).collect();
    // One after the other in the order of their ids, so that two who lock several cannot wait for each other in a circle. Not
    // FOR UPDATE: a foreign key to the row, checked by another, must not wait. A look-up for each, whatever the planner thinks of
    // how many rows the tenant has.
    let rows = sqlx::query!(
        "SELECT s.tenant_id, s.vehicle_id, s.watermark, s.last_received_at, s.detectors
         FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
         CROSS JOIN LATERAL (
             SELECT * FROM vehicle_state s
             WHERE s.tenant_id = w.tenant_id AND s.vehicle_id = w.vehicle_id
             FOR NO KEY UPDATE) AS s",
        &tenants,
        &ids,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut beside = beside(conn, &tenants, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let vehicle = VehicleId::from(row.vehicle_id);
            let (open, context) = beside
                .remove(&vehicle)
                .ok_or_else(|| StoreError::corrupt("a state without its tenant"))?;
            Ok(LockedState {
                tenant: row.tenant_id.into(),
                state: VehicleState {
                    vehicle,
                    watermark: row.watermark.map(EventTime::new),
                    last_received_at: row.last_received_at.map(ReceivedAt::new),
                    detectors: from_json(row.detectors, "the detectors' states")?,
                    open,
                },
                context,
            })
        })
        .collect()
}

/// What lies beside the vehicles' states, once these are locked: a statement that waits for a lock sees everything else as it was
/// before it waited, such as a window that whoever held the lock has just derived.
async fn beside(
    conn: &mut PgConnection,
    tenants: &[Uuid],
    ids: &[Uuid],
) -> Result<HashMap<VehicleId, (Option<OpenWindow>, ContextVersion)>> {
    let rows = sqlx::query!(
        r#"SELECT w.vehicle_id AS "vehicle_id!", o.due_at AS "open_due_at?", o.at_once AS "open_at_once?",
                  coalesce(v.version, 0) AS "version!", t.xmin::text AS "settings!"
           FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
           JOIN tenant t ON t.id = w.tenant_id
           LEFT JOIN LATERAL (SELECT v.version FROM vehicle_context_version v
                              WHERE v.tenant_id = w.tenant_id AND v.vehicle_id = w.vehicle_id OFFSET 0) AS v ON true
           LEFT JOIN LATERAL (SELECT d.due_at, d.at_once FROM dirty_window d
                              WHERE d.tenant_id = w.tenant_id AND d.vehicle_id = w.vehicle_id AND d.open
                              ORDER BY d.due_at LIMIT 1) AS o ON true"#,
        tenants,
        ids,
    )
    .fetch_all(conn)
    .await?;
    let each = rows.into_iter().map(|row| {
        let open = row.open_due_at.zip(row.open_at_once);
        let open = open.map(|(due_at, at_once)| OpenWindow { due_at, at_once });
        let context = ContextVersion {
            version: row.version,
            settings: row.settings,
        };
        (row.vehicle_id.into(), (open, context))
    });
    Ok(each.collect())
}

/// Makes the states of those vehicles that exist; tells whether there are any.
async fn make_states(conn: &mut PgConnection, missing: &BTreeSet<(VehicleId, TenantId)>) -> Result<bool> {
    let ids: Vec<Uuid> = missing.iter().map(|(vehicle, _)| vehicle.uuid()).collect();
    let tenants: Vec<Uuid> = missing.iter().map(|(_, tenant)| tenant.uuid()).collect();
    let found = sqlx::query_scalar!(
        r#"WITH there AS (
               SELECT v.tenant_id, v.id FROM unnest($1::uuid[], $2::uuid[]) AS w (tenant_id, vehicle_id)
               JOIN vehicle v ON v.tenant_id = w.tenant_id AND v.id = w.vehicle_id
           ), made AS (
               INSERT INTO vehicle_state (tenant_id, vehicle_id) SELECT tenant_id, id FROM there ORDER BY id
               ON CONFLICT (tenant_id, vehicle_id) DO NOTHING
           )
           SELECT count(*) AS "count!" FROM there"#,
        &tenants,
        &ids,
    )
    .fetch_one(conn)
    .await?;
    Ok(found > 0)
}
