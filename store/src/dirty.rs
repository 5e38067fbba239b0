//! Dirty windows: what of a vehicle's history must be derived anew, when, and why.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    correction::{Cause, Why},
    id::{ClientId, IdOrRef, IdSource, TenantId, VehicleId},
    intake::DirtyWindow,
    time::{EventTime, Window},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    session::Caller,
    tenant::{TenantStore, named},
    vehicles::lock_vehicle,
};

pub(crate) struct DirtyRow {
    pub(crate) tenant_id: Uuid,
    pub(crate) vehicle_id: Uuid,
    pub(crate) from_ts: DateTime<Utc>,
    pub(crate) to_ts: DateTime<Utc>,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) at_once: bool,
    pub(crate) why: Vec<String>,
    pub(crate) batches: i32,
    pub(crate) clients: Vec<Uuid>,
    pub(crate) notes: Vec<String>,
    pub(crate) open: bool,
    pub(crate) silence_s: i32,
}

impl DirtyRow {
    pub(crate) fn read(self) -> Result<DirtyWindow> {
        let why = self.why.iter().map(|name| named(name, Why::parse));
        Ok(DirtyWindow {
            tenant: self.tenant_id.into(),
            vehicle: self.vehicle_id.into(),
            window: Window {
                from: EventTime::new(self.from_ts),
                to: EventTime::new(self.to_ts),
            },
            due_at: self.due_at,
            at_once: self.at_once,
            cause: Cause {
                why: why.collect::<Result<_>>()?,
                batches: u32::try_from(self.batches).map_err(StoreError::corrupt)?,
                clients: self.clients.into_iter().map(ClientId::from).collect(),
                notes: self.notes.into_iter().collect(),
            },
            open_s: self
                .open
                .then_some(u32::try_from(self.silence_s).map_err(StoreError::corrupt)?),
        })
    }
}

impl TenantStore {
    /// What is still to be derived, of these vehicles or of all.
    pub async fn dirty(&self, vehicles: Option<&[VehicleId]>) -> Result<Vec<DirtyWindow>> {
        let vehicles: Option<Vec<Uuid>> =
            vehicles.map(|vehicles| vehicles.iter().map(|vehicle| vehicle.uuid()).collect());
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            DirtyRow,
            r#"SELECT d.tenant_id, d.vehicle_id, d.from_ts,
                      CASE WHEN d.open THEN greatest(d.to_ts, s.watermark) ELSE d.to_ts END AS "to_ts!",
                      d.due_at, d.at_once, d.why, d.batches, d.clients, d.notes, d.open, d.silence_s
               FROM dirty_window d
               JOIN vehicle_state s ON s.tenant_id = d.tenant_id AND s.vehicle_id = d.vehicle_id
               WHERE d.tenant_id = $1 AND ($2::uuid[] IS NULL OR d.vehicle_id = ANY ($2))
               ORDER BY d.vehicle_id, d.from_ts, d.id"#,
            self.tenant_id().uuid(),
            vehicles.as_deref(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter().map(DirtyRow::read).collect()
    }

    /// Marks a vehicle's time, as far as there is data of it, for deriving anew because an operator wants it; tells whether
    /// there is any. The end is exclusive.
    pub async fn mark_rebuild(
        &self,
        vehicle: VehicleId,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        note: Option<&str>,
    ) -> Result<bool> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, &IdOrRef::Id(vehicle)).await?;
        let cause = Cause::of(Why::Rebuild).by(caller.actor).noted(note);
        let last = to.map(|to| to - INSTANT);
        let marked = mark(&mut tx, &caller, vehicle, (from, last), cause).await?;
        if marked {
            caller.audit(&mut tx, "rebuild", "vehicle", vehicle.uuid()).await?;
        }
        tx.commit().await?;
        Ok(marked)
    }
}

/// The least that event times differ by.
const INSTANT: TimeDelta = TimeDelta::milliseconds(1);

/// The time of a vehicle that there is data of, within bounds; the end is exclusive.
pub(crate) async fn recorded(
    conn: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Result<Option<Window>> {
    let row = sqlx::query!(
        "SELECT min(min_ts) AS min_ts, max(max_ts) AS max_ts FROM batch_ledger WHERE tenant_id = $1 AND vehicle_id = $2",
        tenant.uuid(),
        vehicle.uuid(),
    )
    .fetch_one(conn)
    .await?;
    let (Some(first), Some(last)) = (row.min_ts, row.max_ts) else {
        return Ok(None);
    };
    let window = Window {
        from: EventTime::new(from.map_or(first, |from| from.max(first))),
        to: EventTime::new(to.map_or(last, |to| (to - INSTANT).min(last))),
    };
    Ok((window.from <= window.to).then_some(window))
}

/// Writes windows, merged with each other and with those near them. The vehicles' states must be locked.
pub(crate) async fn put_dirty(conn: &mut PgConnection, ids: &dyn IdSource, dirty: &[DirtyWindow]) -> Result<()> {
    if dirty.is_empty() {
        return Ok(());
    }
    let mut all = DirtyWindow::merge_near(dirty.to_vec());
    let (mut tenants, mut vehicles, mut from, mut to) = (vec![], vec![], vec![], vec![]);
    for window in &all {
        tenants.push(window.tenant.uuid());
        vehicles.push(window.vehicle.uuid());
        from.push((window.window.from - DirtyWindow::NEAR).utc());
        to.push((window.window.to + DirtyWindow::NEAR).utc());
    }
    let known = sqlx::query_as!(
        DirtyRow,
        r#"DELETE FROM dirty_window d
           USING unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
                     AS n (tenant_id, vehicle_id, from_ts, to_ts)
           JOIN vehicle_state s ON s.tenant_id = n.tenant_id AND s.vehicle_id = n.vehicle_id
           WHERE d.tenant_id = n.tenant_id AND d.vehicle_id = n.vehicle_id AND d.from_ts <= n.to_ts
             AND CASE WHEN d.open THEN greatest(d.to_ts, s.watermark) ELSE d.to_ts END >= n.from_ts
           RETURNING d.tenant_id, d.vehicle_id, d.from_ts,
                     CASE WHEN d.open THEN greatest(d.to_ts, s.watermark) ELSE d.to_ts END AS "to_ts!",
                     d.due_at, d.at_once, d.why, d.batches, d.clients, d.notes, d.open, d.silence_s"#,
        &tenants,
        &vehicles,
        &from,
        &to,
    )
    .fetch_all(&mut *conn)
    .await?;
    if !known.is_empty() {
        for row in known {
            all.push(row.read()?);
        }
        all = DirtyWindow::merge_near(all);
    }
    insert(conn, ids, &all).await
}

pub(crate) async fn insert(conn: &mut PgConnection, ids: &dyn IdSource, dirty: &[DirtyWindow]) -> Result<()> {
    let (mut tenants, mut vehicles, mut keys) = (vec![], vec![], vec![]);
    let (mut from, mut to, mut due, mut at_once) = (vec![], vec![], vec![], vec![]);
    // Lists within a row come as text: an array of arrays would have to have one length for all.
    let (mut why, mut batches, mut clients, mut notes) = (vec![], vec![], vec![], vec![]);
    let (mut open, mut silence_s) = (vec![], vec![]);
    for window in dirty {
        tenants.push(window.tenant.uuid());
        vehicles.push(window.vehicle.uuid());
        keys.push(ids.uuid());
        from.push(window.window.from.utc());
        to.push(window.window.to.utc());
        due.push(window.due_at);
        at_once.push(window.at_once);
        let Lists { whys, by, words } = lists(&window.cause);
        why.push(serde_json::json!(whys));
        batches.push(i32::try_from(window.cause.batches).unwrap_or(i32::MAX));
        clients.push(serde_json::json!(by));
        notes.push(serde_json::json!(words));
        open.push(window.open_s.is_some());
        silence_s.push(i32::try_from(window.open_s.unwrap_or_default()).unwrap_or(i32::MAX));
    }
    sqlx::query!(
        "INSERT INTO dirty_window (tenant_id, vehicle_id, id, from_ts, to_ts, due_at, at_once, why, batches, clients, notes,
                                   open, silence_s)
         SELECT n.tenant_id, n.vehicle_id, n.id, n.from_ts, n.to_ts, n.due_at, n.at_once,
                ARRAY(SELECT jsonb_array_elements_text(n.why)), n.batches,
                ARRAY(SELECT jsonb_array_elements_text(n.clients)::uuid), ARRAY(SELECT jsonb_array_elements_text(n.notes)),
                n.open, n.silence_s
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::bool[],
                     $8::jsonb[], $9::int[], $10::jsonb[], $11::jsonb[], $12::bool[], $13::int[])
             AS n (tenant_id, vehicle_id, id, from_ts, to_ts, due_at, at_once, why, batches, clients, notes, open, silence_s)",
        &tenants,
        &vehicles,
        &keys,
        &from,
        &to,
        &due,
        &at_once,
        &why,
        &batches,
        &clients,
        &notes,
        &open,
        &silence_s,
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Lists {
    whys: Vec<&'static str>,
    by: Vec<Uuid>,
    words: Vec<String>,
}

fn lists(cause: &Cause) -> Lists {
    Lists {
        whys: cause.why.iter().map(|why| why.as_str()).collect(),
        by: cause.clients.iter().map(|client| client.uuid()).collect(),
        words: cause.notes.iter().cloned().collect(),
    }
}

/// Marks what lies in a time for deriving anew, where there is any data of it, and says why. At once: nothing more is to
/// come.
pub(crate) async fn mark_dirty(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    from: DateTime<Utc>,
    to: Option<DateTime<Utc>>,
    why: Why,
) -> Result<()> {
    mark(conn, caller, vehicle, (Some(from), to), Cause::of(why).by(caller.actor)).await?;
    Ok(())
}

/// As [`mark_dirty`], for all of the time that has no bound; tells whether there was data. Whoever derives may hold the
/// vehicle's windows, and is not waited for: what overlaps is merged when it is taken.
pub(crate) async fn mark(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    cause: Cause,
) -> Result<bool> {
    let Lists { whys, by, words } = lists(&cause);
    let marked = sqlx::query!(
        "INSERT INTO dirty_window (tenant_id, vehicle_id, id, from_ts, to_ts, due_at, at_once, why, batches, clients, notes)
         SELECT $1, $2, $3, greatest(l.min_ts, $4), least(l.max_ts, $5), $6, true, $7, 0, $8, $9
         FROM (SELECT min(min_ts) AS min_ts, max(max_ts) AS max_ts FROM batch_ledger
               WHERE tenant_id = $1 AND vehicle_id = $2) AS l
         WHERE greatest(l.min_ts, $4) <= least(l.max_ts, $5)
           AND EXISTS (SELECT FROM vehicle_state s WHERE s.tenant_id = $1 AND s.vehicle_id = $2)",
        caller.tenant.uuid(),
        vehicle.uuid(),
        caller.ids.uuid(),
        from,
        to,
        caller.now,
        &whys as &[&str],
        &by,
        &words,
    )
    .execute(conn)
    .await?;
    Ok(marked.rows_affected() > 0)
}

/// Takes of a vehicle whose window was claimed the earliest that is due, and with it those near that are due too. In order
/// of event time, so that what follows on another is not taken for something that turns up before it. `None` where all that is
/// due waits for silence and its vehicle was heard of since: asked here, with the state locked, and not only before.
pub(crate) async fn take(
    conn: &mut PgConnection,
    (tenant, vehicle): (TenantId, VehicleId),
    now: DateTime<Utc>,
    force: bool,
) -> Result<Option<DirtyWindow>> {
    let near = DirtyWindow::NEAR.as_seconds_f64();
    let rows = sqlx::query_as!(
        DirtyRow,
        r#"WITH earliest AS (
               SELECT d.from_ts, CASE WHEN d.open THEN greatest(d.to_ts, s.watermark) ELSE d.to_ts END AS to_ts, s.watermark
               FROM dirty_window d
               JOIN vehicle_state s ON s.tenant_id = d.tenant_id AND s.vehicle_id = d.vehicle_id
               WHERE d.tenant_id = $1 AND d.vehicle_id = $2
                 AND ($4 OR d.due_at <= $3 AND NOT coalesce(
                      d.open AND NOT d.at_once AND s.last_received_at + make_interval(secs => d.silence_s) > $3, false))
               ORDER BY d.from_ts LIMIT 1
           )
           DELETE FROM dirty_window d USING earliest e
           WHERE d.tenant_id = $1 AND d.vehicle_id = $2 AND (d.due_at <= $3 OR $4)
             AND d.from_ts <= e.to_ts + make_interval(secs => $5)
             AND CASE WHEN d.open THEN greatest(d.to_ts, e.watermark) ELSE d.to_ts END
                 >= e.from_ts - make_interval(secs => $5)
           RETURNING d.tenant_id, d.vehicle_id, d.from_ts,
                     CASE WHEN d.open THEN greatest(d.to_ts, e.watermark) ELSE d.to_ts END AS "to_ts!",
                     d.due_at, d.at_once, d.why, d.batches, d.clients, d.notes, d.open, d.silence_s"#,
        tenant.uuid(),
        vehicle.uuid(),
        now,
        force,
        near,
    )
    .fetch_all(conn)
    .await?;
    let mut taken: Option<DirtyWindow> = None;
    for row in rows {
        let window = row.read()?;
        taken = Some(match taken {
            Some(known) => known.merged(window),
            None => window,
        });
    }
    Ok(taken)
}

/// Puts off what is due of a vehicle near a window.
pub(crate) async fn put_off(conn: &mut PgConnection, dirty: &DirtyWindow, until: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "UPDATE dirty_window SET due_at = greatest(due_at, $3)
         WHERE tenant_id = $1 AND vehicle_id = $2 AND from_ts <= $5 AND (to_ts >= $4 OR open)",
        dirty.tenant.uuid(),
        dirty.vehicle.uuid(),
        until,
        dirty.window.from.utc(),
        dirty.window.to.utc(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims the vehicle whose window has been due longest and that nobody works on, with its state; whose it is has to be
/// known before any tenant's rows can be seen.
pub(crate) async fn claim(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    tenant: Option<TenantId>,
    vehicle: Option<VehicleId>,
    force: bool,
) -> Result<Option<(TenantId, VehicleId)>> {
    let row = sqlx::query!(
        r#"SELECT tenant_id AS "tenant_id!", vehicle_id AS "vehicle_id!" FROM claim_due($1, $2, $3, $4)"#,
        now,
        tenant.map(TenantId::uuid),
        vehicle.map(VehicleId::uuid),
        force,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.tenant_id.into(), row.vehicle_id.into())))
}

/// Pushes on the timers of vehicles that were heard of since they were set.
pub(crate) async fn postpone(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
    sqlx::query_scalar!("SELECT postpone_due($1)", now)
        .fetch_one(conn)
        .await?;
    Ok(())
}
