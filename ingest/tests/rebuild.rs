//! The heart of the system: deriving trips piece by piece, in whatever order batches arrive, gives what deriving them
//! from everything at once gives.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity, RawSample},
    detect::Detector,
    envelope::Source,
    id::{MessageId, TenantId, VehicleId},
    intake::{DirtyWindow, LedgerKey, NewBatch, Subject, VehicleState},
    sample::Sample,
    settings::{TenantSettings, TripSettings},
    time::{EventTime, ReceivedAt, Window},
    trip::TripBounds,
};
use odograph_ingest::{
    assemble::{Assembled, assemble, assemble_between, close_before},
    order::merge,
    watch::{TripWatch, advance},
    window::{expand, reach, reading},
};
use proptest::prelude::*;
use uuid::Uuid;

const START_MS: i64 = 1_770_000_000_000;

/// What a vehicle does for a while.
#[derive(Debug, Clone)]
struct Phase {
    seconds: u32,
    every_s: u32,
    /// km/h; below 0 the device is silent.
    kmh: f64,
    noise: f64,
    ignition: Option<bool>,
}

/// What the device tells.
#[derive(Debug, Clone, Copy)]
struct Device {
    speed: bool,
    position: bool,
    odometer_step_km: Option<f64>,
    ignition: bool,
}

fn phase() -> impl Strategy<Value = Phase> {
    let seconds = prop_oneof![5..60u32, 60..400u32, 250..350u32, 400..2000u32];
    let every_s = prop_oneof![3 => Just(1u32), 2 => Just(5u32), 2 => Just(30u32), 1 => Just(60u32), 1 => Just(100u32)];
    let kmh = prop_oneof![2 => Just(-1.0), 2 => Just(0.0), 1 => 1.0..6.0, 3 => 6.0..90.0];
    let ignition = prop_oneof![Just(None), Just(Some(true)), Just(Some(false))];
    (seconds, every_s, kmh, prop_oneof![Just(0.0), 0.0..4.0], ignition).prop_map(
        |(seconds, every_s, kmh, noise, ignition)| Phase {
            seconds,
            every_s,
            kmh,
            noise,
            ignition,
        },
    )
}

fn device() -> impl Strategy<Value = Device> {
    let odometer = prop_oneof![Just(None), Just(Some(0.001)), Just(Some(0.1)), Just(Some(1.0))];
    (any::<bool>(), any::<bool>(), odometer, any::<bool>()).prop_map(|(speed, position, odometer_step_km, ignition)| {
        Device {
            speed,
            position,
            odometer_step_km,
            ignition,
        }
    })
}

fn samples(phases: &[Phase], device: Device) -> Vec<RawSample> {
    samples_from(START_MS, phases, device)
}

fn samples_from(start_ms: i64, phases: &[Phase], device: Device) -> Vec<RawSample> {
    let (mut ms, mut metres) = (start_ms, 0.0);
    let mut wobble = 12_345u64;
    let mut out = Vec::new();
    for phase in phases {
        let end = ms + i64::from(phase.seconds) * 1000;
        while ms < end {
            wobble = wobble
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let noise = ((wobble >> 40) as f64 / f64::from(1 << 24) - 0.5) * phase.noise;
            let kmh = (phase.kmh + noise).max(0.0);
            metres += if phase.kmh > 0.0 {
                kmh / 3.6 * f64::from(phase.every_s)
            } else {
                0.0
            };
            if phase.kmh >= 0.0 {
                let mut sample = Sample::at(EventTime::from_millis(ms).unwrap());
                sample.speed_kmh = device.speed.then_some(kmh);
                if device.position {
                    sample.lat = Some(48.0 + (metres + noise * 5.0) / 111_200.0);
                    sample.lon = Some(11.0 + noise / 10_000.0);
                }
                sample.odometer_km = device
                    .odometer_step_km
                    .map(|step| (metres / 1000.0 / step).floor() * step);
                sample.ignition = phase.ignition.filter(|_| device.ignition);
                out.push(RawSample {
                    sample,
                    accel_frame: AccelFrame::Vehicle,
                    gravity: Gravity::Included,
                    device_rank: 0,
                    driver: None,
                });
            }
            ms += i64::from(phase.every_s) * 1000;
        }
    }
    out
}

fn bounds(trips: &[Assembled]) -> Vec<TripBounds> {
    let ended = trips.iter().map(|found| found.trip.fall_silent().unwrap_or(found.trip));
    ended.map(|trip| trip.bounds().unwrap()).collect()
}

/// A vehicle's raw data and its trips, kept up to date by rebuilding dirty windows.
struct Platform {
    settings: TenantSettings,
    handovers: Vec<DateTime<Utc>>,
    detectors: Vec<Box<dyn Detector>>,
    state: VehicleState,
    raw: Vec<RawSample>,
    trips: Vec<TripBounds>,
    dirty: Vec<DirtyWindow>,
    /// What the last derivation read.
    read: Vec<Window>,
}

impl Platform {
    fn new(trip: TripSettings) -> Self {
        Self {
            settings: TenantSettings {
                trip,
                ..TenantSettings::default()
            },
            handovers: Vec::new(),
            detectors: vec![Box::new(TripWatch)],
            state: VehicleState::new(VehicleId::from_uuid(Uuid::nil())),
            raw: Vec::new(),
            trips: Vec::new(),
            dirty: Vec::new(),
            read: Vec::new(),
        }
    }

    fn accept(&mut self, number: usize, samples: Vec<RawSample>) {
        let vehicle = VehicleId::from_uuid(Uuid::nil());
        let now: DateTime<Utc> = EventTime::from_millis(START_MS).unwrap().utc() + TimeDelta::days(30);
        let batch = NewBatch {
            key: LedgerKey {
                tenant: TenantId::from_uuid(Uuid::nil()),
                vehicle,
                batch_id: BatchId::parse(number.to_string()).unwrap(),
            },
            message: MessageId::from_uuid(Uuid::nil()),
            content_hash: [0; 32],
            source: Source::Http,
            received_at: ReceivedAt::new(now),
            device: None,
            samples: vec![(Subject::Vehicle(vehicle), samples)],
            impacts: Vec::new(),
        };
        let (state, dirty) = advance(self.state.clone(), &batch, &self.settings, &self.detectors, now);
        self.state = state;
        let known = std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|dirty| self.reaching(dirty));
        self.dirty = DirtyWindow::merge_near(known.chain(dirty).collect());
        self.raw
            .extend(batch.samples.into_iter().flat_map(|(_, samples)| samples));
    }

    /// An open window reaches as far as the data does.
    fn reaching(&self, mut dirty: DirtyWindow) -> DirtyWindow {
        if let (Some(_), Some(watermark)) = (dirty.open_s, self.state.watermark) {
            dirty.window.to = dirty.window.to.max(watermark);
        }
        dirty
    }

    fn derive(&mut self) {
        self.read.clear();
        self.state.open = None;
        for dirty in std::mem::take(&mut self.dirty) {
            self.rebuild(self.reaching(dirty).window);
        }
    }

    fn rebuild(&mut self, mut core: Window) {
        let settings = &self.settings.trip;
        let derived = loop {
            let stored: Vec<Window> = self.trips.iter().map(TripBounds::window).collect();
            let grown = expand(core, settings, &stored);
            if grown != core {
                core = grown;
                continue;
            }
            let read = reading(core, settings);
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
            let trips = assemble_between(&merge(within).samples, &self.handovers, settings);
            let derived = bounds(&close_before(trips, later, &self.handovers, settings));
            let windows: Vec<Window> = derived.iter().map(TripBounds::window).collect();
            let grown = expand(core, settings, &windows);
            if grown == core {
                self.read.push(read);
                break derived;
            }
            core = grown;
        };
        self.trips.retain(|trip| !trip.window().overlaps(core));
        self.trips.extend(derived);
        self.trips.sort_by_key(|trip| trip.start);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_arrival_gives_the_same_trips(
        phases in prop::collection::vec(phase(), 1..14),
        device in device(),
        rest_s in prop_oneof![3 => Just(Some(300)), 1 => Just(None), 1 => Just(Some(120))],
        gap_s in prop_oneof![3 => Just(300u32), 1 => Just(200u32)],
        cuts in prop::collection::vec(1..120usize, 1..8),
        order in any::<prop::sample::Index>(),
        seed in any::<u64>(),
        derive_every in 1..6usize,
        sold in prop::collection::vec(0..6_000i64, 0..3),
    ) {
        let settings = TripSettings { rest_s, gap_s, ..TripSettings::default() };
        let all = samples(&phases, device);
        let mut handovers: Vec<DateTime<Utc>> = sold
            .iter()
            .map(|second| EventTime::from_millis(START_MS + second * 1_000).unwrap().utc())
            .collect();
        handovers.sort_unstable();
        let mut batches: Vec<Vec<RawSample>> = Vec::new();
        let (mut at, mut turn) = (0, order.index(cuts.len()));
        while at < all.len() {
            let end = (at + cuts[turn % cuts.len()]).min(all.len());
            batches.push(all[at..end].to_vec());
            (at, turn) = (end, turn + 1);
        }
        let mut keys: Vec<usize> = (0..batches.len()).collect();
        // A third of all runs in order, the others shuffled by the seed.
        if seed % 3 > 0 {
            keys.sort_by_key(|key| (*key as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
        }
        let mut platform = Platform::new(settings.clone());
        platform.handovers.clone_from(&handovers);
        for (count, key) in keys.into_iter().enumerate() {
            platform.accept(key, batches[key].clone());
            if count % derive_every == 0 {
                platform.derive();
            }
        }
        platform.derive();
        let whole = bounds(&assemble_between(&all, &handovers, &settings));
        for trip in &whole {
            let crossed = handovers.iter().find(|at| trip.start.utc() < **at && **at <= trip.end.utc());
            prop_assert_eq!(crossed, None, "{:?} is of two owners", trip);
        }
        prop_assert_eq!(platform.trips, whole);
    }

    /// However much history there is, late data costs what lies around it: the trips within reach, and no other.
    #[test]
    fn late_data_reads_and_changes_its_own_stretch_only(
        days in prop::collection::vec(prop::collection::vec(phase(), 1..5), 3..12),
        device in device(),
        late_day in any::<prop::sample::Index>(),
        late_from in any::<prop::sample::Index>(),
        late_count in 1..50usize,
    ) {
        let day_ms = |day: usize| START_MS + day as i64 * 86_400_000;
        let mut drives: Vec<Vec<RawSample>> = days
            .iter()
            .enumerate()
            .map(|(day, phases)| samples_from(day_ms(day), phases, device))
            .collect();
        let settings = TripSettings::default();
        let all: Vec<RawSample> = drives.concat();
        // Not of the last day: what comes last is never late.
        let late_day = late_day.index(drives.len() - 1);
        prop_assume!(!drives[late_day].is_empty());
        // Days of silence do not count: after them it would be what comes last all the same.
        prop_assume!(drives[late_day + 1..].iter().any(|drive| !drive.is_empty()));
        let from = late_from.index(drives[late_day].len());
        let to = (from + late_count).min(drives[late_day].len());
        let late: Vec<RawSample> = drives[late_day].drain(from..to).collect();
        let mut platform = Platform::new(settings.clone());
        for (day, drive) in drives.iter().enumerate() {
            platform.accept(day, drive.clone());
            platform.derive();
        }
        let before = platform.trips.clone();
        platform.accept(drives.len(), late);
        platform.derive();
        let whole = bounds(&assemble(&all, &settings));
        prop_assert_eq!(&platform.trips, &whole);
        let reach_ms = reach(&settings).num_milliseconds();
        // A day's drive is over well before the next begins, so its stretch holds no sample of another.
        let (first, last) = (day_ms(late_day) - reach_ms, day_ms(late_day) + 8_000_000 + reach_ms);
        for read in &platform.read {
            prop_assert!(first <= read.from.millis() && read.to.millis() <= last, "{read:?} was read");
        }
        let elsewhere = |trips: &[TripBounds]| -> Vec<TripBounds> {
            trips.iter().filter(|trip| trip.end.millis() < first || trip.start.millis() > last).copied().collect()
        };
        prop_assert_eq!(elsewhere(&before), elsewhere(&platform.trips));
    }

    #[test]
    fn after_a_trip_nothing_is_remembered(phases in prop::collection::vec(phase(), 1..14), device in device()) {
        let settings = TripSettings::default();
        let all = samples(&phases, device);
        let whole = assemble(&all, &settings);
        for (index, trip) in whole.iter().enumerate() {
            let rest = assemble(&all[trip.range.end..], &settings);
            let rest: Vec<_> = rest.iter().map(|found| found.trip).collect();
            let wanted: Vec<_> = whole[index + 1..].iter().map(|found| found.trip).collect();
            prop_assert_eq!(rest, wanted);
        }
    }

    #[test]
    fn trips_are_in_order_apart_and_moving(phases in prop::collection::vec(phase(), 1..14), device in device()) {
        let all = samples(&phases, device);
        let trips = assemble(&all, &TripSettings::default());
        let mut ends = BTreeSet::new();
        for pair in trips.windows(2) {
            prop_assert!(pair[0].range.end <= pair[1].range.start);
            prop_assert!(pair[0].trip.bounds().is_some(), "only the last may be open");
        }
        for found in &trips {
            prop_assert!(found.range.start < found.range.end && found.range.end <= all.len());
            prop_assert!(ends.insert(found.range.end));
        }
    }
}
