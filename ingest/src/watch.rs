//! The live side of trips: what each batch hints about trips starting and ending, and so when to derive them.
//!
//! Hints, not trips: a false one costs a rebuild, a missed one waits for the silence timer.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    batch::RawSample,
    detect::{Detector, Finding, Step},
    intake::{DirtyWindow, NewBatch, VehicleState},
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

    fn step(&self, state: &Value, samples: &[RawSample], settings: &TenantSettings) -> Step {
        let mut hints = Hints::read(state);
        let mut findings = Vec::new();
        let seen_until = hints.last_ms;
        let mut late: Option<Window> = None;
        for raw in samples {
            let ts = raw.sample.ts;
            if seen_until.is_some_and(|seen| ts.millis() <= seen) {
                let here = Window { from: ts, to: ts };
                late = Some(late.map_or(here, |window| window.union(here)));
            } else {
                hints.note(&raw.sample, settings, &mut findings);
            }
        }
        findings.extend(late.map(|window| Finding::LateData { window }));
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

/// Moves a vehicle's state on by one accepted batch, and says what must be derived and when: at once where a trip has
/// ended or data came late, else when the vehicle has been silent for [`odograph_domain::settings::TripSettings::gap_s`].
/// No window where the batch brought no samples.
pub fn advance(
    mut state: VehicleState,
    batch: &NewBatch,
    settings: &TenantSettings,
    detectors: &[Box<dyn Detector>],
    now: DateTime<Utc>,
) -> (VehicleState, Option<DirtyWindow>) {
    state.last_received_at = state.last_received_at.max(Some(batch.received_at));
    let mut samples: Vec<RawSample> = batch
        .samples
        .iter()
        .flat_map(|(_, of_subject)| of_subject)
        .cloned()
        .collect();
    samples.sort_by_key(|raw| raw.sample.ts);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return (state, None);
    };
    let mut window = Window {
        from: first.sample.ts,
        to: last.sample.ts,
    };
    state.watermark = state.watermark.max(Some(window.to));

    let mut at_once = false;
    for detector in detectors {
        let known = state.detectors.get(detector.name()).unwrap_or(&Value::Null);
        let step = detector.step(known, &samples, settings);
        state.detectors.insert(detector.name().to_owned(), step.state);
        for finding in step.findings {
            at_once |= !matches!(finding, Finding::TripStarted { .. });
            window = window.union(match finding {
                Finding::TripStarted { at } | Finding::TripEnded { at } => Window { from: at, to: at },
                Finding::LateData { window } => window,
            });
        }
    }
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
    let dirty = DirtyWindow {
        tenant: batch.key.tenant,
        vehicle: batch.key.vehicle,
        window,
        due_at,
        at_once,
    };
    (state, Some(dirty))
}
