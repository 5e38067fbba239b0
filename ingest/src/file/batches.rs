//! Rows gathered into batches, the same ones for the same rows wherever a file begins and ends.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

use odograph_domain::{
    batch::{AccelFrame, Gravity},
    time::EventTime,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{BadRow, FileError, Line, Row, Rows};

/// How rows are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOptions {
    /// The most samples of a batch.
    pub samples: usize,
    /// The most rows held back, over all vehicles.
    pub held: usize,
    pub accel_frame: AccelFrame,
    pub gravity: Gravity,
    /// What batch ids begin with.
    pub prefix: String,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            samples: 600,
            held: 60_000,
            accel_frame: AccelFrame::default(),
            gravity: Gravity::default(),
            prefix: "csv".to_owned(),
        }
    }
}

/// A batch as a device would send it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileBatch {
    pub vehicle: String,
    pub driver: Option<String>,
    /// Derived from the content: the same rows have the same id.
    pub batch_id: String,
    pub samples: u32,
    /// Canonical JSON, not compressed.
    pub payload: Vec<u8>,
}

/// What a file yields: batches, rows that cannot be used, and an error if it breaks off.
#[derive(Debug)]
pub enum Gathered {
    Batch(FileBatch),
    Bad(BadRow),
}

type Owner = (String, Option<String>);

/// Rows on their way into batches. See [`batches`].
#[derive(Debug)]
pub struct Batches {
    rows: Rows,
    options: BatchOptions,
    held: HashMap<Owner, Vec<(Option<EventTime>, String)>>,
    held_rows: usize,
    ready: VecDeque<FileBatch>,
    /// What broke the file off: told after the batches of the rows before it.
    broken: Option<FileError>,
    done: bool,
}

/// Gathers the rows of each vehicle (and driver) into batches of at most [`BatchOptions::samples`].
///
/// A batch also ends after a row whose time says so by its hash. Files that overlap are so cut at the same rows, and
/// what both hold arrives as the same batch twice, counted as duplicate. Only the cuts depend on it: whatever they are,
/// the trips are the same.
pub fn batches(rows: Rows, options: BatchOptions) -> Batches {
    Batches {
        rows,
        options,
        held: HashMap::new(),
        held_rows: 0,
        ready: VecDeque::new(),
        broken: None,
        done: false,
    }
}

impl Batches {
    pub fn progress(&self) -> (u64, u64) {
        self.rows.progress()
    }

    pub fn unknown_columns(&self) -> &[String] {
        self.rows.unknown_columns()
    }

    fn hold(&mut self, row: Row) {
        let ts = row.sample.as_ref().ok().map(|sample| sample.ts);
        let json = match &row.sample {
            Ok(sample) => serde_json::to_string(sample).unwrap_or_default(),
            Err(unread) => Value::Object(unread.fields.clone()).to_string(),
        };
        let owner = (row.vehicle, row.driver);
        let held = self.held.entry(owner.clone()).or_default();
        held.push((ts, json));
        self.held_rows += 1;
        if held.len() >= self.options.samples || ts.is_some_and(|ts| ends_batch(ts, self.options.samples)) {
            self.release(&owner);
        } else if self.held_rows >= self.options.held {
            self.release_all();
        }
    }

    fn release(&mut self, owner: &Owner) {
        if let Some(held) = self.held.remove(owner) {
            self.held_rows -= held.len();
            self.ready.push_back(batch(owner, held, &self.options));
        }
    }

    fn release_all(&mut self) {
        let mut owners: Vec<Owner> = self.held.keys().cloned().collect();
        owners.sort();
        for owner in owners {
            self.release(&owner);
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Gathered, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Some(Ok(Gathered::Batch(batch)));
            }
            if self.done {
                return self.broken.take().map(Err);
            }
            match self.rows.next() {
                Some(Ok(Line::Row(row))) => self.hold(*row),
                Some(Ok(Line::Bad(bad))) => return Some(Ok(Gathered::Bad(bad))),
                end => {
                    self.broken = end.and_then(Result::err);
                    self.done = true;
                    self.release_all();
                }
            }
        }
    }
}

/// One row in half as many as a batch may have, by a mixing of its time (SplitMix64's finaliser).
fn ends_batch(ts: EventTime, samples: usize) -> bool {
    let mut mixed = ts.millis() as u64;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).is_multiple_of((samples as u64 / 2).max(1))
}

fn batch(owner: &Owner, mut held: Vec<(Option<EventTime>, String)>, options: &BatchOptions) -> FileBatch {
    let (vehicle, driver) = owner;
    // The order of lines means nothing, so it must not make another batch.
    held.sort();
    let mut head = Map::new();
    head.insert("schema".to_owned(), json!(1));
    head.insert("vehicle".to_owned(), json!(vehicle));
    if let Some(driver) = driver {
        head.insert("driver".to_owned(), json!(driver));
    }
    head.insert("accel_frame".to_owned(), json!(options.accel_frame));
    head.insert("gravity".to_owned(), json!(options.gravity));
    let head = Value::Object(head).to_string();
    let samples: Vec<&str> = held.iter().map(|(_, json)| json.as_str()).collect();
    let samples = samples.join(",");

    let digest = Sha256::new()
        .chain_update(&head)
        .chain_update([0])
        .chain_update(&samples)
        .finalize();
    let mut batch_id = format!("{}-", options.prefix);
    for byte in &digest[..16] {
        // Writing to a String cannot fail.
        let _ = write!(batch_id, "{byte:02x}");
    }
    // The head is an object with at least one entry: its closing brace makes room for the rest.
    let head = head.trim_end_matches('}');
    let payload = format!("{head},\"batch_id\":{},\"samples\":[{samples}]}}", json!(batch_id)).into_bytes();
    FileBatch {
        vehicle: vehicle.clone(),
        driver: driver.clone(),
        batch_id,
        samples: held.len() as u32,
        payload,
    }
}
