//! What a new run is asked to be.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use clap::Args;
use odograph_domain::clock::Clock as _;
use serde::de::DeserializeOwned;

use crate::{
    fleet::{Centre, DeviceKind, FleetSpec, Mix, Period, Rates, Scenario, ScenarioFile, Which, local_time},
    root::System,
    simulate::{Format, Order, Plan, Target},
};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Folder of the run: telemetry, truth, and how far it has come.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Begin anew in a folder that holds a run.
    #[arg(long)]
    pub(super) force: bool,
    /// Size of the fleet. A larger fleet begins with the smaller one.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Fleet")]
    vehicles: u32,
    /// The same seed, the same fleet.
    #[arg(long, default_value_t = 1, help_heading = "Fleet")]
    seed: u64,
    /// What references begin with: PREFIX-vehicle-001, PREFIX-driver-001.
    #[arg(long, default_value = "sim", help_heading = "Fleet")]
    prefix: String,
    /// Devices: one kind, or weights such as builtin=3,phone=1. Kinds: builtin, blackbox, obd, phone, mileage.
    #[arg(long, value_name = "KINDS", value_parser = mix, help_heading = "Fleet")]
    quality: Option<Mix>,
    /// Local days that everybody drives by his habits.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3660), conflicts_with = "duration", help_heading = "Time and place")]
    days: Option<u32>,
    /// Instead of days: a stretch in which every vehicle is on its way (300s, 5m, 2h). From a whole day on (1d), days.
    #[arg(long, value_parser = duration, help_heading = "Time and place")]
    duration: Option<u32>,
    /// First local day, or the moment a duration begins at (RFC 3339, or `now`).
    #[arg(
        long,
        default_value = "2026-05-04",
        value_name = "DATE|TIME",
        help_heading = "Time and place"
    )]
    start: String,
    /// The drivers' time zone, such as America/Chicago: they get up, commute and sleep by it.
    #[arg(long, default_value = "Europe/Berlin", help_heading = "Time and place")]
    time_zone: Tz,
    /// Middle of the town: latitude and longitude in degrees.
    #[arg(long, default_value = "51.0,9.0", value_parser = centre, allow_hyphen_values = true, value_name = "LAT,LON", help_heading = "Time and place")]
    centre: Centre,
    /// Samples a second while driving: 10, 5, 2, 1, or less in whole seconds (0.5, 0.2, 0.1).
    #[arg(long, default_value = "1", value_parser = every_ms, help_heading = "Telemetry")]
    rate_hz: u32,
    /// Nothing goes wrong: no faults of devices or of the network. Noise and quantisation remain.
    #[arg(long, conflicts_with = "rates", help_heading = "Telemetry")]
    clean: bool,
    /// How often things go wrong, as JSON: only what differs from the defaults.
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    rates: Option<PathBuf>,
    /// Crashes, thefts and breakdowns to happen, as JSON. May be repeated.
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    scenario: Vec<PathBuf>,
    /// Years of claims before the telemetry begins, in truth/claims.csv.
    #[arg(long, default_value_t = 0.0, help_heading = "Telemetry")]
    claims_history_years: f64,
    /// Files of telemetry to write. Without this, csv; none where the run sends.
    #[arg(long, value_enum, help_heading = "Output")]
    format: Option<Format>,
    /// Do not compress files of telemetry.
    #[arg(long, help_heading = "Output")]
    plain: bool,
    /// Order of batches: vehicle by vehicle, or as a platform would see them. Without this, by vehicle; by time with --speed.
    #[arg(long, value_enum, help_heading = "Output")]
    order: Option<Order>,
    /// Send batches as well: an address such as http://127.0.0.1:8080, or `amqp` for the configured queue.
    #[arg(long, value_name = "WHERE", help_heading = "Sending")]
    to: Option<String>,
    /// Times faster than life; 1 is real time. Without this, as fast as it goes.
    #[arg(long, help_heading = "Sending")]
    speed: Option<f64>,
    /// Name or id of the tenant, for --to amqp.
    #[arg(long, help_heading = "Sending")]
    tenant: Option<String>,
    /// Create vehicles, drivers and policies that the tenant does not know.
    #[arg(long, requires = "to", help_heading = "Sending")]
    register: bool,
    /// Rating plan of the policies made by --register, by name; through the queue made with example terms where there is
    /// none.
    #[arg(long, default_value = "standard", help_heading = "Sending")]
    plan: String,
    /// Only put batches into the queue, for workers elsewhere.
    #[arg(long, help_heading = "Sending")]
    no_work: bool,
}

impl Options {
    pub(super) fn plan(&self) -> Result<Plan> {
        let sends = self.to.is_some();
        let order = self.order.unwrap_or(if self.speed.is_some() {
            Order::Time
        } else {
            Order::Vehicle
        });
        let format = self.format.unwrap_or(match (sends, order) {
            (true, _) => Format::None,
            (false, Order::Vehicle) => Format::Csv,
            (false, Order::Time) => Format::Ndjson,
        });
        if order == Order::Time && format.csv() {
            bail!("a CSV is by vehicle: --order time goes with --format ndjson");
        }
        if self.speed.is_some() {
            ensure!(
                order == Order::Time,
                "--speed needs batches in order of time: --order time"
            );
            ensure!(sends, "--speed is for a run that sends: give --to");
        }
        if let Some(speed) = self.speed {
            ensure!(
                speed.is_finite() && speed > 0.0,
                "--speed: wanted a number above 0, got {speed}"
            );
        }
        Ok(Plan {
            fleet: self.fleet()?,
            format,
            gzip: !self.plain,
            order,
            target: self.target()?,
            speed: self.speed,
        })
    }

    fn fleet(&self) -> Result<FleetSpec> {
        ensure!(
            (1..=60).contains(&self.prefix.len())
                && self
                    .prefix
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
            "--prefix: wanted 1 to 60 letters, digits, - _ or ., got {:?}",
            self.prefix
        );
        ensure!(
            (0.0..=200.0).contains(&self.claims_history_years),
            "--claims-history-years: wanted 0 to 200, got {}",
            self.claims_history_years
        );
        let rates = match &self.rates {
            Some(file) => json(file)?,
            None if self.clean => Rates::CLEAN,
            None => Rates::default(),
        };
        rates.check().map_err(|cause| anyhow::anyhow!("--rates: {cause}"))?;
        Ok(FleetSpec {
            seed: self.seed,
            vehicles: self.vehicles as usize,
            prefix: self.prefix.clone(),
            period: self.period()?,
            time_zone: self.time_zone,
            centre: self.centre,
            every_ms: self.rate_hz,
            mix: self.quality.unwrap_or_default(),
            rates,
            scenarios: self.scenarios()?,
            claims_history_years: self.claims_history_years,
        })
    }

    fn period(&self) -> Result<Period> {
        const DAY_S: u32 = 86_400;
        let seconds = self.duration.unwrap_or(self.days.unwrap_or(1) * DAY_S);
        let (moment, day) = self.start()?;
        if seconds.is_multiple_of(DAY_S) {
            return Ok(Period::Days {
                first_day: day,
                days: seconds / DAY_S,
            });
        }
        ensure!(
            seconds < DAY_S,
            "--duration: wanted less than a day, or whole days, got {seconds} s"
        );
        // A day alone says nothing of the hour: in the morning.
        let eight = NaiveTime::from_hms_opt(8, 0, 0).unwrap_or_default();
        let start = moment.unwrap_or_else(|| local_time(day.and_time(eight), self.time_zone));
        Ok(Period::Span { start, seconds })
    }

    /// The moment, where one is given, and its local day.
    fn start(&self) -> Result<(Option<DateTime<Utc>>, NaiveDate)> {
        if let Ok(day) = self.start.parse::<NaiveDate>() {
            return Ok((None, day));
        }
        let moment = if self.start == "now" {
            System.now()
        } else {
            let read = DateTime::parse_from_rfc3339(&self.start);
            read.with_context(|| {
                format!(
                    "--start: wanted a day (2026-05-04), a time (2026-05-04T08:00:00Z) or now, got {:?}",
                    self.start
                )
            })?
            .with_timezone(&Utc)
        };
        Ok((Some(moment), moment.with_timezone(&self.time_zone).date_naive()))
    }

    fn scenarios(&self) -> Result<Vec<Scenario>> {
        let mut scenarios: Vec<Scenario> = Vec::new();
        for file in &self.scenario {
            let read: ScenarioFile = json(file)?;
            for (place, scenario) in read.scenarios.into_iter().enumerate() {
                let named = || format!("{}: scenarios[{place}]", file.display());
                scenario
                    .check()
                    .map_err(|cause| anyhow::anyhow!("{}.{cause}", named()))?;
                self.is_there(scenario.vehicle()).with_context(named)?;
                ensure!(
                    scenarios.iter().all(|other| other.vehicle() != scenario.vehicle()),
                    "{}: one scenario a vehicle, and it has one already",
                    named()
                );
                scenarios.push(scenario);
            }
        }
        Ok(scenarios)
    }

    fn is_there(&self, which: &Which) -> Result<()> {
        let there = match which {
            Which::Number(number) => (1..=self.vehicles as usize).contains(number),
            Which::Reference(name) => name
                .strip_prefix(&format!("{}-vehicle-", self.prefix))
                .and_then(|number| number.parse::<u32>().ok())
                .is_some_and(|number| (1..=self.vehicles).contains(&number)),
        };
        ensure!(
            there,
            "vehicle: the fleet has numbers 1 to {}, got {which:?}",
            self.vehicles
        );
        Ok(())
    }

    fn target(&self) -> Result<Target> {
        Ok(match self.to.as_deref() {
            None => {
                ensure!(self.tenant.is_none(), "--tenant is for --to amqp");
                Target::Nowhere
            }
            Some("amqp" | "queue") => Target::Queue {
                tenant: self.tenant.clone().context("--to amqp needs --tenant")?,
                register: self.register.then(|| self.plan.clone()),
                work: !self.no_work,
            },
            Some(url) if url.starts_with("http://") => {
                ensure!(
                    self.tenant.is_none(),
                    "over HTTP the credentials say the tenant: --tenant is for --to amqp"
                );
                Target::Http {
                    url: url.to_owned(),
                    register: self.register.then(|| self.plan.clone()),
                }
            }
            Some(other) => bail!("--to: wanted an address that begins with http://, or amqp, got {other:?}"),
        })
    }
}

/// Reads a JSON file; an error names the place in it.
fn json<T: DeserializeOwned>(file: &std::path::Path) -> Result<T> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let read = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text));
    read.map_err(|error| anyhow::anyhow!("{}: at {}: {}", file.display(), error.path(), error.inner()))
}

fn mix(text: &str) -> Result<Mix, String> {
    if text == "mix" {
        return Ok(Mix::default());
    }
    let mut mix = Mix::NONE;
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
        let kind = DeviceKind::parse(name.trim())
            .ok_or_else(|| format!("wanted builtin, blackbox, obd, phone, mileage or mix, got {name:?}"))?;
        *mix.weight(kind) = weight
            .trim()
            .parse()
            .ok()
            .filter(|weight| *weight <= 1_000_000)
            .ok_or_else(|| format!("wanted a weight, a whole number, got {weight:?}"))?;
    }
    if mix.total() == 0 {
        Err("wanted at least one kind".to_owned())
    } else {
        Ok(mix)
    }
}

fn duration(text: &str) -> Result<u32, String> {
    let wanted = || format!("wanted a duration such as 300s, 5m, 2h or 1d, got {text:?}");
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let unit = text.chars().last().ok_or_else(wanted)?;
    let seconds = units.iter().find(|(name, _)| *name == unit).ok_or_else(wanted)?.1;
    let count: u32 = text[..text.len() - unit.len_utf8()]
        .trim()
        .parse()
        .map_err(|_| wanted())?;
    count
        .checked_mul(seconds)
        .filter(|seconds| (10..=3660 * 86_400).contains(seconds))
        .ok_or_else(|| format!("wanted ten seconds to ten years, got {text:?}"))
}

fn every_ms(text: &str) -> Result<u32, String> {
    let wanted = || format!("wanted 10, 5, 2, 1, or a rate of whole seconds such as 0.5 or 0.1, got {text:?}");
    let hz: f64 = text.parse().map_err(|_| wanted())?;
    if !(0.01..=10.0).contains(&hz) {
        return Err(wanted());
    }
    let ms = (1000.0 / hz).round() as u32;
    if matches!(ms, 100 | 200 | 500 | 1000) {
        return Ok(ms);
    }
    let seconds = (1.0 / hz).round();
    // 0.033 is meant as every 30 s.
    if hz < 1.0 && (1.0 / hz - seconds).abs() < 0.02 * seconds {
        return Ok(seconds as u32 * 1000);
    }
    Err(wanted())
}

fn centre(text: &str) -> Result<Centre, String> {
    let wanted = || {
        format!("wanted latitude and longitude such as 48.14,11.58 (within 75 degrees of the equator), got {text:?}")
    };
    let (lat, lon) = text.split_once(',').ok_or_else(wanted)?;
    let centre = Centre {
        lat: lat.trim().parse().map_err(|_| wanted())?,
        lon: lon.trim().parse().map_err(|_| wanted())?,
    };
    if centre.lat.abs() <= 75.0 && centre.lon.abs() <= 180.0 {
        Ok(centre)
    } else {
        Err(wanted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_or_say_what_was_wanted() {
        assert_eq!(duration("300s"), Ok(300));
        assert_eq!(duration("2h"), Ok(7200));
        assert_eq!(duration("1d"), Ok(86_400));
        for wrong in ["", "h", "5", "1w", "-3s", "5s", "99999999999d", "3µ"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(every_ms("10"), Ok(100));
        assert_eq!(every_ms("0.5"), Ok(2000));
        assert_eq!(every_ms("0.033"), Ok(30_000));
        for wrong in ["0", "3", "0.7", "11", "NaN", "fast"] {
            assert!(every_ms(wrong).is_err(), "{wrong}");
        }
        assert_eq!(mix("phone").map(Mix::total), Ok(1));
        assert_eq!(mix("builtin=3, phone=1").map(Mix::total), Ok(4));
        for wrong in ["telepathy", "phone=", "phone=0", "phone=-1"] {
            assert!(mix(wrong).is_err(), "{wrong}");
        }
        assert_eq!(centre("-33.9,151.2"), Ok(Centre { lat: -33.9, lon: 151.2 }));
        for wrong in ["91,0", "1", "a,b", "0,181", "NaN,0"] {
            assert!(centre(wrong).is_err(), "{wrong}");
        }
    }
}
