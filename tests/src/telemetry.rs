//! Telemetry as rows of a canonical CSV, to be cut, shuffled and written.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use flate2::read::MultiGzDecoder;
use odograph::fleet::{self, FleetSpec, GeneratedVehicle};
use odograph_domain::sample::{FIELDS, Sample};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// A canonical CSV in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Rows {
    /// A CSV file, plain or gzip. Knows no quotes: the development data has none.
    pub fn read(file: &Path) -> Self {
        let mut bytes = std::fs::read(file).expect("the file");
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            MultiGzDecoder::new(&bytes[..])
                .read_to_end(&mut plain)
                .expect("a gzip file");
            bytes = plain;
        }
        let text = String::from_utf8(bytes).expect("a text file");
        assert!(!text.contains('"'), "{} has quoted cells", file.display());
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines();
        let header = cells(lines.next().expect("a header"));
        Self {
            header,
            rows: lines.map(cells).collect(),
        }
    }

    /// What the fleet's devices recorded, each sample once, in order of vehicle and time.
    pub fn of_fleet(fleet: &[GeneratedVehicle]) -> Self {
        let mut header: Vec<String> = ["vehicle_id", "driver_id", "ts"].map(str::to_owned).into();
        header.extend(FIELDS.iter().map(|field| field.name.to_owned()));
        let mut rows = Vec::new();
        for vehicle in fleet {
            for sample in recorded(vehicle) {
                let mut row = vec![
                    vehicle.external_ref.clone(),
                    vehicle.driver.external_ref.clone(),
                    sample.ts.to_string(),
                ];
                row.extend(FIELDS.iter().map(|field| cell(sample.get_json(field.name))));
                rows.push(row);
            }
        }
        Self { header, rows }
    }

    pub fn column(&self, name: &str) -> usize {
        let found = self.header.iter().position(|column| column == name);
        found.unwrap_or_else(|| panic!("no column {name} in {:?}", self.header))
    }

    /// The names in a column, each once.
    pub fn names(&self, column: &str) -> BTreeSet<&str> {
        let at = self.column(column);
        self.rows
            .iter()
            .map(|row| row[at].as_str())
            .filter(|name| !name.is_empty())
            .collect()
    }

    pub fn without(&self, column: &str) -> Self {
        let at = self.column(column);
        let drop = |cells: &[String]| {
            let mut cells = cells.to_vec();
            cells.remove(at);
            cells
        };
        Self {
            header: drop(&self.header),
            rows: self.rows.iter().map(|row| drop(row)).collect(),
        }
    }

    pub fn filter(&self, keep: impl Fn(&[String]) -> bool) -> Self {
        Self {
            header: self.header.clone(),
            rows: self.rows.iter().filter(|row| keep(row)).cloned().collect(),
        }
    }

    pub fn shuffled(&self, rng: &mut ChaCha8Rng) -> Self {
        let mut rows = self.rows.clone();
        rows.shuffle(rng);
        Self {
            header: self.header.clone(),
            rows,
        }
    }

    /// Everything in pieces of a vehicle each, of 20 to `most` rows, that overlap, some of them twice, some of them
    /// shuffled within, in random order.
    pub fn pieces(&self, most: usize, rng: &mut ChaCha8Rng) -> Vec<Self> {
        let vehicle = self.column("vehicle_id");
        let mut by_vehicle: BTreeMap<&str, Vec<&Vec<String>>> = BTreeMap::new();
        for row in &self.rows {
            by_vehicle.entry(&row[vehicle]).or_default().push(row);
        }
        let mut pieces = Vec::new();
        for rows in by_vehicle.values() {
            let mut from = 0;
            while from < rows.len() {
                let to = (from + rng.random_range(20..=most)).min(rows.len());
                let (early, late) = (rng.random_range(0..most / 4), rng.random_range(0..most / 4));
                let overlapping = from.saturating_sub(early)..(to + late).min(rows.len());
                let mut piece: Vec<Vec<String>> = rows[overlapping].iter().map(|row| (*row).clone()).collect();
                if rng.random_bool(0.3) {
                    piece.shuffle(rng);
                }
                if rng.random_bool(0.1) {
                    pieces.push(Self {
                        header: self.header.clone(),
                        rows: piece.clone(),
                    });
                }
                pieces.push(Self {
                    header: self.header.clone(),
                    rows: piece,
                });
                from = to;
            }
        }
        pieces.shuffle(rng);
        pieces
    }

    pub fn text(&self) -> String {
        let mut text = self.header.join(",");
        text.push('\n');
        for row in &self.rows {
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }

    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        std::fs::write(&file, self.text()).expect("a file in a temporary folder");
        file
    }

    pub fn write_gzip(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        let target = std::fs::File::create(&file).expect("a file in a temporary folder");
        let mut gzip = flate2::write::GzEncoder::new(target, flate2::Compression::fast());
        gzip.write_all(self.text().as_bytes()).expect("compressed text");
        gzip.finish().expect("a whole gzip file");
        file
    }

    /// The first day of any row of the vehicle, as it is written (UTC).
    pub fn first_day(&self, vehicle: &str) -> Option<NaiveDate> {
        let (at, ts) = (self.column("vehicle_id"), self.column("ts"));
        let times = self
            .rows
            .iter()
            .filter(|row| row[at] == vehicle)
            .filter_map(|row| row[ts].get(..10)?.parse().ok());
        times.min()
    }
}

fn cell(value: Option<Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| cell(Some(item)))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    }
}

/// A vehicle's samples, each once, in order of time.
pub fn recorded(vehicle: &GeneratedVehicle) -> Vec<Sample> {
    let samples = vehicle.batches.iter().flat_map(|batch| &batch.samples);
    let by_time: BTreeMap<_, _> = samples.map(|sample| (sample.ts, sample.clone())).collect();
    by_time.into_values().collect()
}

/// A small generated fleet, its clocks put forward within the second night. The fourth vehicle insures by distance alone.
pub fn small_fleet(vehicles: usize, days: u32) -> Vec<GeneratedVehicle> {
    let first_day = NaiveDate::from_ymd_opt(2026, 3, 27).expect("a day");
    fleet::generate(&FleetSpec::days(
        20_260_327,
        vehicles,
        first_day,
        days,
        Tz::Europe__Berlin,
    ))
    .collect()
}

/// A time as the tables of true trips write it: UTC, to the second.
pub fn utc(text: &str) -> DateTime<Utc> {
    let parsed = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S");
    parsed.unwrap_or_else(|_| panic!("not a time: {text}")).and_utc()
}
