//! Trips, scores and premiums read through the API, from a database that holds a fleet's quarter of a year.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use futures_util::future::try_join_all;
use odograph_domain::{
    correction::{Cause, Why},
    features::TripFeatures,
    id::{IdSource as _, TripId, VehicleId, WorkerId},
    intake::DirtyWindow,
    mileage::DayShare,
    time::{EventTime, Window},
    trip::{TripBounds, TripEnd, TripRecord, TripStart},
};
use odograph_scoring::features::{self, TripInput};
use odograph_store::{Census, Page, Writes};

use super::{
    drive::{Car, raw},
    load::{self, Answered, Kind},
    served::Served,
    world::{Insured, TIME_ZONE, World},
};
use crate::{
    pipeline::{Pipeline, charge, derive::Changes},
    root::System,
};

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub vehicles: usize,
    pub days: u32,
    pub rate: f64,
    pub lasts: Duration,
}

#[derive(Debug)]
pub struct Outcome {
    pub stored: Census,
    pub stored_in: Duration,
    pub answered: Vec<Arc<Answered>>,
    /// How far behind its own plan the load was at most.
    pub behind: Duration,
}

/// Trips a vehicle makes a day: to work and home.
const TRIPS_A_DAY: [(u32, u32); 2] = [(6, 15), (16, 30)];
/// Drives that all trips are taken from.
const DRIVES: u64 = 64;
const DRIVE_S: u32 = 1200;
/// Vehicles stored at once.
const AT_ONCE: usize = 2;

/// Stores the fleet, serves it, and reads.
pub async fn run(world: &World, plan: &Plan) -> Result<Outcome> {
    let today = world.parts.clock.now().with_timezone(&TIME_ZONE).date_naive();
    let first_day = today - Days::new(u64::from(plan.days));
    eprintln!("registering {} vehicles …", plan.vehicles);
    let fleet = world.insure(plan.vehicles, first_day).await?;
    let since = Instant::now();
    eprintln!("storing {} days of trips, scores and premiums each …", plan.days);
    store(world, plan, &fleet, first_day).await?;
    let stored_in = since.elapsed();
    world.scratch.analyze().await?;
    let stored = world.parts.store.worker().census(world.tenant).await?;
    let kinds = Asking::of(world, &fleet).await?;
    let served = Served::start(world).await?;
    let (url, token) = (&served.url, &served.token);
    eprintln!("{} requests a second for {} s …", plan.rate, plan.lasts.as_secs());
    // What the first requests find cold, the service's caches and the connections, is warm for all that follow.
    let _ = load::run(kinds.of_url(url), token, plan.rate, Duration::from_secs(3)).await?;
    let ran = load::run(kinds.of_url(url), token, plan.rate, plan.lasts).await;
    served.end().await?;
    let (answered, behind) = ran?;
    Ok(Outcome {
        stored,
        stored_in,
        answered,
        behind,
    })
}

impl Outcome {
    /// Whether all was stored that was to be, and every request answered with what it asked for.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let days = i64::from(plan.days);
        let trips = plan.vehicles as i64 * days * TRIPS_A_DAY.len() as i64;
        ensure!(
            self.stored.trips == trips,
            "{trips} trips were to be stored, found {:?}",
            self.stored
        );
        ensure!(
            self.stored.scores >= plan.vehicles as i64 * days
                && self.stored.premiums >= plan.vehicles as i64 * days / 31,
            "scores and premiums are missing: {:?}",
            self.stored
        );
        for answered in &self.answered {
            let first = answered
                .first_error
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(error) = &*first {
                anyhow::bail!("{}: {error}", answered.name);
            }
        }
        Ok(())
    }
}

/// Features as derived from made drives, by the plan that derives them from real ones.
fn drives(seed: u64, day: NaiveDate) -> Result<Vec<(TripBounds, TripFeatures)>> {
    let start = EventTime::new(day.and_time(NaiveTime::MIN).and_utc());
    let bounds = TripBounds {
        start,
        end: start + TimeDelta::seconds(i64::from(DRIVE_S) - 1),
        started_by: TripStart::IgnitionOn,
        ended_by: TripEnd::IgnitionOff,
    };
    let trips: Vec<_> = (0..DRIVES)
        .map(|number| raw(Car::new(seed, number).trip(start, DRIVE_S)))
        .collect();
    let inputs: Vec<TripInput<'_>> = trips
        .iter()
        .map(|samples| TripInput {
            samples,
            bounds,
            time_zone: TIME_ZONE,
            behaviour_allowed: true,
        })
        .collect();
    let features = features::features(&inputs)?;
    Ok(features.into_iter().map(|features| (bounds, features)).collect())
}

/// By the write path of the derivation: trips are put into a vehicle's dirty window, and charged.
async fn store(world: &World, plan: &Plan, fleet: &[Insured], first_day: NaiveDate) -> Result<()> {
    let numbers: HashMap<VehicleId, usize> = fleet.iter().enumerate().map(|(n, one)| (one.vehicle, n)).collect();
    mark_dirty(world, plan, fleet, first_day).await?;
    let drives = drives(plan.seed, first_day)?;
    let pipeline = Pipeline::new(&world.parts);
    let tasks = (0..AT_ONCE).map(|_| store_due(world, plan, &pipeline, fleet, &numbers, &drives, first_day));
    tokio::select! {
        stored = try_join_all(tasks) => stored.map(drop),
        failed = analyze_now_and_then(world) => failed,
    }
}

/// Plans that were made while the tables were empty read them whole once they are full. On a server that lives longer,
/// autovacuum sees to it.
async fn analyze_now_and_then(world: &World) -> Result<()> {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.scratch.analyze().await?;
    }
}

async fn store_due(
    world: &World,
    plan: &Plan,
    pipeline: &Pipeline,
    fleet: &[Insured],
    numbers: &HashMap<VehicleId, usize>,
    drives: &[(TripBounds, TripFeatures)],
    first_day: NaiveDate,
) -> Result<()> {
    let worker = world.parts.store.worker();
    while let Some(mut tx) = worker
        .next_due(world.parts.clock.now(), Some(world.tenant), true)
        .await?
    {
        let number = *numbers.get(&tx.dirty().vehicle).context("a vehicle of nobody")?;
        let records: Vec<TripRecord> = (0..plan.days)
            .flat_map(|day| {
                TRIPS_A_DAY
                    .into_iter()
                    .enumerate()
                    .map(move |(trip, at)| (day, trip, at))
            })
            .map(|(day, trip, (hour, minute))| {
                let which = number * 31 + day as usize * TRIPS_A_DAY.len() + trip;
                let day = first_day + Days::new(u64::from(day));
                let start = day.and_time(NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default());
                moved(
                    &drives[which % drives.len()],
                    &fleet[number],
                    EventTime::new(start.and_utc()),
                )
            })
            .collect();
        let context = tx.context().await?;
        let changes = Changes {
            days: records.iter().map(TripRecord::local_day).collect(),
            drivers: [fleet[number].driver].into(),
            ..Changes::default()
        };
        tx.put_trips(&[], &records).await?;
        charge::charge(pipeline, &mut tx, &context, &changes, true).await?;
        tx.commit(None).await?;
    }
    Ok(())
}

/// The drive at another time.
fn moved((bounds, features): &(TripBounds, TripFeatures), insured: &Insured, start: EventTime) -> TripRecord {
    let by = start - bounds.start;
    let mut features = features.clone();
    let day = start.utc().with_timezone(&TIME_ZONE).date_naive();
    features.mileage.by_day = vec![DayShare {
        day,
        metres: features.mileage.billable_m,
    }];
    for event in features
        .behaviour
        .iter_mut()
        .flat_map(|behaviour| &mut behaviour.events)
    {
        event.ts = event.ts + by;
    }
    TripRecord {
        id: TripId::from_uuid(System.uuid()),
        vehicle: insured.vehicle,
        driver: Some(insured.driver),
        bounds: TripBounds {
            start,
            end: bounds.end + by,
            ..*bounds
        },
        time_zone: TIME_ZONE,
        features,
        version: 1,
    }
}

async fn mark_dirty(world: &World, plan: &Plan, fleet: &[Insured], first_day: NaiveDate) -> Result<()> {
    let (now, worker) = (world.parts.clock.now(), WorkerId::from_uuid(System.uuid()));
    let leases = world.parts.store.leases();
    let leased = leases.acquire(worker, 1, 1, now, TimeDelta::minutes(5)).await?;
    let lease = leased.first().context("no partition could be leased")?;
    let mut tx = world.parts.store.worker().begin(lease, &[world.tenant]).await?;
    let vehicles: Vec<_> = fleet.iter().map(|one| (world.tenant, one.vehicle)).collect();
    tx.lock(&vehicles).await?;
    let from = EventTime::new(first_day.and_time(NaiveTime::MIN).and_utc());
    let window = Window {
        from,
        to: from + TimeDelta::days(i64::from(plan.days)),
    };
    let dirty = fleet.iter().map(|one| DirtyWindow {
        tenant: world.tenant,
        vehicle: one.vehicle,
        window,
        due_at: now,
        at_once: true,
        cause: Cause::of(Why::NewData),
        open_s: None,
    });
    let writes = Writes {
        dirty: dirty.collect(),
        ..Writes::default()
    };
    tx.write(&writes).await?;
    tx.commit().await?;
    Ok(leases.release(&leased).await?)
}

/// What is asked for: path, and what the answer must contain.
struct Asking {
    trips: Vec<(String, String)>,
    scores: Vec<(String, String)>,
    premiums: Vec<(String, String)>,
}

impl Asking {
    async fn of(world: &World, fleet: &[Insured]) -> Result<Self> {
        let store = world.parts.store.tenant(world.tenant);
        let mut premiums = Vec::new();
        for one in fleet {
            let page = Page { after: None, limit: 1 };
            for premium in store.premiums(one.policy, None, false, page).await?.items {
                premiums.push((format!("/v1/premiums/{}", premium.id), "\"trace\"".to_owned()));
            }
        }
        let numbered = |path: &dyn Fn(usize) -> String, wanted: &dyn Fn(&Insured) -> String| {
            fleet
                .iter()
                .enumerate()
                .map(|(n, one)| (path(n), wanted(one)))
                .collect()
        };
        Ok(Self {
            trips: numbered(&|n| format!("/v1/trips?vehicle=vehicle-{n}"), &|one| {
                one.vehicle.to_string()
            }),
            scores: numbered(&|n| format!("/v1/drivers/driver-{n}/score"), &|_| {
                "\"reasons\"".to_owned()
            }),
            premiums,
        })
    }

    fn of_url(&self, url: &str) -> Vec<Kind> {
        let at = |asked: &[(String, String)]| -> Vec<(String, String)> {
            // Not vehicle after vehicle as they were stored, which would find each on the page of the one before.
            let step = asked.len() / 2 + 1;
            (0..asked.len())
                .map(|place| &asked[place * step % asked.len()])
                .map(|(path, wanted)| (format!("{url}{path}"), wanted.clone()))
                .collect()
        };
        let kind = |name, parts, asked| Kind { name, parts, asked };
        vec![
            kind("trip list", 8, at(&self.trips)),
            kind("score", 6, at(&self.scores)),
            kind("premium with trace", 5, at(&self.premiums)),
            kind("nothing (/healthz)", 1, vec![(format!("{url}/healthz"), String::new())]),
        ]
    }
}
