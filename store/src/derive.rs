//! Deriving: one dirty window at a time, in one transaction that holds the vehicle.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use odograph_domain::{
    batch::RawSample,
    correction::{Cause, Correction},
    features::TripFeatures,
    id::{DriverId, PolicyId, TenantId, TripId, VehicleId},
    intake::{DirtyWindow, Owned, VehicleContext},
    mileage::DayShare,
    policy::{Month, Policy, PolicyTerms},
    rating::{RatedPremium, RatingInputs},
    score::Score,
    time::{EventTime, Window},
    trip::TripRecord,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    contexts::{context_version, drivers_left},
    corrections::put_correction,
    dirty,
    error::{Result, StoreError},
    policies::{policies_of, policies_that_name, policy_by_id},
    premiums::{self, PutPremium},
    rating_inputs::{ScoreDay, inputs_of},
    raw::{compact, first_after, forget_behaviour, horizon, raw_between, rehome},
    scores::{self, ScoreChange},
    session::{Caller, Scope, Tx, enter, now},
    store::Store,
    trip_writes::put_trips,
    trips::{StoredTrip, driver_trips, trips_overlapping},
    usage::{UsageDay, put_usage},
    worker::{WorkerStore, lock_states},
};

impl WorkerStore {
    /// Takes the dirty window that has been due longest and that nobody else works on; `force` takes what is not due too.
    pub async fn next_due(&self, now: DateTime<Utc>, only: Option<TenantId>, force: bool) -> Result<Option<DeriveTx>> {
        self.claim(now, (only, None), force).await
    }

    /// As [`WorkerStore::next_due`], of one vehicle.
    pub async fn next_due_of(
        &self,
        now: DateTime<Utc>,
        tenant: TenantId,
        vehicle: VehicleId,
    ) -> Result<Option<DeriveTx>> {
        self.claim(now, (Some(tenant), Some(vehicle)), false).await
    }

    /// Takes a vehicle's time though it is not dirty, as far as there is data of it; the end is exclusive. `None` where there
    /// is none. To see what would come of deriving it: what is released, not committed, has not happened.
    pub async fn take(
        &self,
        tenant: TenantId,
        vehicle: VehicleId,
        bounds: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        cause: Cause,
    ) -> Result<Option<DeriveTx>> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        lock_states(&mut tx, &[(tenant, vehicle)]).await?;
        let Some(window) = dirty::recorded(&mut tx, tenant, vehicle, bounds).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let dirty = DirtyWindow {
            tenant,
            vehicle,
            window,
            due_at: now(self.store.clock()),
            at_once: true,
            cause,
            open_s: None,
        };
        Ok(Some(DeriveTx {
            store: self.store.clone(),
            tx,
            dirty,
            told: Vec::new(),
        }))
    }

    async fn claim(
        &self,
        now: DateTime<Utc>,
        (tenant, vehicle): (Option<TenantId>, Option<VehicleId>),
        force: bool,
    ) -> Result<Option<DeriveTx>> {
        loop {
            if !force {
                // By itself: what it touches is of other vehicles, whose data must not wait for this derivation.
                let mut tx = self.store.begin(Scope::Worker(&[])).await?;
                dirty::postpone(&mut tx, now).await?;
                tx.commit().await?;
            }
            let mut tx = self.store.begin(Scope::Worker(&[])).await?;
            let Some(claimed) = dirty::claim(&mut tx, now, tenant, vehicle, force).await? else {
                tx.rollback().await?;
                return Ok(None);
            };
            enter(&mut tx, Scope::Worker(&[claimed.0])).await?;
            match dirty::take(&mut tx, claimed, now, force).await? {
                Some(dirty) => {
                    return Ok(Some(DeriveTx {
                        store: self.store.clone(),
                        tx,
                        dirty,
                        told: Vec::new(),
                    }));
                }
                // It was heard of just before it was claimed: its timer is pushed on, and the next one is looked for.
                None => tx.rollback().await?,
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TripTotals {
    pub trips: i64,
    pub metres: f64,
}

/// A dirty window in hand: its vehicle's state is locked. Dropped without [`DeriveTx::commit`], nothing happened
/// and the window is still dirty.
#[derive(Debug)]
pub struct DeriveTx {
    store: Store,
    tx: Tx,
    dirty: DirtyWindow,
    told: Vec<Word>,
}

/// What is left for others in the outbox.
#[derive(Debug)]
struct Word {
    topic: &'static str,
    key: String,
    payload: Value,
}

impl DeriveTx {
    pub fn dirty(&self) -> &DirtyWindow {
        &self.dirty
    }

    fn vehicle(&self) -> VehicleId {
        self.dirty.vehicle
    }

    /// Goes on with what is left, in the same transaction.
    pub fn go_on(&mut self, rest: DirtyWindow) {
        self.dirty = rest;
    }

    pub async fn context(&mut self) -> Result<Arc<VehicleContext>> {
        let (tenant, vehicle) = (self.dirty.tenant, self.dirty.vehicle);
        let version = context_version(&mut self.tx, tenant, vehicle).await?;
        let wanted = [((tenant, vehicle), &version)];
        let mut found = self.store.known_contexts().get(&mut self.tx, &wanted).await?;
        found.pop().ok_or(StoreError::NotFound { kind: "vehicle" })
    }

    /// Trips that have an instant in common with the window, by start.
    pub async fn trips_overlapping(&mut self, window: Window) -> Result<Vec<StoredTrip>> {
        let (tenant, vehicle) = (self.dirty.tenant, self.vehicle());
        trips_overlapping(&mut self.tx, tenant, vehicle, window).await
    }

    /// How many trips have an instant in common with the window, and their metres.
    pub async fn trip_totals(&mut self, window: Window) -> Result<TripTotals> {
        let row = sqlx::query!(
            r#"SELECT count(*) AS "trips!", coalesce(sum(f.billable_m), 0) AS "metres!"
               FROM trip t JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id
               WHERE t.tenant_id = $1 AND t.vehicle_id = $2 AND t.started_at <= $4 AND t.ended_at >= $3"#,
            self.dirty.tenant.uuid(),
            self.vehicle().uuid(),
            window.from.utc(),
            window.to.utc(),
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(TripTotals {
            trips: row.trips,
            metres: row.metres,
        })
    }

    /// Every raw sample within the window, by time and device rank.
    pub async fn raw(&mut self, window: Window) -> Result<Vec<RawSample>> {
        let vehicle = self.vehicle();
        let (tx, caller) = self.parts();
        raw_between(tx, caller.raw_source(), vehicle, window).await
    }

    /// The time of the first raw sample later than this.
    pub async fn raw_after(&mut self, at: EventTime) -> Result<Option<EventTime>> {
        let vehicle = self.vehicle();
        let (tx, caller) = self.parts();
        first_after(tx, caller.raw_source(), vehicle, at).await
    }

    /// From when on the vehicle's trips can be derived: after the last trip that raw data which is gone for good may have been
    /// part of. `None`: as far back as there is any. `reach`: how far raw data can bear on a trip that starts after it.
    pub async fn floor(&mut self, reach: TimeDelta) -> Result<Option<EventTime>> {
        let (tenant, vehicle) = (self.dirty.tenant, self.vehicle());
        let Some(horizon) = horizon(&mut self.tx, tenant, vehicle).await? else {
            return Ok(None);
        };
        let across = sqlx::query_scalar!(
            "SELECT max(ended_at) FROM trip WHERE tenant_id = $1 AND vehicle_id = $2 AND started_at < $4 AND ended_at >= $3",
            tenant.uuid(),
            vehicle.uuid(),
            horizon,
            horizon + reach,
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let after = across.map(|ended_at| ended_at + TimeDelta::milliseconds(1));
        Ok(Some(EventTime::new(after.unwrap_or(horizon))))
    }

    /// Removes trips and writes others; one written under an id that is there replaces it.
    pub async fn put_trips(&mut self, removed: &[TripId], upsert: &[TripRecord]) -> Result<()> {
        if upsert.iter().any(|trip| trip.vehicle != self.dirty.vehicle) {
            return Err(StoreError::Invalid {
                kind: "trip",
                detail: "of another vehicle than the window's".into(),
            });
        }
        let (tx, caller) = self.parts();
        put_trips(tx, &caller, removed, upsert).await
    }

    /// Makes whoever else derives trips of these drivers wait: a score is over all of a driver's vehicles. Call it once, with
    /// all of them, before anything of theirs is read.
    pub async fn lock_drivers(&mut self, drivers: &[DriverId]) -> Result<()> {
        let mut drivers = drivers.to_vec();
        drivers.sort_unstable();
        drivers.dedup();
        let names: Vec<String> = drivers.iter().map(DriverId::to_string).collect();
        // One after the other, in the order of the list.
        sqlx::query!(
            "SELECT pg_advisory_xact_lock(hashtextextended('driver/' || d.name, 0)) AS locked FROM unnest($1::text[]) AS d (name)",
            &names,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// A driver's trips over all vehicles by start, each with the insured-local day it started on; both days inclusive.
    pub async fn driver_trips(
        &mut self,
        driver: DriverId,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(NaiveDate, TripFeatures)>> {
        let tenant = self.dirty.tenant;
        driver_trips(&mut self.tx, tenant, driver, from, to).await
    }

    /// Puts these scores in the place of all that the driver has of the days, both inclusive; tells what changed, by day.
    pub async fn replace_scores(
        &mut self,
        driver: DriverId,
        days: (NaiveDate, NaiveDate),
        scores: &[Score],
    ) -> Result<Vec<ScoreChange>> {
        let (tx, caller) = self.parts();
        scores::replace_scores(tx, &caller, driver, days, scores).await
    }

    /// Metres of the vehicle's trips on these days (both inclusive) in one owner's time, by day and then by the trips' start:
    /// added in this order they give the same sum each time.
    pub async fn day_shares(&mut self, from: NaiveDate, to: NaiveDate, owned: Owned) -> Result<Vec<DayShare>> {
        let shares = sqlx::query_as!(
            DayShare,
            "SELECT day, metres FROM trip_day
             WHERE tenant_id = $1 AND vehicle_id = $2 AND day BETWEEN $3 AND $4
               AND ($5::timestamptz IS NULL OR started_at >= $5) AND ($6::timestamptz IS NULL OR started_at < $6)
             ORDER BY day, started_at, trip_id",
            self.dirty.tenant.uuid(),
            self.vehicle().uuid(),
            from,
            to,
            owned.from,
            owned.to,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(shares)
    }

    /// The vehicle's policies, the earliest first.
    pub async fn policies(&mut self) -> Result<Vec<Policy>> {
        let (tenant, vehicle) = (self.dirty.tenant, self.vehicle());
        policies_of(&mut self.tx, tenant, vehicle).await
    }

    /// The policies that are rated by this driver's score at some time: those whose main driver it is, and those of vehicles
    /// assigned to it that have no main driver.
    pub async fn policies_rated_by(&mut self, driver: DriverId) -> Result<Vec<Policy>> {
        let tenant = self.dirty.tenant;
        let mut policies = policies_that_name(&mut self.tx, tenant, driver).await?;
        let rated_by = |terms: &PolicyTerms| terms.main_driver.is_none_or(|main| main == driver);
        policies.retain(|policy| policy.terms.iter().any(rated_by));
        Ok(policies)
    }

    pub async fn policy(&mut self, policy: PolicyId) -> Result<Policy> {
        let tenant = self.dirty.tenant;
        policy_by_id(&mut self.tx, tenant, policy).await
    }

    /// Writes usage days; one of no metres is removed.
    pub async fn put_usage(&mut self, policy: PolicyId, days: &[UsageDay]) -> Result<()> {
        let tenant = self.dirty.tenant;
        put_usage(&mut self.tx, tenant, policy, days).await
    }

    /// The first day from which premiums of the vehicle's policies must be rated anew because a policy changed; it is not due
    /// any more then.
    pub async fn take_rating_due(&mut self) -> Result<Option<NaiveDate>> {
        let from = sqlx::query_scalar!(
            "DELETE FROM rating_due WHERE tenant_id = $1 AND vehicle_id = $2 RETURNING from_day",
            self.dirty.tenant.uuid(),
            self.dirty.vehicle.uuid(),
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(from)
    }

    /// Puts the raw data of a window where it belongs by what is known now: under another vehicle, another driver, or none.
    pub async fn rehome(&mut self, context: &VehicleContext, window: Window) -> Result<u64> {
        let (tx, caller) = self.parts();
        rehome(tx, &caller, context, window).await
    }

    /// Those of these drivers that have left, and since when.
    pub async fn left(&mut self, drivers: &[DriverId]) -> Result<BTreeMap<DriverId, DateTime<Utc>>> {
        let tenant = self.dirty.tenant;
        drivers_left(&mut self.tx, tenant, drivers).await
    }

    /// Takes behaviour out of the raw data from an instant on, wherever the vehicle's policies do not allow it (any more).
    pub async fn forget_behaviour(&mut self, context: &VehicleContext, from: DateTime<Utc>) -> Result<u64> {
        let (tx, caller) = self.parts();
        forget_behaviour(tx, &caller, context, from).await
    }

    /// Removes usage of days that the vehicle's policies do not cover, or no more.
    pub async fn drop_uncovered_usage(&mut self) -> Result<()> {
        sqlx::query!(
            "DELETE FROM usage_day u USING policy p
             WHERE p.tenant_id = $1 AND p.vehicle_id = $2 AND u.tenant_id = p.tenant_id AND u.policy_id = p.id
               AND (u.day < p.starts_on OR u.day >= p.ends_on)",
            self.dirty.tenant.uuid(),
            self.dirty.vehicle.uuid(),
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes whoever else rates the policy wait. Call it before its inputs are read, in the order of the policies' ids.
    pub async fn lock_policy(&mut self, policy: PolicyId) -> Result<()> {
        premiums::lock_policy(&mut self.tx, policy).await
    }

    /// As [`crate::TenantStore::rating_inputs`].
    pub async fn rating_inputs(&mut self, policy: &Policy, period: Month) -> Result<RatingInputs> {
        let tenant = self.dirty.tenant;
        inputs_of(&mut self.tx, tenant, policy, period, ScoreDay::Exact).await
    }

    /// The months that have a premium, the earliest first.
    pub async fn premium_months(&mut self, policy: PolicyId) -> Result<Vec<Month>> {
        let tenant = self.dirty.tenant;
        premiums::premium_months(&mut self.tx, tenant, policy).await
    }

    /// As [`crate::TenantStore::put_premium`], of a policy that is locked; a new version is told to others.
    pub async fn put_premium(&mut self, policy: PolicyId, rated: &RatedPremium) -> Result<PutPremium> {
        let (tx, caller) = self.parts();
        let put = premiums::put_premium(tx, &caller, policy, rated).await?;
        if put.new {
            let payload = serde_json::json!({ "premium": put.row.id, "policy": policy, "period": rated.inputs.period,
                "version": put.row.version, "amount": rated.premium });
            self.outbox("premium.changed", policy, payload);
        }
        Ok(put)
    }

    /// Keeps corrections, and tells others of each.
    pub async fn correct(&mut self, corrections: &[Correction]) -> Result<()> {
        for correction in corrections {
            let (tx, caller) = self.parts();
            let id = put_correction(tx, &caller, correction).await?;
            let subject = [
                correction.trip.map(TripId::uuid),
                correction.policy.map(PolicyId::uuid),
                correction.driver.map(DriverId::uuid),
            ];
            let key = subject.into_iter().flatten().next().unwrap_or(id.uuid());
            let payload = serde_json::json!({ "correction": id, "kind": correction.kind, "vehicle": correction.vehicle,
                "driver": correction.driver, "policy": correction.policy, "trip": correction.trip,
                "from_day": correction.from_day, "to_day": correction.to_day, "before": correction.before,
                "after": correction.after, "why": correction.cause.why });
            self.outbox("correction.made", key, payload);
        }
        Ok(())
    }

    /// The end of the last trip of the vehicle that has been shown, and the insured-local day it started on.
    pub async fn shown_until(&mut self) -> Result<Option<(EventTime, NaiveDate)>> {
        let last = sqlx::query!(
            "SELECT ended_at, start_day FROM trip WHERE tenant_id = $1 AND vehicle_id = $2
             ORDER BY started_at DESC, id DESC LIMIT 1",
            self.dirty.tenant.uuid(),
            self.vehicle().uuid(),
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(last.map(|last| (EventTime::new(last.ended_at), last.start_day)))
    }

    /// The insured-local days on which drivers' last trips that have been shown started, over all vehicles.
    pub async fn shown_of_drivers(&mut self, drivers: &[DriverId]) -> Result<BTreeMap<DriverId, NaiveDate>> {
        let drivers: Vec<Uuid> = drivers.iter().map(|driver| driver.uuid()).collect();
        let rows = sqlx::query!(
            r#"SELECT d.id AS "id!", l.start_day
               FROM unnest($2::uuid[]) AS d (id)
               CROSS JOIN LATERAL (SELECT start_day FROM trip t WHERE t.tenant_id = $1 AND t.driver_id = d.id
                                   ORDER BY t.start_day DESC LIMIT 1) AS l"#,
            self.dirty.tenant.uuid(),
            &drivers,
        )
        .fetch_all(&mut *self.tx)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id.into(), row.start_day)).collect())
    }

    /// Leaves word for others; it is sent after the commit. Messages of one key go out in order.
    pub fn outbox(&mut self, topic: &'static str, key: impl ToString, payload: Value) {
        let key = key.to_string();
        self.told.push(Word { topic, key, payload });
    }

    async fn tell(&mut self) -> Result<()> {
        let told = std::mem::take(&mut self.told);
        if told.is_empty() {
            return Ok(());
        }
        let topics: Vec<&str> = told.iter().map(|word| word.topic).collect();
        let keys: Vec<&str> = told.iter().map(|word| word.key.as_str()).collect();
        let payloads: Vec<Value> = told.iter().map(|word| word.payload.clone()).collect();
        sqlx::query!(
            "INSERT INTO outbox (tenant_id, topic, key, payload, created_at)
             SELECT $1, w.topic, w.key, w.payload, $5
             FROM unnest($2::text[], $3::text[], $4::jsonb[]) WITH ORDINALITY AS w (topic, key, payload, place)
             ORDER BY w.place",
            self.dirty.tenant.uuid(),
            &topics as &[&str],
            &keys as &[&str],
            &payloads,
            now(self.store.clock()),
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Makes blocks of the journal rows that lie wholly before an instant; tells how many rows there were.
    pub async fn compact(&mut self, up_to: EventTime) -> Result<u64> {
        let vehicle = self.vehicle();
        let (tx, caller) = self.parts();
        compact(tx, &caller, vehicle, up_to).await
    }

    /// The window is derived and all that was written counts. It is clean but for `rest`: the part where a trip still goes
    /// on, to be looked at again when its vehicle has been silent long enough.
    pub async fn commit(mut self, rest: Option<DirtyWindow>) -> Result<()> {
        self.tell().await?;
        dirty::put_dirty(&mut self.tx, self.store.ids(), rest.as_slice()).await?;
        Ok(self.tx.commit().await?)
    }

    /// Leaves everything as it was; the window stays due.
    pub async fn release(self) -> Result<()> {
        Ok(self.tx.rollback().await?)
    }

    /// Leaves everything as it was, but puts the window off: what fails must not keep others from their turn.
    pub async fn put_off(self, by: TimeDelta) -> Result<()> {
        let Self { store, tx, dirty, .. } = self;
        tx.rollback().await?;
        let mut tx = store.begin(Scope::Worker(&[dirty.tenant])).await?;
        dirty::put_off(&mut tx, &dirty, now(store.clock()) + by).await?;
        Ok(tx.commit().await?)
    }

    fn parts(&mut self) -> (&mut Tx, Caller<'_>) {
        let caller = Caller {
            tenant: self.dirty.tenant,
            actor: None,
            master: self.store.master(),
            lake: self.store.lake(),
            ids: self.store.ids(),
            now: now(self.store.clock()),
            attempt: None,
        };
        (&mut self.tx, caller)
    }
}
