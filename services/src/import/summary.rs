//! How an import ended.

use std::{collections::BTreeSet, fmt};

use odograph_domain::outcome::{MessageRejection, SampleRejection, Tally};
use uuid::Uuid;

use crate::cli::table;

/// How an import ended. `tally.balances()` holds once all was processed.
#[derive(Debug)]
pub struct Summary {
    /// Marks this run's messages, so that their outcomes can be told from other traffic's.
    pub run: Uuid,
    pub rows: u64,
    pub messages: u64,
    pub vehicles_registered: u64,
    pub drivers_registered: u64,
    /// Samples put into the queue.
    pub sent: u64,
    /// Rows refused before they could become samples; already kept as dead letters.
    pub refused: Tally,
    /// Outcomes of what was sent, as far as waited for.
    pub processed: Tally,
    pub unknown_columns: BTreeSet<String>,
    /// Files that could not be read, or not to their end, and why.
    pub broken: Vec<String>,
}

impl Summary {
    pub fn new(run: Uuid) -> Self {
        Self {
            run,
            rows: 0,
            messages: 0,
            vehicles_registered: 0,
            drivers_registered: 0,
            sent: 0,
            refused: Tally::default(),
            processed: Tally::default(),
            unknown_columns: BTreeSet::new(),
            broken: Vec::new(),
        }
    }

    /// One message with this many samples was sent.
    pub(crate) fn count(&mut self, samples: u64) {
        self.rows += samples;
        self.sent += samples;
        self.messages += 1;
    }

    /// One row was refused before it could become a sample.
    pub(super) fn refuse(&mut self) {
        self.rows += 1;
        self.refused.received += 1;
        self.refused.reject(SampleRejection::Malformed.as_str(), 1);
    }

    /// Adds how another part of the import ended.
    pub fn add(&mut self, part: Self) {
        self.rows += part.rows;
        self.messages += part.messages;
        self.vehicles_registered += part.vehicles_registered;
        self.drivers_registered += part.drivers_registered;
        self.sent += part.sent;
        self.refused.merge(&part.refused);
        self.processed.merge(&part.processed);
        self.unknown_columns.extend(part.unknown_columns);
        self.broken.extend(part.broken);
    }

    /// One line, for one file of several.
    pub fn line(&self) -> String {
        let tally = self.tally();
        let mut line = format!(
            "{} rows: {} accepted, {} duplicate, {} rejected",
            self.rows,
            tally.accepted,
            tally.duplicate,
            tally.rejected_total()
        );
        if self.sent > self.processed.received {
            line = format!("{line}, {} still in the queue", self.sent - self.processed.received);
        }
        match self.broken.first() {
            Some(cause) => format!("{line}; {cause}"),
            None => line,
        }
    }

    /// Outcomes of all rows.
    pub fn tally(&self) -> Tally {
        let mut tally = self.refused.clone();
        tally.merge(&self.processed);
        tally
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = self.tally();
        let mut rows = vec![
            vec!["received".to_owned(), tally.received.to_string()],
            vec!["accepted".to_owned(), tally.accepted.to_string()],
            vec!["duplicate".to_owned(), tally.duplicate.to_string()],
        ];
        rows.extend(
            tally
                .rejected
                .iter()
                .map(|(reason, n)| vec![format!("rejected: {reason}"), n.to_string()]),
        );
        if self.sent > self.processed.received {
            rows.push(vec![
                "still in the queue".to_owned(),
                (self.sent - self.processed.received).to_string(),
            ]);
        }
        let mut table = table::render(&["outcome", "samples"], rows);
        table::figures(&mut table, &[1]);
        writeln!(f, "{} rows in {} messages", self.rows, self.messages)?;
        if self.vehicles_registered + self.drivers_registered > 0 {
            writeln!(
                f,
                "registered {} vehicles and {} drivers",
                self.vehicles_registered, self.drivers_registered
            )?;
        }
        if !self.unknown_columns.is_empty() {
            writeln!(
                f,
                "columns this version does not know, kept where the product keeps everything: {}",
                join(&self.unknown_columns)
            )?;
        }
        write!(f, "{table}")?;
        if !tally.rejected.is_empty() {
            write!(f, "\nwhat was refused is kept with its reason: GET /v1/dead-letters")?;
        }
        if tally.rejected.contains_key(MessageRejection::UnknownVehicle.as_str()) {
            write!(f, "\n--register creates the vehicles that a file names")?;
        }
        Ok(())
    }
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
