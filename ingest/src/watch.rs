//! The live side of trips: what each batch hints about trips starting and ending, and so when to derive them.
//!
//! Hints, not trips: a false one costs a rebuild, a missed one waits for the silence timer.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    batch::RawSample,
    correction::{Cause, Why},
    detect::{Detector, Finding, Step},
    intake::{DirtyWindow, NewBatch, OpenWindow, VehicleState},
    sample::Sample,
    settings::TenantSettings,
    time::{EventTime, Window},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::assemble::Fix;

/// A parked car that keeps reporting is looked at this often; its reports would push a silence timer on for ever.
const PARKED: TimeDelta = TimeDelta::hours(1);

/// Notices trips that start and end, and late data.
#[derive(Debug, Clone, Copy, Default)]
pub struct TripWatch;

/// What is kept between batches. Times in ms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Hints {
    last_ms: Option<i64>,
    /// Since when it has been moving without rest.
    moving_since_ms: Option<i64>,
    last_moving_ms: Option<i64>,
    /// Whether it moved since the last trip was over.
    moved: bool,
    started: bool,
    ignition: Option<bool>,
    odometer_km: Option<f64>,
    /// Where it was last seen to have gone.
    place: Option<(f64, f64)>,
}

impl Detector for TripWatch {
    fn name(&self) -> &'static str {
        "trip_watch"
    }

    fn step(&self, state: &Value, samples: &[&RawSample], settings: &TenantSettings) -> Step {
        let mut hints = Hints::read(state);
        let mut findings = Vec::new();
        let seen_until = hints.last_ms;
        let mut late: Vec<EventTime> = Vec::new();
        for raw in samples {
            let ts = raw.sample.ts;
            if seen_until.is_some_and(|seen| ts.millis() <= seen) {
                late.push(ts);
            } else {
                hints.note(&raw.sample, settings, &mut findings);
            }
        }
        findings.extend(runs(&late).into_iter().map(|window| Finding::LateData { window }));
        Step {
            state: serde_json::to_value(&hints).unwrap_or_default(),
            findings,
        }
    }
}

impl Hints {
    fn read(state: &Value) -> Self {
        serde_json::from_value(state.clone()).unwrap_or_default()
    }

    fn note(&mut self, sample: &Sample, settings: &TenantSettings, findings: &mut Vec<Finding>) {
        let trip = &settings.trip;
        let now = sample.ts.millis();
        if let Some(last_ms) = self.last_ms
            && now - last_ms > i64::from(trip.gap_s) * 1000
        {
            self.over(EventTime::from_millis(last_ms), findings);
        }
        self.last_ms = Some(now);
        let fell = self.ignition == Some(true) && sample.ignition == Some(false);
        self.ignition = sample.ignition.or(self.ignition);
        match self.moves(sample, trip.moving_kmh) {
            Some(true) => {
                let since = *self.moving_since_ms.get_or_insert(now);
                self.last_moving_ms = Some(now);
                self.moved = true;
                if !self.started && now - since >= i64::from(trip.sustained_s) * 1000 {
                    self.started = true;
                    findings.extend(EventTime::from_millis(since).map(|at| Finding::TripStarted { at }));
                }
            }
            Some(false) => {
                self.moving_since_ms = None;
                let rested_ms = self.last_moving_ms.map_or(0, |last| now - last);
                if trip.rest_s.is_some_and(|rest_s| rested_ms >= i64::from(rest_s) * 1000) {
                    self.over(self.last_moving_ms.and_then(EventTime::from_millis), findings);
                }
            }
            None => {}
        }
        if fell {
            self.over(Some(sample.ts), findings);
        }
    }

    fn over(&mut self, at: Option<EventTime>, findings: &mut Vec<Finding>) {
        if self.moved {
            findings.extend(at.map(|at| Finding::TripEnded { at }));
        }
        self.moved = false;
        self.started = false;
        self.moving_since_ms = None;
    }

    /// `None` where the sample does not say.
    fn moves(&mut self, sample: &Sample, moving_kmh: f64) -> Option<bool> {
        let odometer = sample
            .odometer_km
            .map(|km| self.odometer_km.replace(km).is_some_and(|last| km > last));
        let place = Fix::of(sample).map(|fix| {
            let (lat, lon) = self.place.unwrap_or(fix.degrees());
            let gone = fix.distance_m(&Fix::at(lat, lon)) >= 100.0;
            if gone || self.place.is_none() {
                self.place = Some(fix.degrees());
            }
            gone
        });
        match sample.speed_kmh {
            Some(kmh) => Some(kmh >= moving_kmh || odometer == Some(true) && place == Some(true)),
            None => match (odometer, place) {
                (None, None) => None,
                (odometer, place) => Some(odometer == Some(true) || place == Some(true)),
            },
        }
    }
}

/// Moves a vehicle's state on by one accepted batch, and says what must be derived, when and why: at once where a trip has
/// ended or data came late, else when the vehicle has been silent for [`odograph_domain::settings::TripSettings::gap_s`].
/// A batch whose samples lie far apart makes a window of each part; one without samples makes none.
pub fn advance(
    mut state: VehicleState,
    batch: &NewBatch,
    settings: &TenantSettings,
    detectors: &[Box<dyn Detector>],
    now: DateTime<Utc>,
) -> (VehicleState, Vec<DirtyWindow>) {
    state.last_received_at = state.last_received_at.max(Some(batch.received_at));
    let mut samples: Vec<&RawSample> = batch.samples.iter().flat_map(|(_, of_subject)| of_subject).collect();
    samples.sort_by_key(|raw| raw.sample.ts);
    let Some(last) = samples.last() else {
        return (state, Vec::new());
    };
    let seen_until = state.watermark;
    state.watermark = seen_until.max(Some(last.sample.ts));

    let mut windows: Vec<(Window, Why)> = Vec::new();
    let mut at_once = false;
    for detector in detectors {
        let known = state.detectors.get(detector.name()).unwrap_or(&Value::Null);
        let step = detector.step(known, &samples, settings);
        state.detectors.insert(detector.name().to_owned(), step.state);
        for finding in step.findings {
            at_once |= !matches!(finding, Finding::TripStarted { .. });
            windows.push(match finding {
                Finding::TripStarted { at } | Finding::TripEnded { at } => (Window { from: at, to: at }, Why::NewData),
                Finding::LateData { window } => (window, Why::LateData),
            });
        }
    }
    let late = |at: EventTime| {
        windows
            .iter()
            .any(|(window, why)| *why == Why::LateData && window.contains(at))
    };
    let fresh: Vec<EventTime> = samples
        .iter()
        .map(|raw| raw.sample.ts)
        .filter(|at| !late(*at))
        .collect();
    windows.extend(runs(&fresh).into_iter().map(|window| (window, Why::NewData)));
    // What follows also shows how what was last seen ended, however long ago that was.
    let reached = seen_until.filter(|_| !fresh.is_empty());
    windows.extend(reached.map(|at| (Window { from: at, to: at }, Why::NewData)));

    let parked = state
        .detectors
        .get(TripWatch.name())
        .is_some_and(|hints| !Hints::read(hints).moved);
    let silence = batch.received_at.utc() + TimeDelta::seconds(i64::from(settings.trip.gap_s));
    let (due_at, at_once) = match (at_once, parked) {
        (true, _) => (now, true),
        // `at_once` so that the next report does not push it on.
        (false, true) => (batch.received_at.utc() + PARKED, true),
        (false, false) => (silence, false),
    };
    let due = OpenWindow { due_at, at_once };
    if stands_for(state.open, due) {
        windows.retain(|(_, why)| *why == Why::LateData);
    } else if windows.iter().any(|(_, why)| *why == Why::NewData) {
        state.open = Some(due);
    }
    let dirty = windows.into_iter().map(|(window, why)| DirtyWindow {
        tenant: batch.key.tenant,
        vehicle: batch.key.vehicle,
        window,
        due_at,
        at_once,
        cause: Cause::of(why),
        open_s: (why == Why::NewData).then_some(settings.trip.gap_s),
    });
    let mut merged = DirtyWindow::merge_near(dirty.collect());
    for dirty in &mut merged {
        dirty.cause.batches = 1;
    }
    (state, merged)
}

/// Whether new data that makes a window due then need not be told of: one is open, and due early enough.
fn stands_for(open: Option<OpenWindow>, due: OpenWindow) -> bool {
    open.is_some_and(|open| match (open.at_once, due.at_once) {
        // A timer is pushed on by itself.
        (false, false) => true,
        (true, _) => open.due_at <= due.due_at,
        (false, true) => false,
    })
}

/// The stretches that times in order lie in, parted where [`DirtyWindow::NEAR`] parts them.
fn runs(times: &[EventTime]) -> Vec<Window> {
    times
        .chunk_by(|one, next| *next - *one <= DirtyWindow::NEAR)
        .filter_map(|run| {
            Some(Window {
                from: *run.first()?,
                to: *run.last()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use odograph_domain::{
        batch::{AccelFrame, BatchId, Gravity},
        envelope::Source,
        id::{MessageId, TenantId, VehicleId},
        intake::{LedgerKey, Subject},
        time::ReceivedAt,
    };
    use uuid::Uuid;

    use super::*;

    const START_MS: i64 = 1_770_000_000_000;

    fn batch(rows: impl IntoIterator<Item = (i64, f64)>) -> NewBatch {
        let vehicle = VehicleId::from_uuid(Uuid::nil());
        let raw = |(second, kmh): (i64, f64)| {
            let mut sample = Sample::at(EventTime::from_millis(START_MS + second * 1000).unwrap());
            sample.speed_kmh = Some(kmh);
            RawSample {
                sample,
                accel_frame: AccelFrame::Vehicle,
                gravity: Gravity::Included,
                device_rank: 0,
                driver: None,
            }
        };
        NewBatch {
            key: LedgerKey {
                tenant: TenantId::from_uuid(Uuid::nil()),
                vehicle,
                batch_id: BatchId::parse("b").unwrap(),
            },
            message: MessageId::from_uuid(Uuid::nil()),
            content_hash: [0; 32],
            source: Source::Http,
            received_at: ReceivedAt::from_millis(START_MS + 5_000_000).unwrap(),
            device: None,
            samples: vec![(Subject::Vehicle(vehicle), rows.into_iter().map(raw).collect())],
            impacts: Vec::new(),
        }
    }

    /// As if all that was dirty before had been derived.
    fn accept(mut state: VehicleState, batch: &NewBatch) -> (VehicleState, Vec<DirtyWindow>) {
        state.open = None;
        accept_beside(state, batch)
    }

    fn accept_beside(state: VehicleState, batch: &NewBatch) -> (VehicleState, Vec<DirtyWindow>) {
        let now = EventTime::from_millis(START_MS + 6_000_000).unwrap().utc();
        advance(state, batch, &TenantSettings::default(), &[Box::new(TripWatch)], now)
    }

    #[track_caller]
    fn only(mut dirty: Vec<DirtyWindow>) -> DirtyWindow {
        assert_eq!(dirty.len(), 1, "{dirty:?}");
        dirty.remove(0)
    }

    #[test]
    fn an_old_sample_beside_new_ones_makes_a_window_of_its_own() {
        let state = VehicleState::new(VehicleId::from_uuid(Uuid::nil()));
        let (state, _) = accept(state, &batch((0..60).map(|s| (s, 50.0))));
        let year = 365 * 86_400;
        let (_, dirty) = accept(
            state,
            &batch([(-year, 50.0), (60 - year, 50.0), (60, 50.0), (61, 50.0)]),
        );
        let told: Vec<_> = dirty
            .into_iter()
            .map(|dirty| {
                let (from, to) = (dirty.window.from.millis(), dirty.window.to.millis());
                (
                    (from - START_MS) / 1000,
                    (to - from) / 1000,
                    dirty.cause.why,
                    dirty.cause.batches,
                )
            })
            .collect();
        let late = (-year, 60, [Why::LateData].into(), 1);
        let new = (59, 2, [Why::NewData].into(), 1);
        assert_eq!(told, [late, new]);
    }

    #[test]
    fn a_trip_under_way_waits_for_silence_and_one_that_ended_does_not() {
        let state = VehicleState::new(VehicleId::from_uuid(Uuid::nil()));
        let (state, dirty) = accept(state, &batch((0..60).map(|s| (s, 50.0))));
        let dirty = only(dirty);
        assert!(!dirty.at_once);
        assert_eq!(dirty.cause.why, [Why::NewData].into());
        assert_eq!(dirty.due_at.timestamp_millis(), START_MS + 5_300_000);

        let (state, dirty) = accept(state, &batch((60..400).map(|s| (s, 0.0))));
        assert!(only(dirty).at_once);
        let (state, dirty) = accept(state, &batch((400..500).map(|s| (s, 0.0))));
        assert_eq!(
            only(dirty).due_at.timestamp_millis(),
            START_MS + 5_000_000 + PARKED.num_milliseconds()
        );

        let (state, dirty) = accept(state, &batch([(30, 51.0)]));
        let dirty = only(dirty);
        assert!(dirty.at_once);
        assert_eq!(dirty.window.from, dirty.window.to);
        assert_eq!((dirty.cause.why, dirty.cause.batches), ([Why::LateData].into(), 1));
        assert_eq!(state.watermark.unwrap().millis(), START_MS + 499_000);
    }

    #[test]
    fn while_a_trip_goes_on_its_window_is_told_of_once() {
        let drive = |from: i64| batch((from..from + 60).map(|s| (s, 50.0)));
        let (state, dirty) = accept(VehicleState::new(VehicleId::from_uuid(Uuid::nil())), &drive(0));
        assert_eq!(only(dirty).open_s, Some(300));
        let (state, dirty) = accept_beside(state, &drive(60));
        assert_eq!(dirty, []);
        // Late data is its own matter, and so is the end.
        let (state, dirty) = accept_beside(state, &batch([(30, 51.0)]));
        let late = only(dirty);
        assert_eq!((late.cause.why, late.open_s), ([Why::LateData].into(), None));
        let (state, dirty) = accept_beside(state, &batch((120..480).map(|s| (s, 0.0))));
        assert!(only(dirty).at_once);
        let (_, dirty) = accept_beside(state, &batch((480..500).map(|s| (s, 0.0))));
        assert_eq!(dirty, [], "it is due at once already");
    }

    #[test]
    fn the_first_data_after_a_gap_reaches_back_to_it() {
        let state = VehicleState::new(VehicleId::from_uuid(Uuid::nil()));
        let (state, _) = accept(state, &batch((0..60).map(|s| (s, 50.0))));
        let (_, dirty) = accept(state, &batch([(4000, 0.0)]));
        let dirty = only(dirty);
        assert!(dirty.at_once);
        assert_eq!(
            (dirty.window.from.millis(), dirty.window.to.millis()),
            (START_MS + 59_000, START_MS + 4_000_000)
        );
    }

    /// A trip that the hints took to be over long before the trip function does gets its end all the same.
    #[test]
    fn data_after_days_reaches_back_even_where_nothing_seemed_to_move() {
        let state = VehicleState::new(VehicleId::from_uuid(Uuid::nil()));
        let (state, _) = accept(state, &batch((0..60).map(|s| (s, 0.0))));
        let (_, dirty) = accept(state, &batch([(86_400, 0.0)]));
        let instants: Vec<_> = dirty
            .iter()
            .map(|dirty| dirty.window.from.millis() - START_MS)
            .collect();
        assert_eq!(instants, [59_000, 86_400_000]);
    }

    #[test]
    fn a_state_that_does_not_read_and_a_batch_without_samples_do_no_harm() {
        let mut state = VehicleState::new(VehicleId::from_uuid(Uuid::nil()));
        state.detectors.insert("trip_watch".into(), Value::from("old"));
        let (state, dirty) = accept(state, &batch([]));
        assert_eq!(dirty, []);
        only(accept(state, &batch([(0, 50.0)])).1);
    }
}
