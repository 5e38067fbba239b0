//! One vehicle's period: its drives in order, standing parked between them, and what happens to it.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    FleetSpec,
    device::{Device, Drive},
    driver::{Driver, Temper},
    habits,
    math::rounded,
    motion::{self, Frame},
    path::Path,
    scenario::{self, Crash, Scenario, TheftKind, Trouble, TrueScenario},
    spec::Period,
    truth::{self, TrueEvent, TrueTrip},
    upload::Stretch,
    world::{Node, World},
};

/// A car that is parked when something is to happen on the road sets out this long before.
const LEAD: TimeDelta = TimeDelta::minutes(4);

/// A drive to make, when and where to.
#[derive(Debug, Clone, Copy)]
struct Plan {
    depart: DateTime<Utc>,
    to: Node,
}

pub(super) struct Life<'a> {
    spec: &'a FleetSpec,
    world: &'a World,
    driver: &'a Driver,
    pub(super) device: Device,
    rng: ChaCha8Rng,
    at: Node,
    begins: DateTime<Utc>,
    until: DateTime<Utc>,
    scenario: Option<Scenario>,
    /// Whether it can still drive.
    fit: bool,
    pub(super) stretches: Vec<Stretch>,
    pub(super) trips: Vec<TrueTrip>,
    pub(super) events: Vec<TrueEvent>,
    pub(super) happened: Option<TrueScenario>,
}

/// What a scenario makes of a drive.
#[derive(Default)]
struct Mishap {
    crash: Option<Crash>,
    trouble: Option<Trouble>,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        spec: &'a FleetSpec,
        (world, driver): (&'a World, &'a Driver),
        device: Device,
        scenario: Option<Scenario>,
        rng: ChaCha8Rng,
    ) -> Self {
        let (begins, until) = spec.period.bounds(spec.time_zone);
        Self {
            spec,
            world,
            driver,
            device,
            rng,
            at: driver.home(),
            begins,
            until,
            scenario,
            fit: true,
            stretches: Vec::new(),
            trips: Vec::new(),
            events: Vec::new(),
            happened: None,
        }
    }

    pub(super) fn live(&mut self, vehicle: &str) {
        match self.spec.period {
            Period::Days { first_day, days } => {
                let zone = self.spec.time_zone;
                let legs = self.driver.legs(first_day, days, &mut self.rng);
                let mut plans: VecDeque<Plan> = legs
                    .into_iter()
                    .map(|leg| Plan {
                        depart: habits::utc(leg.depart, zone),
                        to: leg.to,
                    })
                    .collect();
                while let Some(plan) = plans.pop_front().filter(|_| self.fit) {
                    self.come_to(plan.depart, vehicle);
                    self.go(plan, vehicle);
                }
            }
            Period::Span { .. } => self.drive_all_day(vehicle),
        }
        self.come_to(self.until, vehicle);
        // A car that has crashed has no battery left to report by.
        if !matches!(
            &self.happened,
            Some(TrueScenario {
                asked: Scenario::Crash { .. },
                ..
            })
        ) {
            self.park(self.until);
        }
    }

    /// From one errand to the next, with stops that end a trip by any reading.
    fn drive_all_day(&mut self, vehicle: &str) {
        let seconds = (self.until - self.begins).num_seconds().max(1);
        let mut depart = self.begins + TimeDelta::seconds(self.rng.random_range(0..(seconds / 10).clamp(1, 20)));
        while self.fit && depart < self.until {
            // Of some places the furthest, so that a short run is all driving.
            let here = self.world.node(self.at);
            let errands: Vec<Node> = (0..6)
                .map(|_| self.driver.errand(self.world, self.at, &mut self.rng))
                .collect();
            let away = |node: &Node| self.world.node(*node).distance(here);
            let Some(to) = errands.into_iter().max_by(|a, b| away(a).total_cmp(&away(b))) else {
                return;
            };
            self.come_to(depart, vehicle);
            self.go(Plan { depart, to }, vehicle);
            let stay = TimeDelta::seconds(self.rng.random_range(600..1500));
            depart = self.device.ready_from(self.begins) - super::device::SHORTEST_STAY + stay;
        }
    }

    /// Of some places the furthest, so that a short run is all driving.
    fn somewhere_far(&mut self) -> Node {
        let here = self.world.node(self.at);
        let mut far = self.driver.errand(self.world, self.at, &mut self.rng);
        for _ in 0..5 {
            let other = self.driver.errand(self.world, self.at, &mut self.rng);
            if self.world.node(other).distance(here) > self.world.node(far).distance(here) {
                far = other;
            }
        }
        far
    }

    /// Lets happen what is to happen before `next`, to a car that is parked.
    fn come_to(&mut self, next: DateTime<Utc>, vehicle: &str) {
        let due = |scenario: &mut Scenario| scenario.at() < next;
        let on_the_road = |scenario: &Scenario| !matches!(scenario, Scenario::Theft { .. });
        if !self.fit {
            return;
        }
        match self.scenario.take_if(due) {
            Some(scenario) if on_the_road(&scenario) => {
                let depart = scenario.at() - LEAD;
                self.scenario = Some(scenario);
                let to = self.somewhere_far();
                self.go(Plan { depart, to }, vehicle);
            }
            Some(Scenario::Theft {
                how,
                at,
                vehicle: which,
            }) => {
                let asked = Scenario::Theft {
                    how,
                    at,
                    vehicle: which,
                };
                self.stolen(&asked, how, vehicle);
            }
            _ => {}
        }
    }

    fn go(&mut self, plan: Plan, vehicle: &str) {
        if plan.to == self.at || !self.fit {
            return;
        }
        let depart = self.device.ready_from(plan.depart);
        if depart >= self.until {
            return;
        }
        let mut frames = self.frames(depart, plan.to, &self.driver.temper);
        let mishap = self.mishap(depart, &mut frames);
        let ends = self.cut(depart, &mut frames);
        self.park(depart);
        let drive = Drive {
            depart,
            frames: &frames,
            temper: &self.driver.temper,
            at_night: self.at_night(depart),
            trouble: mishap.trouble.as_ref(),
            crash: mishap.crash.as_ref(),
            hot_wired: false,
            ends,
        };
        self.record(&drive);
        self.at = plan.to;
        if let Some(scenario) = self
            .scenario
            .take_if(|_| mishap.crash.is_some() || mishap.trouble.is_some())
        {
            self.fit = false;
            self.tell(scenario, depart, &mishap, vehicle);
        }
    }

    fn frames(&mut self, depart: DateTime<Utc>, to: Node, temper: &Temper) -> Vec<Frame> {
        let route = self.world.route(self.at, to, &mut self.rng);
        let traffic = habits::traffic(depart, self.spec.time_zone);
        let path = Path::along(self.world, &route, temper, traffic, &mut self.rng);
        motion::drive(&path, temper, self.spec.every_ms.min(1000), &mut self.rng)
    }

    /// Ends the frames where the period ends. Whether the drive still ends by itself.
    fn cut(&self, depart: DateTime<Utc>, frames: &mut Vec<Frame>) -> bool {
        let left_ms = (self.until - depart).num_milliseconds();
        // Days by habits run over midnight: their last drives are whole.
        if matches!(self.spec.period, Period::Days { .. }) {
            return true;
        }
        // The row that says the ignition is off comes a second after the last frame.
        let ends = frames.last().is_none_or(|last| i64::from(last.at_ms) + 1000 < left_ms);
        frames.retain(|frame| i64::from(frame.at_ms) < left_ms);
        ends
    }

    fn mishap(&self, depart: DateTime<Utc>, frames: &mut Vec<Frame>) -> Mishap {
        let Some(scenario) = &self.scenario else {
            return Mishap::default();
        };
        let lasts_ms = frames.last().map_or(0, |last| i64::from(last.at_ms));
        let at_ms = (scenario.at() - depart).num_milliseconds();
        // A drive made for it may be shorter than it takes; one planned for later is too late.
        if at_ms > lasts_ms.max(LEAD.num_milliseconds()) {
            return Mishap::default();
        }
        let at_ms = u32::try_from(at_ms).unwrap_or(0);
        Mishap {
            crash: scenario::crash(frames, at_ms, scenario),
            trouble: scenario::breakdown(frames, at_ms, scenario),
        }
    }

    fn at_night(&self, at: DateTime<Utc>) -> bool {
        let hour = at.with_timezone(&self.spec.time_zone).hour();
        !(5..22).contains(&hour)
    }

    fn record(&mut self, drive: &Drive<'_>) {
        let recording = self.device.record(drive);
        self.events.extend(truth::driven(drive.depart, drive.frames));
        self.events.extend(recording.events);
        self.trips.push(TrueTrip {
            start: drive.depart,
            end: recording.end,
            distance_km: drive.frames.last().map_or(0.0, |last| last.driven_m / 1000.0),
            at_night: drive.at_night,
        });
        self.stretches.push(Stretch {
            driving: true,
            rows: recording.rows,
            impact: recording.impact,
        });
    }

    fn park(&mut self, until: DateTime<Utc>) {
        let mut rows = self.device.park_until(until, &mut self.events);
        // It was parked before the period begins, and nobody asked.
        rows.retain(|row| row.at >= self.begins);
        self.events.retain(|event| event.start >= self.begins);
        self.stretches.push(Stretch {
            rows,
            ..Stretch::default()
        });
    }

    fn stolen(&mut self, asked: &Scenario, how: TheftKind, vehicle: &str) {
        let depart = self.device.ready_from(asked.at());
        let thief = Temper::of_a_thief(&mut self.rng);
        let to = self.somewhere_far();
        let mut frames = self.frames(depart, to, &thief);
        let ends = self.cut(depart, &mut frames);
        self.park(depart);
        self.fit = false;
        match how {
            TheftKind::Towed => {
                let rows = self.device.carried(depart, &frames);
                self.stretches.push(Stretch {
                    driving: true,
                    rows,
                    impact: None,
                });
            }
            TheftKind::Driven => self.record(&Drive {
                depart,
                frames: &frames,
                temper: &thief,
                at_night: self.at_night(depart),
                trouble: None,
                crash: None,
                hot_wired: true,
                ends,
            }),
        }
        let taken_km = frames.last().map_or(0.0, |last| last.driven_m / 1000.0);
        let ended_at = self.device.ready_from(depart) - super::device::SHORTEST_STAY;
        self.happened = Some(TrueScenario {
            distance_km: Some(rounded(taken_km, 1000.0)),
            ..self.ending(asked.clone(), depart, ended_at, vehicle)
        });
    }

    fn tell(&mut self, asked: Scenario, depart: DateTime<Utc>, mishap: &Mishap, vehicle: &str) {
        let since = |ms: u32| depart + TimeDelta::milliseconds(i64::from(ms));
        let ended_at = self.trips.last().map_or(depart, |trip| trip.end);
        self.happened = match mishap {
            Mishap { crash: Some(crash), .. } => Some(TrueScenario {
                delta_v_kmh: Some(rounded(crash.delta_v_ms * 3.6, 10.0)),
                peak_ms2: Some(rounded(crash.peak_ms2(), 10.0)),
                ..self.ending(asked, since(crash.at_ms), ended_at, vehicle)
            }),
            Mishap {
                trouble: Some(trouble), ..
            } => Some(TrueScenario {
                dtc: Some(trouble.dtc.clone()),
                ..self.ending(asked, since(trouble.from_ms), ended_at, vehicle)
            }),
            _ => None,
        };
    }

    fn ending(&self, asked: Scenario, at: DateTime<Utc>, ended_at: DateTime<Utc>, vehicle: &str) -> TrueScenario {
        let (lat, lon) = self.device.position();
        TrueScenario {
            vehicle: vehicle.to_owned(),
            asked,
            at,
            ended_at,
            lat: rounded(lat, 1e6),
            lon: rounded(lon, 1e6),
            delta_v_kmh: None,
            peak_ms2: None,
            distance_km: None,
            dtc: None,
        }
    }
}
