//! Corrections: written with what they correct, read by whoever was told otherwise before.

use chrono::{DateTime, NaiveDate, Utc};
use odograph_domain::{
    correction::{Cause, Correction, CorrectionKind, Figures, Why},
    id::{ClientId, CorrectionId, DriverId, PolicyId, TripId, VehicleId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    page::{Listed, Page},
    session::Caller,
    tenant::{TenantStore, from_json, named, to_json},
};

#[derive(Debug, Clone, PartialEq)]
pub struct CorrectionRow {
    pub id: CorrectionId,
    pub correction: Correction,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct CorrectionFilter {
    pub vehicle: Option<VehicleId>,
    pub driver: Option<DriverId>,
    pub policy: Option<PolicyId>,
    pub trip: Option<TripId>,
    pub kind: Option<CorrectionKind>,
    pub why: Option<Why>,
    /// Made at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Made before this.
    pub to: Option<DateTime<Utc>>,
}

struct StoredCorrection {
    id: Uuid,
    kind: String,
    vehicle_id: Option<Uuid>,
    driver_id: Option<Uuid>,
    policy_id: Option<Uuid>,
    trip_id: Option<Uuid>,
    from_day: NaiveDate,
    to_day: NaiveDate,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
    why: Vec<String>,
    batches: i32,
    clients: Vec<Uuid>,
    notes: Vec<String>,
    at: DateTime<Utc>,
}

impl StoredCorrection {
    fn read(self) -> Result<CorrectionRow> {
        let figures = |value: Option<serde_json::Value>| -> Result<Option<Figures>> {
            value
                .map(|value| from_json(value, "a correction's figures"))
                .transpose()
        };
        let why = self.why.iter().map(|name| named(name, Why::parse));
        Ok(CorrectionRow {
            id: self.id.into(),
            correction: Correction {
                kind: named(&self.kind, CorrectionKind::parse)?,
                vehicle: self.vehicle_id.map(Into::into),
                driver: self.driver_id.map(Into::into),
                policy: self.policy_id.map(Into::into),
                trip: self.trip_id.map(Into::into),
                from_day: self.from_day,
                to_day: self.to_day,
                before: figures(self.before)?,
                after: figures(self.after)?,
                cause: Cause {
                    why: why.collect::<Result<_>>()?,
                    batches: u32::try_from(self.batches).map_err(StoreError::corrupt)?,
                    clients: self.clients.into_iter().map(ClientId::from).collect(),
                    notes: self.notes.into_iter().collect(),
                },
            },
            at: self.at,
        })
    }
}

impl TenantStore {
    /// The newest first.
    pub async fn corrections(&self, filter: &CorrectionFilter, page: Page) -> Result<Listed<CorrectionRow>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            StoredCorrection,
            "SELECT id, kind, vehicle_id, driver_id, policy_id, trip_id, from_day, to_day, before, after, why, batches, clients,
                    notes, at
             FROM correction
             WHERE tenant_id = $1 AND ($2::uuid IS NULL OR vehicle_id = $2) AND ($3::uuid IS NULL OR driver_id = $3)
               AND ($4::uuid IS NULL OR policy_id = $4) AND ($5::uuid IS NULL OR trip_id = $5)
               AND ($6::text IS NULL OR kind = $6) AND ($7::text IS NULL OR $7 = ANY (why))
               AND ($8::timestamptz IS NULL OR at >= $8) AND ($9::timestamptz IS NULL OR at < $9)
               AND ($10::timestamptz IS NULL OR (at, id) < ($10, $11))
             ORDER BY at DESC, id DESC LIMIT $12",
            self.tenant_id().uuid(),
            filter.vehicle.map(VehicleId::uuid),
            filter.driver.map(DriverId::uuid),
            filter.policy.map(PolicyId::uuid),
            filter.trip.map(TripId::uuid),
            filter.kind.map(CorrectionKind::as_str),
            filter.why.map(Why::as_str),
            filter.from,
            filter.to,
            page.at(),
            page.id(),
            page.fetch(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let items = rows.into_iter().map(StoredCorrection::read).collect::<Result<_>>()?;
        Ok(Listed::cut(&page, items, |row: &CorrectionRow| (row.at, row.id.uuid())))
    }

    pub async fn correction(&self, correction: CorrectionId) -> Result<CorrectionRow> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_as!(
            StoredCorrection,
            "SELECT id, kind, vehicle_id, driver_id, policy_id, trip_id, from_day, to_day, before, after, why, batches, clients,
                    notes, at
             FROM correction WHERE tenant_id = $1 AND id = $2",
            self.tenant_id().uuid(),
            correction.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.ok_or(StoreError::NotFound { kind: "correction" })?.read()
    }
}

pub(crate) async fn put_correction(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    correction: &Correction,
) -> Result<CorrectionId> {
    let id: CorrectionId = caller.id();
    let Correction {
        kind,
        vehicle,
        driver,
        policy,
        trip,
        from_day,
        to_day,
        before,
        after,
        cause,
    } = correction;
    let why: Vec<&str> = cause.why.iter().map(|why| why.as_str()).collect();
    let clients: Vec<Uuid> = cause.clients.iter().map(|client| client.uuid()).collect();
    let notes: Vec<String> = cause.notes.iter().cloned().collect();
    sqlx::query!(
        "INSERT INTO correction (tenant_id, id, kind, vehicle_id, driver_id, policy_id, trip_id, from_day, to_day, before, after,
                                 why, batches, clients, notes, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        caller.tenant.uuid(),
        id.uuid(),
        kind.as_str(),
        vehicle.map(VehicleId::uuid),
        driver.map(DriverId::uuid),
        policy.map(PolicyId::uuid),
        trip.map(TripId::uuid),
        from_day,
        to_day,
        before.as_ref().map(to_json).transpose()?,
        after.as_ref().map(to_json).transpose()?,
        &why as &[&str],
        i32::try_from(cause.batches).unwrap_or(i32::MAX),
        &clients,
        &notes,
        caller.now,
    )
    .execute(conn)
    .await?;
    Ok(id)
}
