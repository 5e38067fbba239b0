//! The platform held against the truth: are the trips found, and is what was driven billed, by quality of the device?

use std::{collections::BTreeMap, fmt, path::Path};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::trip::TripRecord;
use odograph_store::{TenantStore, TripFilter};

use super::folder;
use crate::cli::{every, table};

/// How far apart a trip and a true one may begin, and end, to be the same.
pub const TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// What a run's trips amounted to, by the quality of what reported them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quality {
    pub vehicles: u32,
    pub true_trips: u32,
    pub matched: u32,
    pub true_km: f64,
    pub billed_km: f64,
    /// Trips that overlap no true one.
    pub extra: u32,
    pub extra_km: f64,
    /// Of those: at a time when a parked car's position wandered.
    pub drift_km: f64,
}

impl Quality {
    pub fn matched_share(&self) -> f64 {
        if self.true_trips == 0 {
            1.0
        } else {
            f64::from(self.matched) / f64::from(self.true_trips)
        }
    }

    /// By how much more or less is billed than was driven.
    pub fn off(&self) -> f64 {
        if self.true_km > 0.0 {
            self.billed_km / self.true_km - 1.0
        } else {
            0.0
        }
    }

    fn add(&mut self, other: &Self) {
        self.vehicles += other.vehicles;
        self.true_trips += other.true_trips;
        self.matched += other.matched;
        self.true_km += other.true_km;
        self.billed_km += other.billed_km;
        self.extra += other.extra;
        self.extra_km += other.extra_km;
        self.drift_km += other.drift_km;
    }
}

/// A true trip that was not found, or a trip that was not driven.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub quality: String,
    pub vehicle: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub km: f64,
    pub missed: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub by_quality: BTreeMap<String, Quality>,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn all(&self) -> Quality {
        let mut all = Quality::default();
        self.by_quality.values().for_each(|quality| all.add(quality));
        all
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    km: f64,
}

impl Span {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// What the truth says of one vehicle.
#[derive(Debug, Default)]
struct Truth {
    quality: String,
    trips: Vec<Span>,
    drifts: Vec<Span>,
}

/// Compares the trips of a tenant with the truth of a run.
pub async fn check(run: &Path, store: &TenantStore) -> Result<Report> {
    let (plan, _) = folder::read(run)?;
    let (from, to) = plan.fleet.period.bounds(plan.fleet.time_zone);
    let mut report = Report::default();
    for (vehicle, truth) in truth(run)? {
        let id = store
            .resolve_vehicle(&vehicle)
            .await?
            .with_context(|| format!("the tenant has no vehicle {vehicle}: send the run first, with --register"))?;
        let filter = TripFilter {
            vehicle: Some(id),
            from: Some(from - TimeDelta::days(1)),
            to: Some(to + TimeDelta::days(2)),
            ..TripFilter::default()
        };
        let mut trips: Vec<TripRecord> = every(|page| store.trips(filter.clone(), page))
            .await?
            .into_iter()
            .map(|row| row.record)
            .collect();
        trips.sort_by_key(|trip| trip.bounds.start);
        let found = compare(&vehicle, &truth, &trips, &mut report.findings);
        report.by_quality.entry(truth.quality).or_default().add(&found);
    }
    Ok(report)
}

/// One to one: a vehicle's true trips do not overlap, so that taking them in order of time finds the most pairs.
fn compare(vehicle: &str, truth: &Truth, trips: &[TripRecord], findings: &mut Vec<Finding>) -> Quality {
    let near = |a: DateTime<Utc>, b: DateTime<Utc>| (a - b).abs() <= TOLERANCE;
    let mut found = Quality {
        vehicles: 1,
        true_trips: u32::try_from(truth.trips.len()).unwrap_or(u32::MAX),
        ..Quality::default()
    };
    let mut finding = |span: &Span, missed| {
        findings.push(Finding {
            quality: truth.quality.clone(),
            vehicle: vehicle.to_owned(),
            start: span.start,
            end: span.end,
            km: span.km,
            missed,
        });
    };
    let mut stored: Vec<Span> = trips.iter().map(span).collect();
    found.billed_km = stored.iter().map(|trip| trip.km).sum();
    for trip in &stored {
        if truth.trips.iter().any(|driven| driven.overlaps(trip)) {
            continue;
        }
        found.extra += 1;
        found.extra_km += trip.km;
        if truth.drifts.iter().any(|drift| drift.overlaps(trip)) {
            found.drift_km += trip.km;
        }
        finding(trip, false);
    }
    for driven in &truth.trips {
        found.true_km += driven.km;
        let same = stored
            .iter()
            .position(|trip| near(trip.start, driven.start) && near(trip.end, driven.end));
        match same {
            Some(place) => {
                stored.remove(place);
                found.matched += 1;
            }
            None => finding(driven, true),
        }
    }
    found
}

fn span(trip: &TripRecord) -> Span {
    Span {
        start: trip.bounds.start.utc(),
        end: trip.bounds.end.utc(),
        km: trip.features.mileage.billable_m / 1000.0,
    }
}

/// The truth by vehicle, from the files that the run wrote.
fn truth(run: &Path) -> Result<BTreeMap<String, Truth>> {
    let mut truth: BTreeMap<String, Truth> = BTreeMap::new();
    for row in rows(run, "vehicles.csv", &["vehicle", "device", "odometer"])? {
        truth.entry(row[0].clone()).or_default().quality = format!("{}, odometer {}", row[1], row[2]);
    }
    for row in rows(run, "trips.csv", &["vehicle", "start", "end", "km"])? {
        let km = row[3]
            .parse()
            .with_context(|| format!("truth/trips.csv: wanted kilometres, got {:?}", row[3]))?;
        let (start, end) = (time(&row[1])?, time(&row[2])?);
        truth
            .entry(row[0].clone())
            .or_default()
            .trips
            .push(Span { start, end, km });
    }
    for row in rows(run, "events.csv", &["vehicle", "kind", "start", "end"])? {
        if row[1] == "parked_drift" {
            let (start, end) = (time(&row[2])?, time(&row[3])?);
            truth
                .entry(row[0].clone())
                .or_default()
                .drifts
                .push(Span { start, end, km: 0.0 });
        }
    }
    Ok(truth)
}

/// The columns wanted, of a file that this program wrote: it has no quotes.
fn rows(run: &Path, name: &str, wanted: &[&str]) -> Result<Vec<Vec<String>>> {
    let path = run.join("truth").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let places = wanted.iter().map(|column| {
        let place = header.iter().position(|name| name == column);
        place.with_context(|| format!("{} has no column {column}", path.display()))
    });
    let places: Vec<usize> = places.collect::<Result<_>>()?;
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |place: &usize| cells.get(*place).copied().unwrap_or_default().to_owned();
        places.iter().map(cell).collect()
    };
    Ok(lines.map(row).collect())
}

fn time(text: &str) -> Result<DateTime<Utc>> {
    text.parse().with_context(|| format!("wanted a time, got {text:?}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |name: &str, quality: &Quality| {
            vec![
                name.to_owned(),
                quality.vehicles.to_string(),
                quality.true_trips.to_string(),
                quality.matched.to_string(),
                format!("{:.2} %", 100.0 * quality.matched_share()),
                format!("{:.1}", quality.true_km),
                format!("{:.1}", quality.billed_km),
                format!("{:+.2} %", 100.0 * quality.off()),
                quality.extra.to_string(),
                format!("{:.2}", quality.extra_km),
                format!("{:.2}", quality.drift_km),
            ]
        };
        let mut rows: Vec<_> = self
            .by_quality
            .iter()
            .map(|(name, quality)| row(name, quality))
            .collect();
        rows.push(row("all", &self.all()));
        let header = [
            "quality",
            "vehicles",
            "trips",
            "found",
            "found",
            "km",
            "billed km",
            "off",
            "extra",
            "extra km",
            "drift km",
        ];
        let mut table = table::render(&header, rows);
        table::figures(&mut table, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        write!(f, "{table}")
    }
}
