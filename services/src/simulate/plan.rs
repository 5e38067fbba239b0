//! What a run is to do: kept in its folder, so that it can be taken up again and told from another.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fleet::{self, FleetSpec};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub fleet: FleetSpec,
    pub format: Format,
    pub gzip: bool,
    pub order: Order,
    pub target: Target,
    /// Times faster than life; `None` is as fast as it goes.
    pub speed: Option<f64>,
}

/// Which files of telemetry are written. The truth always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Canonical CSV: what the devices recorded, each sample once, in order of vehicle and time. `odograph import` takes it.
    Csv,
    /// A line a batch, as it is uploaded: some twice, some late.
    Ndjson,
    Both,
    /// Only the truth, for a run that sends.
    None,
}

impl Format {
    pub fn csv(self) -> bool {
        matches!(self, Self::Csv | Self::Both)
    }

    pub fn ndjson(self) -> bool {
        matches!(self, Self::Ndjson | Self::Both)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Vehicle by vehicle, each in the order it sends: needs no space.
    Vehicle,
    /// As a platform would see it: by the time of sending. The whole fleet is generated first, into the run's folder.
    Time,
}

/// Where batches are sent to, besides files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Nowhere,
    Http {
        url: String,
        /// Name of the rating plan of the policies made for vehicles that the tenant does not know.
        register: Option<String>,
    },
    /// The configured queue.
    Queue {
        tenant: String,
        /// As over HTTP; the plan is made with example terms where there is none.
        register: Option<String>,
        /// Whether this process works on the queue too.
        work: bool,
    },
}

impl Plan {
    /// Names the bytes of the run's files.
    pub fn hash(&self) -> serde_json::Result<String> {
        let decides = (fleet::VERSION, &self.fleet, self.format, self.gzip, self.order);
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(&decides)?)))
    }
}
