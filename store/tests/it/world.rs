//! Two tenants with the same things in them, and what the tests need to fill them.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity, RawSample},
    clock::{Clock, ManualClock},
    correction::{Cause, Why},
    envelope::Source,
    event::{BehaviourEvent, BehaviourKind},
    features::{BehaviourFeatures, QualityMark, TripFeatures},
    id::{DriverId, IdSource, MessageId, PolicyId, RatingPlanId, TenantId, TripId, VehicleId, WorkerId},
    intake::{DirtyWindow, LedgerKey, NewBatch, NewDeadLetter, Subject},
    lease::Lease,
    mileage::{DayShare, DistanceSource, Mileage, MileageGrade, MileageReason},
    money::Currency,
    outcome::Tally,
    policy::Product,
    rating::{RatingTerms, Rounding, RoundingMode},
    sample::Sample,
    settings::TenantSettings,
    time::{EventTime, ReceivedAt, Window},
    trip::{TripBounds, TripEnd, TripRecord, TripStart},
};
use odograph_store::{
    Identity, NewAssignment, NewDriver, NewPolicy, NewTenant, NewVehicle, Store, TenantStore, WorkerTx, Writes,
};

use crate::database::{TestDatabase, connect, fresh};

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) database: TestDatabase,
}

/// One tenant with a vehicle, a driver assigned to it, and a PHYD policy since 2026-01-01.
pub(crate) struct Insurer {
    pub(crate) tenant: TenantId,
    pub(crate) vehicle: VehicleId,
    pub(crate) driver: DriverId,
    pub(crate) plan: RatingPlanId,
    pub(crate) policy: PolicyId,
}

pub(crate) fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(crate) fn event_time(text: &str) -> EventTime {
    EventTime::new(utc(text))
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = fresh().await;
        let clock = Arc::new(ManualClock::at(utc("2026-03-01T00:00:00Z")));
        Self {
            store: connect(&database.url, 8, clock.clone()).await,
            clock,
            database,
        }
    }

    pub(crate) fn id<T: From<uuid::Uuid>>(&self) -> T {
        T::from(self.clock.uuid())
    }

    pub(crate) async fn empty_tenant(&self, name: &str) -> TenantId {
        let new = NewTenant {
            name: name.into(),
            settings: TenantSettings::default(),
        };
        self.store.operator().create_tenant(new).await.unwrap().id
    }

    pub(crate) async fn insurer(&self, name: &str) -> Insurer {
        let tenant = self.empty_tenant(name).await;
        let own = self.store.tenant(tenant);
        let external_ref = Some("car-1".parse().unwrap());
        let vehicle = own
            .create_vehicle(NewVehicle {
                external_ref,
                ..NewVehicle::default()
            })
            .await
            .unwrap()
            .id;
        let identity = Some(Identity {
            name: Some("Ada Lovelace".into()),
            ..Identity::default()
        });
        let driver = NewDriver {
            external_ref: Some("ada".parse().unwrap()),
            identity,
        };
        let driver = own.create_driver(driver).await.unwrap().id;
        let plan = own
            .create_rating_plan("standard", day("2025-01-01"), &terms())
            .await
            .unwrap()
            .id;
        let policy = own
            .create_policy(policy_of("car-1", day("2026-01-01"), None))
            .await
            .unwrap()
            .policy
            .id;
        let assignment = NewAssignment {
            vehicle: "car-1".parse().unwrap(),
            driver: "ada".parse().unwrap(),
            from: utc("2026-01-01T00:00:00Z"),
            to: None,
        };
        own.create_assignment(assignment).await.unwrap();
        Insurer {
            tenant,
            vehicle,
            driver,
            plan,
            policy,
        }
    }

    pub(crate) async fn lease(&self) -> Lease {
        let worker: WorkerId = self.id();
        let taken = self
            .store
            .leases()
            .acquire(worker, 1, 1, self.clock.now(), TimeDelta::seconds(30))
            .await
            .unwrap();
        taken[0]
    }

    /// A worker's transaction for one tenant, under a lease taken if need be.
    pub(crate) async fn work(&self, lease: &Lease, tenant: TenantId) -> WorkerTx {
        self.store.worker().begin(lease, &[tenant]).await.unwrap()
    }

    /// Writes and commits for one insurer.
    pub(crate) async fn write(&self, insurer: &Insurer, writes: Writes) {
        let lease = self.lease().await;
        let mut tx = self.work(&lease, insurer.tenant).await;
        tx.lock(&[(insurer.tenant, insurer.vehicle)]).await.unwrap();
        tx.enter(&writes.batches.iter().collect::<Vec<_>>()).await.unwrap();
        tx.write(&writes).await.unwrap();
        tx.commit().await.unwrap();
        self.store.leases().release(&[lease]).await.unwrap();
    }
}

impl Insurer {
    pub(crate) fn view(&self, world: &World) -> TenantStore {
        world.store.tenant(self.tenant)
    }

    pub(crate) fn batch(&self, world: &World, id: &str, samples: Vec<RawSample>) -> NewBatch {
        NewBatch {
            key: LedgerKey {
                tenant: self.tenant,
                vehicle: self.vehicle,
                batch_id: BatchId::parse(id).unwrap(),
            },
            message: world.id(),
            content_hash: [7; 32],
            source: Source::Http,
            received_at: ReceivedAt::new(world.clock.now()),
            device: None,
            samples: vec![(Subject::Driver(self.driver), samples)],
            impacts: vec![],
        }
    }

    pub(crate) fn letter(&self, message: MessageId, payload: &[u8]) -> NewDeadLetter {
        NewDeadLetter {
            tenant: self.tenant,
            client: None,
            message,
            source: Source::Http,
            vehicle: Some(self.vehicle),
            vehicle_given: "car-1".into(),
            subject: Subject::Driver(self.driver),
            batch_id: Some("b-1".into()),
            reason: "ts_in_future".into(),
            detail: "ts: wanted at most 300 s ahead, got 900".into(),
            samples: 1,
            payload: payload.to_vec(),
            received_at: ReceivedAt::new(utc("2026-03-01T00:00:00Z")),
            resubmission_of: None,
        }
    }

    pub(crate) fn dirty(&self, from: &str, to: &str, due_at: &str, at_once: bool) -> DirtyWindow {
        let window = Window {
            from: event_time(from),
            to: event_time(to),
        };
        DirtyWindow {
            tenant: self.tenant,
            vehicle: self.vehicle,
            window,
            due_at: utc(due_at),
            at_once,
            cause: Cause::of(Why::NewData),
            open_s: None,
        }
    }

    pub(crate) fn trip(&self, id: TripId, start: &str, end: &str) -> TripRecord {
        let bounds = TripBounds {
            start: event_time(start),
            end: event_time(end),
            started_by: TripStart::IgnitionOn,
            ended_by: TripEnd::Rest,
        };
        let braking = BehaviourEvent {
            kind: BehaviourKind::HarshBraking,
            ts: bounds.start + TimeDelta::seconds(30),
            duration_s: 1.5,
            peak: 4.1,
            speed_kmh: Some(48.0),
        };
        let behaviour = BehaviourFeatures {
            mean_speed_kmh: 40.1,
            top_speed_kmh: 93.0,
            night_share: 0.1,
            weekend_share: 0.0,
            speeding_share: None,
            limit_known_s: 0.0,
            phone_share: Some(0.25),
            phone_known_s: 100.0,
            braking_seen: true,
            cornering_seen: false,
            events: vec![
                braking.clone(),
                BehaviourEvent {
                    speed_kmh: None,
                    ..braking
                },
            ],
        };
        let mileage = Mileage {
            odometer_m: Some(12_000.1),
            speed_m: None,
            gps_m: Some(11_999.7),
            billable_m: 12_000.1,
            source: Some(DistanceSource::Odometer),
            grade: MileageGrade::A,
            reasons: vec![MileageReason::SourcesAgree],
            by_day: vec![DayShare {
                day: bounds.start.utc().date_naive(),
                metres: 12_000.1,
            }],
        };
        let features = TripFeatures {
            plan_version: 1,
            samples: 600,
            duration_s: 900.0,
            moving_s: 800.0,
            idle_s: 100.0,
            fix_share: Some(0.99),
            hdop_median: None,
            marks: [(QualityMark::Hole, 2)].into(),
            mileage,
            behaviour: Some(behaviour),
        };
        TripRecord {
            id,
            vehicle: self.vehicle,
            driver: Some(self.driver),
            bounds,
            time_zone: chrono_tz::Europe::Berlin,
            features,
            version: 1,
        }
    }
}

pub(crate) fn policy_of(vehicle: &str, starts_on: NaiveDate, ends_on: Option<NaiveDate>) -> NewPolicy {
    NewPolicy {
        external_ref: None,
        vehicle: vehicle.parse().unwrap(),
        main_driver: None,
        product: Product::Phyd,
        plan: "standard".parse().unwrap(),
        currency: Currency::parse("EUR").unwrap(),
        time_zone: chrono_tz::Europe::Berlin,
        starts_on,
        ends_on,
    }
}

pub(crate) fn terms() -> RatingTerms {
    RatingTerms {
        currency: Currency::parse("EUR").unwrap(),
        base_per_month: "10.00".parse().unwrap(),
        rate_per_km: "0.05".parse().unwrap(),
        score_bands: vec![],
        minimum: None,
        maximum: None,
        rounding: Rounding {
            step: "0.01".parse().unwrap(),
            mode: RoundingMode::HalfUp,
        },
    }
}

/// A sample a second, each with a speed of its own.
pub(crate) fn samples(start: &str, count: u32) -> Vec<RawSample> {
    let start = event_time(start);
    (0..count)
        .map(|second| {
            let mut sample = Sample::at(start + TimeDelta::seconds(second.into()));
            sample.speed_kmh = Some(f64::from(second) + 0.1);
            sample.extra.insert("wipers".into(), (second % 2 == 0).into());
            RawSample {
                sample,
                accel_frame: AccelFrame::Earth,
                gravity: Gravity::Removed,
                device_rank: 3,
                driver: None,
            }
        })
        .collect()
}

pub(crate) fn tally(received: u64, accepted: u64, rejected: &[(&str, u64)]) -> Tally {
    let rejected = rejected
        .iter()
        .map(|(reason, samples)| ((*reason).to_owned(), *samples))
        .collect();
    Tally {
        received,
        accepted,
        duplicate: 0,
        rejected,
    }
}
