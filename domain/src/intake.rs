//! What passes from ingest to store in one commit. The two do not see each other; they meet in the pipeline.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::{
    batch::{BatchId, Impact, RawSample},
    correction::Cause,
    envelope::{Header, Source},
    id::{ClientId, DeadLetterId, DeviceId, DriverId, MessageId, PolicyId, TenantId, VehicleId},
    policy::Product,
    settings::TenantSettings,
    time::{EventTime, ReceivedAt, Window},
};

/// Whose data it is, and so whose key it is encrypted with: destroying the key erases it, in backups too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Driver(DriverId),
    Vehicle(VehicleId),
    /// Of nobody known: a message whose vehicle could not be resolved.
    Tenant,
}

/// A stretch of insured-cover of a vehicle: what may be kept, in whose time zone, by event time. End exclusive.
#[derive(Debug, Clone, PartialEq)]
pub struct Cover {
    pub policy: PolicyId,
    pub product: Product,
    pub main_driver: Option<DriverId>,
    pub time_zone: Tz,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
}

/// A stretch of a dated driver assignment. End exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    pub driver: DriverId,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
}

/// What ingest needs to know of a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleContext {
    pub tenant: TenantId,
    pub vehicle: VehicleId,
    pub settings: TenantSettings,
    pub covers: Vec<Cover>,
    pub assignments: Vec<Assigned>,
    /// Devices paired with the vehicle: id, external reference, rank (0 the most trusted).
    pub devices: Vec<(DeviceId, Option<String>, u8)>,
}

impl VehicleContext {
    pub fn cover_at(&self, at: DateTime<Utc>) -> Option<&Cover> {
        self.covers
            .iter()
            .find(|cover| cover.from <= at && cover.to.is_none_or(|to| at < to))
    }

    /// Whether behaviour may be kept of what happened then. Without a policy there is no purpose, so it may not.
    pub fn behaviour_allowed(&self, at: DateTime<Utc>) -> bool {
        self.cover_at(at).is_some_and(|cover| cover.product.allows_behaviour())
    }

    /// The assigned driver, else the policy's main driver.
    pub fn driver_at(&self, at: DateTime<Utc>) -> Option<DriverId> {
        let assigned = self
            .assignments
            .iter()
            .find(|a| a.from <= at && a.to.is_none_or(|to| at < to));
        assigned.map(|a| a.driver).or_else(|| self.cover_at(at)?.main_driver)
    }
}

/// Key of the dedup ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerKey {
    pub tenant: TenantId,
    pub vehicle: VehicleId,
    pub batch_id: BatchId,
}

/// What the ledger holds under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    /// As [`NewBatch::content_hash`].
    pub content_hash: [u8; 32],
    /// The message that brought it.
    pub message: MessageId,
}

/// A batch to be written: ledger row, journal rows (one per subject) and impacts.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBatch {
    pub key: LedgerKey,
    pub message: MessageId,
    /// SHA-256 of the batch's meaning (the canonical form of what was decoded, before anything is dropped), so that the
    /// same batch in another encoding is the same batch.
    pub content_hash: [u8; 32],
    pub source: Source,
    pub received_at: ReceivedAt,
    /// By subject, each in event-time order. What may not be kept is already gone.
    pub samples: Vec<(Subject, Vec<RawSample>)>,
    pub impacts: Vec<(Subject, Impact)>,
}

/// A message, or samples of one, that cannot be used: kept where an operator can look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeadLetter {
    pub tenant: TenantId,
    pub client: Option<ClientId>,
    pub message: MessageId,
    pub source: Source,
    pub vehicle: Option<VehicleId>,
    pub vehicle_given: String,
    pub subject: Subject,
    pub batch_id: Option<String>,
    /// Name of the [`crate::outcome::MessageRejection`] or [`crate::outcome::SampleRejection`].
    pub reason: String,
    /// What was given and what was wanted. Carries no personal data.
    pub detail: String,
    /// How many samples it stands for.
    pub samples: u32,
    /// Stored encrypted; what may not be kept is already gone.
    pub payload: Vec<u8>,
    pub received_at: ReceivedAt,
    /// The dead letter its message was, if it was one.
    pub resubmission_of: Option<DeadLetterId>,
}

/// The live state of a vehicle: how far its data reaches, and each detector's own state.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleState {
    pub vehicle: VehicleId,
    /// Event time of the newest sample.
    pub watermark: Option<EventTime>,
    pub last_received_at: Option<ReceivedAt>,
    /// By [`crate::detect::Detector::name`].
    pub detectors: BTreeMap<String, Value>,
}

impl VehicleState {
    pub fn new(vehicle: VehicleId) -> Self {
        Self {
            vehicle,
            watermark: None,
            last_received_at: None,
            detectors: BTreeMap::new(),
        }
    }
}

/// A window of a vehicle whose trips must be derived, when, and why: at once, or when the vehicle has been silent long
/// enough. Windows of a vehicle that lie [`DirtyWindow::NEAR`] each other merge; where either is `at_once` the earlier
/// `due_at` holds, else the later (a timer pushed on by new data).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyWindow {
    pub tenant: TenantId,
    pub vehicle: VehicleId,
    pub window: Window,
    pub due_at: DateTime<Utc>,
    /// A trip has ended or late data came: do not wait for silence.
    pub at_once: bool,
    pub cause: Cause,
}

impl DirtyWindow {
    /// Windows further apart than this stay apart: one late sample of last year beside the trip that is driven now must not
    /// make the whole year dirty.
    pub const NEAR: TimeDelta = TimeDelta::hours(6);

    pub fn is_near(&self, other: &Self) -> bool {
        self.vehicle == other.vehicle
            && self.window.from - Self::NEAR <= other.window.to
            && other.window.from <= self.window.to + Self::NEAR
    }

    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let at_once = self.at_once || other.at_once;
        Self {
            window: self.window.union(other.window),
            due_at: if at_once {
                self.due_at.min(other.due_at)
            } else {
                self.due_at.max(other.due_at)
            },
            at_once,
            cause: self.cause.merged(other.cause),
            ..self
        }
    }

    /// As few windows as there can be, by vehicle and start.
    pub fn merge_near(mut windows: Vec<Self>) -> Vec<Self> {
        windows.sort_by_key(|dirty| (dirty.vehicle, dirty.window.from));
        let mut merged: Vec<Self> = Vec::with_capacity(windows.len());
        for dirty in windows {
            match merged.pop() {
                Some(last) if last.is_near(&dirty) => merged.push(last.merged(dirty)),
                last => {
                    merged.extend(last);
                    merged.push(dirty);
                }
            }
        }
        merged
    }
}

impl NewDeadLetter {
    /// A dead letter with the pieces that come from the envelope.
    pub fn of(header: &Header, reason: &str, detail: String, samples: u32, payload: Vec<u8>) -> Self {
        Self {
            tenant: header.tenant,
            client: header.client,
            message: header.message_id,
            source: header.source,
            vehicle: header.vehicle,
            vehicle_given: header.vehicle_given.clone(),
            subject: header.vehicle.map_or(Subject::Tenant, Subject::Vehicle),
            batch_id: None,
            reason: reason.to_owned(),
            detail,
            samples,
            payload,
            received_at: header.received_at,
            resubmission_of: header.resubmission_of,
        }
    }
}
