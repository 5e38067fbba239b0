//! Vehicles that change hands: what is the former owner's ends there, in one transaction.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use odograph_domain::{
    correction::Why,
    id::{AssignmentId, DeviceId, FleetId, IdOrRef, PolicyId, TenantId, TransferId, VehicleId},
    policy::{Policy, start_of_day},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    dirty::mark_dirty,
    error::{Result, StoreError},
    fleets::find_fleet,
    page::{Listed, Page},
    pairings::{end_pairing, find_device},
    policies::{policies_of, refuse_overlap},
    policy_changes::end_policy,
    session::Caller,
    tenant::TenantStore,
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewTransfer {
    pub vehicle: IdOrRef<VehicleId>,
    /// The first instant that is the new owner's.
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
    /// The fleet it joins.
    pub fleet: Option<IdOrRef<FleetId>>,
    /// Devices that do not stay in it.
    pub removed_devices: Vec<IdOrRef<DeviceId>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TransferRecord {
    pub id: TransferId,
    pub vehicle: VehicleId,
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A transfer, with what ended by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Transferred {
    pub record: TransferRecord,
    /// Policies that would have run on.
    pub policies: Vec<PolicyId>,
    pub assignments: Vec<AssignmentId>,
    pub devices: Vec<DeviceId>,
    /// The fleet it left.
    pub fleet: Option<FleetId>,
}

/// What was driven earlier on the insured's day of a handover may be another policy's by it; no day is longer.
const DAY: TimeDelta = TimeDelta::hours(26);

impl TenantStore {
    /// Ends what is the former owner's: policies on the insured-local day, assignments and devices at the instant, the fleet with
    /// its groups. What was derived of the time after is derived anew.
    pub async fn transfer_vehicle(&self, new: NewTransfer) -> Result<Transferred> {
        let caller = self.caller();
        let at = new.at.trunc_subsecs(6);
        if at > caller.now {
            let detail = format!("wanted a time that is past, got {at}; until then it is the owner's");
            return Err(StoreError::Invalid {
                kind: "transfer",
                detail,
            });
        }
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, &new.vehicle).await?;
        let joins = match &new.fleet {
            Some(fleet) => Some(find_fleet(&mut tx, caller.tenant, fleet).await?.id),
            None => None,
        };
        let record = TransferRecord {
            id: caller.id(),
            vehicle,
            at,
            reason: new.reason,
            created_at: caller.now,
        };
        insert(&mut tx, &caller, &record).await?;
        let mut devices = Vec::new();
        for device in &new.removed_devices {
            let device = find_device(&mut tx, caller.tenant, device).await?.id;
            end_pairing(&mut tx, &caller, device, Some(vehicle), at).await?;
            devices.push(device);
        }
        let transferred = Transferred {
            assignments: end_assignments(&mut tx, &caller, &record).await?,
            policies: end_policies(&mut tx, &caller, &record).await?,
            fleet: change_fleet(&mut tx, &caller, &record, joins).await?,
            devices,
            record,
        };
        mark_dirty(&mut tx, &caller, vehicle, at - DAY, None, Why::OwnershipChanged).await?;
        caller.audit(&mut tx, "transfer", "vehicle", vehicle.uuid()).await?;
        tx.commit().await?;
        Ok(transferred)
    }

    /// Takes a transfer back that was filed by mistake. What ended by it stays ended, but no fleet keeps a time that parts there.
    pub async fn withdraw_transfer(&self, vehicle: &IdOrRef<VehicleId>, transfer: TransferId) -> Result<()> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, vehicle).await?;
        let at = sqlx::query_scalar!(
            "DELETE FROM vehicle_transfer WHERE tenant_id = $1 AND vehicle_id = $2 AND id = $3 RETURNING at",
            caller.tenant.uuid(),
            vehicle.uuid(),
            transfer.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(StoreError::NotFound { kind: "transfer" })?;
        // Two policies may have shared the day: without the handover nothing says whose the kilometres are.
        for policy in policies_of(&mut tx, caller.tenant, vehicle).await? {
            refuse_overlap(&mut tx, caller.tenant, &policy).await?;
        }
        sqlx::query!(
            "DELETE FROM fleet_vehicle_past WHERE tenant_id = $1 AND vehicle_id = $2 AND ends_at = $3",
            caller.tenant.uuid(),
            vehicle.uuid(),
            at,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE fleet_vehicle SET starts_at = (SELECT max(t.at) FROM vehicle_transfer t
                                                   WHERE t.tenant_id = $1 AND t.vehicle_id = $2 AND t.at < $3)
             WHERE tenant_id = $1 AND vehicle_id = $2 AND starts_at = $3",
            caller.tenant.uuid(),
            vehicle.uuid(),
            at,
        )
        .execute(&mut *tx)
        .await?;
        mark_dirty(&mut tx, &caller, vehicle, at - DAY, None, Why::OwnershipChanged).await?;
        caller.audit(&mut tx, "withdraw", "transfer", transfer.uuid()).await?;
        Ok(tx.commit().await?)
    }

    /// A vehicle's transfers, the earliest first.
    pub async fn transfers(&self, vehicle: &IdOrRef<VehicleId>, page: Page) -> Result<Listed<TransferRecord>> {
        let vehicle = self.vehicle(vehicle).await?.id;
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT id, at, reason, created_at FROM vehicle_transfer
             WHERE tenant_id = $1 AND vehicle_id = $2 AND ($3::timestamptz IS NULL OR (at, id) > ($3, $4))
             ORDER BY at, id LIMIT $5",
            self.tenant_id().uuid(),
            vehicle.uuid(),
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows
            .into_iter()
            .map(|row| TransferRecord {
                id: row.id.into(),
                vehicle,
                at: row.at,
                reason: row.reason,
                created_at: row.created_at,
            })
            .collect();
        Ok(Listed::cut(&page, items, |transfer: &TransferRecord| {
            (transfer.at, transfer.id.uuid())
        }))
    }
}

/// When a vehicle changed hands, the earliest first.
pub(crate) async fn handovers_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
) -> Result<Vec<DateTime<Utc>>> {
    let handovers = sqlx::query_scalar!(
        "SELECT at FROM vehicle_transfer WHERE tenant_id = $1 AND vehicle_id = $2 ORDER BY at",
        tenant.uuid(),
        vehicle.uuid(),
    )
    .fetch_all(conn)
    .await?;
    Ok(handovers)
}

async fn insert(conn: &mut PgConnection, caller: &Caller<'_>, record: &TransferRecord) -> Result<()> {
    sqlx::query!(
        "INSERT INTO vehicle_transfer (tenant_id, id, vehicle_id, at, reason, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        caller.tenant.uuid(),
        record.id.uuid(),
        record.vehicle.uuid(),
        record.at,
        record.reason,
        record.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn end_assignments(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    record: &TransferRecord,
) -> Result<Vec<AssignmentId>> {
    let ended = sqlx::query_scalar!(
        "UPDATE assignment SET ends_at = $3
         WHERE tenant_id = $1 AND vehicle_id = $2 AND starts_at < $3 AND (ends_at IS NULL OR ends_at > $3) RETURNING id",
        caller.tenant.uuid(),
        record.vehicle.uuid(),
        record.at,
    )
    .fetch_all(&mut *conn)
    .await?;
    for id in &ended {
        caller.audit(conn, "end", "assignment", *id).await?;
    }
    Ok(ended.into_iter().map(AssignmentId::from).collect())
}

/// The last day of the former owner's cover is that of the handover; it covers that day up to the handover.
async fn end_policies(conn: &mut PgConnection, caller: &Caller<'_>, record: &TransferRecord) -> Result<Vec<PolicyId>> {
    let mut ended = Vec::new();
    for policy in policies_of(conn, caller.tenant, record.vehicle).await? {
        let Some(end) = end_of(&policy, record.at) else {
            continue;
        };
        let reason = Some(
            record
                .reason
                .clone()
                .unwrap_or_else(|| "the vehicle changed hands".into()),
        );
        end_policy(conn, caller, policy.id, end, reason).await?;
        ended.push(policy.id);
    }
    Ok(ended)
}

/// The first day without cover of a former owner's policy, where it would cover more; `None` where it need not end.
fn end_of(policy: &Policy, at: DateTime<Utc>) -> Option<chrono::NaiveDate> {
    let day = at.with_timezone(&policy.time_zone).date_naive();
    let end = if start_of_day(day, policy.time_zone) == at {
        day
    } else {
        day.succ_opt()?
    };
    (policy.starts_on < day && policy.ends_on.is_none_or(|ends| ends > end)).then_some(end)
}

/// Takes the vehicle out of the former owner's fleet, which keeps its time in it, and puts it into the new owner's.
async fn change_fleet(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    record: &TransferRecord,
    joins: Option<FleetId>,
) -> Result<Option<FleetId>> {
    let (tenant, vehicle) = (caller.tenant.uuid(), record.vehicle.uuid());
    // What was known of an earlier owner's time may have been filed too long.
    sqlx::query!(
        "UPDATE fleet_vehicle_past SET ends_at = $3
         WHERE tenant_id = $1 AND vehicle_id = $2 AND ends_at > $3 AND (starts_at IS NULL OR starts_at < $3)",
        tenant,
        vehicle,
        record.at,
    )
    .execute(&mut *conn)
    .await?;
    let handovers = handovers_of(conn, caller.tenant, record.vehicle).await?;
    if let Some(next) = handovers.iter().find(|at| **at > record.at) {
        // Filed after a later one: what the vehicle is in now is a later owner's.
        if let Some(fleet) = joins {
            let stay = Stay {
                fleet: fleet.uuid(),
                group: None,
                from: Some(record.at),
                to: *next,
            };
            keep_past(conn, caller, record.vehicle, &stay).await?;
            caller.audit(conn, "add", "fleet", fleet.uuid()).await?;
        }
        return Ok(None);
    }
    let there = sqlx::query!(
        "SELECT fleet_id FROM fleet_vehicle WHERE tenant_id = $1 AND vehicle_id = $2",
        tenant,
        vehicle,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(there) = &there {
        if joins.is_some_and(|fleet| fleet.uuid() == there.fleet_id) {
            sqlx::query!(
                "UPDATE fleet_vehicle SET starts_at = $3 WHERE tenant_id = $1 AND vehicle_id = $2",
                tenant,
                vehicle,
                record.at,
            )
            .execute(&mut *conn)
            .await?;
            return Ok(None);
        }
        leave_fleet(conn, caller, record).await?;
    }
    if let Some(fleet) = joins {
        sqlx::query!(
            "INSERT INTO fleet_vehicle (tenant_id, fleet_id, vehicle_id, added_at, starts_at) VALUES ($1, $2, $3, $4, $5)",
            tenant,
            fleet.uuid(),
            vehicle,
            caller.now,
            record.at,
        )
        .execute(&mut *conn)
        .await?;
        caller.audit(conn, "add", "fleet", fleet.uuid()).await?;
    }
    Ok(there.map(|there| FleetId::from(there.fleet_id)))
}

async fn leave_fleet(conn: &mut PgConnection, caller: &Caller<'_>, record: &TransferRecord) -> Result<()> {
    let (tenant, vehicle) = (caller.tenant.uuid(), record.vehicle.uuid());
    let memberships = sqlx::query!(
        r#"SELECT f.fleet_id AS "fleet_id!", NULL::uuid AS group_id, f.starts_at FROM fleet_vehicle f
           WHERE f.tenant_id = $1 AND f.vehicle_id = $2
           UNION ALL
           SELECT g.fleet_id, g.group_id, f.starts_at FROM group_vehicle g
           JOIN fleet_vehicle f ON f.tenant_id = g.tenant_id AND f.fleet_id = g.fleet_id AND f.vehicle_id = g.vehicle_id
           WHERE g.tenant_id = $1 AND g.vehicle_id = $2"#,
        tenant,
        vehicle,
    )
    .fetch_all(&mut *conn)
    .await?;
    for membership in memberships {
        let stay = Stay {
            fleet: membership.fleet_id,
            group: membership.group_id,
            from: membership.starts_at,
            to: record.at,
        };
        keep_past(conn, caller, record.vehicle, &stay).await?;
    }
    // Its groups go with it.
    let left = sqlx::query_scalar!(
        "DELETE FROM fleet_vehicle WHERE tenant_id = $1 AND vehicle_id = $2 RETURNING fleet_id",
        tenant,
        vehicle,
    )
    .fetch_all(&mut *conn)
    .await?;
    for fleet in left {
        caller.audit(conn, "remove", "fleet", fleet).await?;
    }
    Ok(())
}

/// A time in which a vehicle was in a fleet, or in a group of it.
struct Stay {
    fleet: Uuid,
    group: Option<Uuid>,
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
}

async fn keep_past(conn: &mut PgConnection, caller: &Caller<'_>, vehicle: VehicleId, stay: &Stay) -> Result<()> {
    sqlx::query!(
        "INSERT INTO fleet_vehicle_past (tenant_id, id, fleet_id, group_id, vehicle_id, starts_at, ends_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        caller.tenant.uuid(),
        caller.ids.uuid(),
        stay.fleet,
        stay.group,
        vehicle.uuid(),
        stay.from,
        stay.to,
    )
    .execute(conn)
    .await?;
    Ok(())
}
