//! Simulated uploads in any order, doubled, overlapping, cut anew, derived piece by piece: the same trips, features, scores
//! and kilometres to be paid. In the process and without a database, so that many cases can be tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use odograph::fleet::{self, FleetSpec, GeneratedVehicle, Mix, Rates};
use odograph_domain::{
    batch::{BatchId, Gravity, RawSample},
    detect::Detector,
    envelope::Source,
    features::TripFeatures,
    id::{MessageId, TenantId, VehicleId},
    intake::{DirtyWindow, LedgerKey, NewBatch, Subject, VehicleState},
    settings::TenantSettings,
    time::{ReceivedAt, Window},
    trip::TripBounds,
};
use odograph_ingest::{
    assemble::{assemble, close_before},
    order::merge,
    watch::{TripWatch, advance},
    window::{expand, reading},
};
use odograph_scoring::{
    features::{TripInput, features},
    model::{ScoreModel as _, expert::ExpertScore},
};
use odograph_tests::{
    http::{Answer, Api},
    platform::{Insured, Platform},
    snapshot::Snapshot,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

const ZONE: Tz = Tz::Europe__Berlin;

/// A batch as it arrives: its id and its samples.
type Upload = (String, Vec<RawSample>);

/// Every kind of device, and far more going wrong than usual.
fn bad_fleet(vehicles: usize, days: u32) -> Vec<GeneratedVehicle> {
    let first_day = NaiveDate::from_ymd_opt(2026, 3, 28).expect("a day");
    let spec = FleetSpec {
        mix: Mix::default(),
        rates: Rates {
            duplicate: 0.1,
            late: 0.2,
            offline: 0.3,
            resent: 0.7,
            overlapping: 0.3,
            parked_drift: 0.1,
            frozen_clock: 0.3,
            jumping_clock: 0.1,
            missing_field: 0.2,
            ..Rates::default()
        },
        ..FleetSpec::days(11, vehicles, first_day, days, ZONE)
    };
    fleet::generate(&spec).collect()
}

fn fleet() -> &'static [Vec<Upload>] {
    static FLEET: OnceLock<Vec<Vec<Upload>>> = OnceLock::new();
    FLEET.get_or_init(|| {
        let fleet = bad_fleet(9, 2);
        let kinds: BTreeSet<_> = fleet.iter().map(|vehicle| vehicle.device.kind).collect();
        assert!(kinds.len() >= 4, "{kinds:?}");
        fleet.iter().map(uploads).collect()
    })
}

fn uploads(vehicle: &GeneratedVehicle) -> Vec<Upload> {
    let raw = |sample: &odograph_domain::sample::Sample| RawSample {
        sample: sample.clone(),
        accel_frame: vehicle.device.accel_frame,
        gravity: Gravity::Included,
        device_rank: 0,
        driver: None,
    };
    let batch = |batch: &fleet::GeneratedBatch| (batch.batch_id.clone(), batch.samples.iter().map(raw).collect());
    vehicle.batches.iter().map(batch).collect()
}

/// A vehicle's data and what is derived from it, kept up to date by rebuilding dirty windows, as a worker does.
struct Worker {
    settings: TenantSettings,
    detectors: Vec<Box<dyn Detector>>,
    state: VehicleState,
    ledger: BTreeSet<String>,
    raw: Vec<RawSample>,
    trips: Vec<(TripBounds, TripFeatures)>,
    dirty: Vec<DirtyWindow>,
}

impl Worker {
    fn new() -> Self {
        Self {
            settings: TenantSettings::default(),
            detectors: vec![Box::new(TripWatch)],
            state: VehicleState::new(VehicleId::from_uuid(Uuid::nil())),
            ledger: BTreeSet::new(),
            raw: Vec::new(),
            trips: Vec::new(),
            dirty: Vec::new(),
        }
    }

    fn accept(&mut self, (batch_id, samples): &Upload) {
        if !self.ledger.insert(batch_id.clone()) {
            return;
        }
        let vehicle = VehicleId::from_uuid(Uuid::nil());
        let now: DateTime<Utc> = "2026-06-01T00:00:00Z".parse().expect("a time");
        let batch = NewBatch {
            key: LedgerKey {
                tenant: TenantId::from_uuid(Uuid::nil()),
                vehicle,
                batch_id: BatchId::parse(batch_id.as_str()).expect("an id"),
            },
            message: MessageId::from_uuid(Uuid::nil()),
            content_hash: [0; 32],
            source: Source::Http,
            received_at: ReceivedAt::new(now),
            device: None,
            samples: vec![(Subject::Vehicle(vehicle), samples.clone())],
            impacts: Vec::new(),
        };
        let (state, dirty) = advance(self.state.clone(), &batch, &self.settings, &self.detectors, now);
        self.state = state;
        self.dirty.extend(dirty);
        self.raw.extend(samples.iter().cloned());
    }

    fn derive(&mut self) {
        self.state.open = None;
        let mut dirty = std::mem::take(&mut self.dirty);
        for dirty in dirty.iter_mut().filter(|dirty| dirty.open_s.is_some()) {
            // An open window reaches as far as the data does.
            dirty.window.to = dirty.window.to.max(self.state.watermark.unwrap_or(dirty.window.to));
        }
        for dirty in DirtyWindow::merge_near(dirty) {
            self.derive_window(dirty.window);
        }
    }

    fn derive_window(&mut self, mut core: Window) {
        let settings = self.settings.trip.clone();
        let derived = loop {
            let stored: Vec<Window> = self.trips.iter().map(|(bounds, _)| bounds.window()).collect();
            let grown = expand(core, &settings, &stored);
            if grown != core {
                core = grown;
                continue;
            }
            let read = reading(core, &settings);
            let within = self
                .raw
                .iter()
                .filter(|raw| read.contains(raw.sample.ts))
                .cloned()
                .collect();
            let later = self
                .raw
                .iter()
                .map(|raw| raw.sample.ts)
                .filter(|ts| *ts > read.to)
                .min();
            let derived = derived(within, later, &self.settings);
            let windows: Vec<Window> = derived.iter().map(|(bounds, _)| bounds.window()).collect();
            let grown = expand(core, &settings, &windows);
            if grown == core {
                break derived;
            }
            core = grown;
        };
        self.trips.retain(|(bounds, _)| !bounds.window().overlaps(core));
        self.trips.extend(derived);
        self.trips.sort_by_key(|(bounds, _)| bounds.start);
    }
}

/// Trips with their features.
fn derived(
    raw: Vec<RawSample>,
    later: Option<odograph_domain::time::EventTime>,
    settings: &TenantSettings,
) -> Vec<(TripBounds, TripFeatures)> {
    let merged = merge(raw);
    let trips = close_before(assemble(&merged.samples, &settings.trip), later, &[], &settings.trip);
    let bounds: Vec<TripBounds> = trips
        .iter()
        .map(|found| {
            found
                .trip
                .fall_silent()
                .unwrap_or(found.trip)
                .bounds()
                .expect("a trip that has ended")
        })
        .collect();
    let inputs: Vec<TripInput<'_>> = trips
        .iter()
        .zip(&bounds)
        .map(|(found, bounds)| TripInput {
            samples: &merged.samples[found.range.clone()],
            bounds: *bounds,
            time_zone: ZONE,
            behaviour_allowed: true,
        })
        .collect();
    let features = features(&inputs).expect("features");
    bounds.into_iter().zip(features).collect()
}

/// What is paid by: everything that must not depend on how the data came.
#[derive(Debug, PartialEq)]
struct Meaning {
    trips: Vec<(TripBounds, TripFeatures)>,
    metres_by_day: BTreeMap<NaiveDate, i64>,
    score: Option<odograph_domain::score::Score>,
}

impl Meaning {
    fn of(trips: Vec<(TripBounds, TripFeatures)>) -> Self {
        let mut by_day: BTreeMap<NaiveDate, f64> = BTreeMap::new();
        for share in trips.iter().flat_map(|(_, features)| &features.mileage.by_day) {
            *by_day.entry(share.day).or_default() += share.metres;
        }
        let local = |bounds: &TripBounds| bounds.start.utc().with_timezone(&ZONE).date_naive();
        let driven: Vec<_> = trips
            .iter()
            .map(|(bounds, features)| (local(bounds), features))
            .collect();
        let as_of = NaiveDate::from_ymd_opt(2026, 3, 31).expect("a day");
        let score = ExpertScore::new().score(as_of, &driven);
        Self {
            score,
            metres_by_day: by_day
                .into_iter()
                .map(|(day, metres)| (day, metres.round() as i64))
                .collect(),
            trips,
        }
    }
}

/// All at once, in order of event time.
fn wanted(vehicle: usize) -> &'static Meaning {
    static WANTED: [OnceLock<Meaning>; 9] = [const { OnceLock::new() }; 9];
    WANTED[vehicle].get_or_init(|| {
        let raw = fleet()[vehicle]
            .iter()
            .flat_map(|(_, samples)| samples.clone())
            .collect();
        Meaning::of(derived(raw, None, &TenantSettings::default()))
    })
}

/// How uploads are spoilt on their way.
#[derive(Debug, Clone)]
struct Spoiling {
    seed: u64,
    /// Batches that may pass each other: 1 is in order, all of them is any order.
    mixed: usize,
    doubled: f64,
    cut_anew: f64,
    derive_every: usize,
}

fn spoiling() -> impl Strategy<Value = Spoiling> {
    (
        any::<u64>(),
        prop_oneof![Just(1usize), Just(8), Just(10_000)],
        0.0..0.5,
        0.0..0.5,
        1..60usize,
    )
        .prop_map(|(seed, mixed, doubled, cut_anew, derive_every)| Spoiling {
            seed,
            mixed,
            doubled,
            cut_anew,
            derive_every,
        })
}

fn spoilt(uploads: &[Upload], spoiling: &Spoiling) -> Vec<Upload> {
    let mut rng = ChaCha8Rng::seed_from_u64(spoiling.seed);
    let mut sent: Vec<Upload> = Vec::new();
    for (place, (id, samples)) in uploads.iter().enumerate() {
        if rng.random_bool(spoiling.cut_anew) && samples.len() > 1 {
            // In two overlapping halves, shuffled within, under ids of their own.
            let middle = rng.random_range(1..samples.len());
            let (mut first, mut second) = (
                samples[..(middle + 3).min(samples.len())].to_vec(),
                samples[middle..].to_vec(),
            );
            first.shuffle(&mut rng);
            second.shuffle(&mut rng);
            sent.push((format!("{id}-a-{place}"), first));
            sent.push((format!("{id}-b-{place}"), second));
        } else {
            sent.push((id.clone(), samples.clone()));
        }
        if rng.random_bool(spoiling.doubled) {
            sent.push(sent[rng.random_range(0..sent.len())].clone());
        }
    }
    let mut keyed: Vec<(usize, Upload)> = sent
        .into_iter()
        .enumerate()
        .map(|(place, upload)| (place + rng.random_range(0..spoiling.mixed), upload))
        .collect();
    keyed.sort_by_key(|(place, _)| *place);
    keyed.into_iter().map(|(_, upload)| upload).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn simulated_uploads_mean_the_same_in_any_order(vehicle in 0..9usize, spoiling in spoiling()) {
        let mut worker = Worker::new();
        for (count, upload) in spoilt(&fleet()[vehicle], &spoiling).iter().enumerate() {
            worker.accept(upload);
            if count % spoiling.derive_every == 0 {
                worker.derive();
            }
        }
        worker.derive();
        let found = Meaning::of(worker.trips);
        let wanted = wanted(vehicle);
        prop_assert!(wanted.metres_by_day.values().sum::<i64>() > 0, "nothing to compare");
        prop_assert_eq!(&found.metres_by_day, &wanted.metres_by_day);
        prop_assert_eq!(&found, wanted);
    }
}

/// The comparison can fail: a batch that never arrives is missed.
#[test]
fn a_lost_batch_is_not_the_same() {
    let uploads = &fleet()[0];
    let driving = uploads
        .iter()
        .position(|(_, samples)| samples.iter().any(|raw| raw.sample.speed_kmh > Some(30.0)));
    let lost = driving.expect("a batch of a moving car");
    let ids: BTreeSet<_> = uploads[lost].1.iter().map(|raw| raw.sample.ts).collect();
    let rest = uploads
        .iter()
        .flat_map(|(_, samples)| samples.clone())
        .filter(|raw| !ids.contains(&raw.sample.ts));
    let found = Meaning::of(derived(rest.collect(), None, &TenantSettings::default()));
    assert_ne!(&found, wanted(0));
}

/// A device's messages, sent to a tenant of their own over HTTP; what was made of them.
async fn sent(
    platform: &Platform,
    api: &Api,
    name: &str,
    (fleet, messages): (&[GeneratedVehicle], &[Vec<u8>]),
    derive_every: Option<usize>,
) -> Snapshot {
    let tenant = platform.tenant(name).await;
    let insured: Vec<Insured> = fleet
        .iter()
        .map(|vehicle| Insured {
            vehicle: vehicle.external_ref.clone(),
            driver: vehicle.driver.external_ref.clone(),
            product: vehicle.product,
            time_zone: ZONE,
            starts_on: NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day"),
        })
        .collect();
    platform.insure(tenant, &insured).await;
    let token = api.token(&platform.client(tenant, &["telemetry:write"]).await).await;
    for (place, message) in messages.iter().enumerate() {
        let request = api
            .request(reqwest::Method::POST, "/v1/telemetry/batches")
            .bearer_auth(&token);
        let request = request.header("content-type", "application/json").body(message.clone());
        let answer = Answer::of(request.send().await).await;
        assert_eq!(answer.status.as_u16(), 202, "{answer:?}");
        if derive_every.is_some_and(|every| place % every == every - 1) {
            platform.drained().await;
            platform.derive(tenant).await;
        }
    }
    platform.drained().await;
    platform.derive(tenant).await;
    let outcomes = platform.outcomes(tenant).await;
    assert!(outcomes.balances() && outcomes.accepted > 0, "{outcomes:?}");
    platform.snapshot(tenant).await
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_uploads_mean_the_same_through_the_platform() {
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let fleet = bad_fleet(5, 3);
    // Each batch once, in the order it was made; as the devices sent them; and in any order, some twice.
    let mut once: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut uploaded: Vec<(DateTime<Utc>, Vec<u8>)> = Vec::new();
    for vehicle in &fleet {
        for batch in &vehicle.batches {
            let body = vehicle.body(batch).expect("JSON");
            once.insert(batch.batch_id.clone(), body.clone());
            uploaded.push((batch.sent_at, body));
        }
    }
    uploaded.sort_by_key(|(sent_at, _)| *sent_at);
    let uploaded: Vec<Vec<u8>> = uploaded.into_iter().map(|(_, body)| body).collect();
    let once: Vec<Vec<u8>> = once.into_values().collect();
    assert!(uploaded.len() > once.len() + 5, "{} of {}", once.len(), uploaded.len());
    let mut mixed = [&uploaded[..], &uploaded[..uploaded.len() / 3]].concat();
    mixed.shuffle(&mut ChaCha8Rng::seed_from_u64(5));
    let wanted = sent(&platform, &api, "once", (&fleet, &once), None).await;
    assert!(wanted.trips() > 10, "{} trips", wanted.trips());
    wanted.assert_same(
        &sent(&platform, &api, "uploaded", (&fleet, &uploaded), Some(200)).await,
        "once and as uploaded",
    );
    wanted.assert_same(
        &sent(&platform, &api, "mixed", (&fleet, &mixed), Some(130)).await,
        "once and mixed",
    );
    platform.end().await;
}
