//! What passes from ingest to store in one commit. The two do not see each other; they meet in the pipeline.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::{
    batch::{BatchId, Impact, RawSample},
    correction::Cause,
    envelope::{Header, Source},
    id::{ClientId, DeadLetterId, DeviceId, DriverId, MessageId, PolicyId, TenantId, VehicleId},
    mileage::OdometerChange,
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

/// The time in which a vehicle is one owner's: from one handover to the next. End exclusive; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owned {
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

impl Owned {
    /// The owner a policy is of. One that begins on the insured-local day of a handover is the new owner's; one that began
    /// before is the former owner's, and covers nothing after. `handovers`: the earliest first.
    pub fn of_policy(starts_on: NaiveDate, time_zone: Tz, handovers: &[DateTime<Utc>]) -> Self {
        let day = |at: &DateTime<Utc>| at.with_timezone(&time_zone).date_naive();
        Self {
            from: handovers.iter().rev().find(|at| day(at) <= starts_on).copied(),
            to: handovers.iter().find(|at| day(at) > starts_on).copied(),
        }
    }

    pub fn holds_at(&self, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// What of a stretch of time lies within; end exclusive, `None` where it has none.
    pub fn within(&self, from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> (DateTime<Utc>, Option<DateTime<Utc>>) {
        let from = self.from.map_or(from, |owned| from.max(owned));
        let to = [to, self.to].into_iter().flatten().min();
        (from, to)
    }
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
    /// The owner's time it lies in: what others drove in the car is not this policy's, though it was the same day.
    pub owned: Owned,
}

/// A stretch of a dated driver assignment. End exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    pub driver: DriverId,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
}

/// A driver that telemetry may name, and since when they have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownDriver {
    pub id: DriverId,
    pub left_at: Option<DateTime<Utc>>,
}

/// What ingest needs to know of a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleContext {
    pub tenant: TenantId,
    pub vehicle: VehicleId,
    pub settings: TenantSettings,
    pub covers: Vec<Cover>,
    pub assignments: Vec<Assigned>,
    /// When it changed hands, the earliest first.
    pub handovers: Vec<DateTime<Utc>>,
    /// The earliest first.
    pub odometer_changes: Vec<OdometerChange>,
    /// Since when they have left, of the drivers named above.
    pub left: BTreeMap<DriverId, DateTime<Utc>>,
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

    /// The assigned driver, else the policy's main driver; nobody who has left.
    pub fn driver_at(&self, at: DateTime<Utc>) -> Option<DriverId> {
        let here = |driver: &DriverId| self.left.get(driver).is_none_or(|left| at < *left);
        let assigned = self
            .assignments
            .iter()
            .find(|a| a.from <= at && a.to.is_none_or(|to| at < to) && here(&a.driver));
        assigned
            .map(|a| a.driver)
            .or_else(|| self.cover_at(at)?.main_driver.filter(here))
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
    /// The device that recorded it, where it is one we know.
    pub device: Option<DeviceId>,
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
    /// The window of it that is open, of several the one due first.
    pub open: Option<OpenWindow>,
}

/// When an open [`DirtyWindow`] is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWindow {
    pub due_at: DateTime<Utc>,
    pub at_once: bool,
}

impl VehicleState {
    pub fn new(vehicle: VehicleId) -> Self {
        Self {
            vehicle,
            watermark: None,
            last_received_at: None,
            detectors: BTreeMap::new(),
            open: None,
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
    /// It is open: it stands for everything up to the vehicle's watermark, and unless it is due at once its timer starts anew
    /// with each batch, to wait for this much silence in seconds.
    pub open_s: Option<u32>,
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
            open_s: self.open_s.max(other.open_s),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_policy_is_of_the_owner_at_its_beginning() {
        let berlin = chrono_tz::Europe::Berlin;
        // 00:30 in Berlin, of the next day.
        let sold = at("2026-05-03T22:30:00Z");
        let of = |day: &str| Owned::of_policy(day.parse().expect("a day"), berlin, &[sold]);
        let (before, after) = (
            Owned {
                from: None,
                to: Some(sold),
            },
            Owned {
                from: Some(sold),
                to: None,
            },
        );
        assert_eq!(
            (of("2026-05-03"), of("2026-05-04"), of("2026-05-05")),
            (before, after, after)
        );
        assert!(before.holds_at(at("2026-05-03T22:29:59Z")) && !before.holds_at(sold) && after.holds_at(sold));
        let day = (at("2026-05-03T22:00:00Z"), Some(at("2026-05-04T22:00:00Z")));
        assert_eq!(before.within(day.0, day.1), (day.0, Some(sold)));
        assert_eq!(after.within(day.0, day.1), (sold, day.1));
    }

    #[test]
    fn of_two_handovers_of_one_day_the_last_holds() {
        let (noon, evening) = (at("2026-05-03T12:00:00Z"), at("2026-05-03T18:00:00Z"));
        let day = "2026-05-03".parse().expect("a day");
        let owned = Owned::of_policy(day, Tz::UTC, &[noon, evening]);
        assert_eq!(
            owned,
            Owned {
                from: Some(evening),
                to: None
            }
        );
    }
}
