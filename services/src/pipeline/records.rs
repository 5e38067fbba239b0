//! From a window's samples and the bounds of its trips to the records that are written: features, driver, id.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use odograph_domain::{
    batch::RawSample,
    features::QualityMark,
    id::{DriverId, TripId},
    intake::VehicleContext,
    time::{EventTime, Window},
    trip::{TripBounds, TripRecord},
};
use odograph_ingest::{assemble::Assembled, odometer, order::Merged};
use odograph_scoring::features::{self, TripInput};
use odograph_store::{DeriveTx, StoredTrip};
use uuid::Uuid;

use super::Pipeline;

/// The trips that have ended, each with its features and whoever drove it. Their ids are given by [`keep_ids`].
pub(super) fn features_of(merged: &Merged, trips: &[Assembled], context: &VehicleContext) -> Result<Vec<TripRecord>> {
    let ended: Vec<(TripBounds, Cow<'_, [RawSample]>)> = trips
        .iter()
        .filter_map(|trip| {
            let samples = merged.samples.get(trip.range.clone())?;
            let mended = odometer::going_on(samples, &context.odometer_changes);
            Some((trip.trip.bounds()?, mended.map_or(Cow::Borrowed(samples), Cow::Owned)))
        })
        .collect();
    let inputs: Vec<TripInput<'_>> = ended
        .iter()
        .map(|(bounds, samples)| {
            let at = bounds.start.utc();
            TripInput {
                samples,
                bounds: *bounds,
                time_zone: zone_of(context, bounds),
                // Where the product changes on the way, figures over the whole trip would tell of the part they may not.
                behaviour_allowed: context.behaviour_allowed(at) && context.behaviour_allowed(bounds.end.utc()),
            }
        })
        .collect();
    let features = features::features(&inputs)?;
    let ranges = trips
        .iter()
        .filter(|trip| trip.trip.bounds().is_some())
        .map(|trip| trip.range.clone());
    let records = inputs
        .iter()
        .zip(features)
        .zip(ranges)
        .map(|((input, mut features), range)| {
            let doubled = merged.merged.iter().filter(|index| range.contains(*index)).count();
            if doubled > 0 {
                features.marks.insert(QualityMark::Merged, doubled as u32);
            }
            TripRecord {
                // Given by `keep_ids`.
                id: TripId::from_uuid(Uuid::nil()),
                vehicle: context.vehicle,
                driver: driver_of(input, context),
                bounds: input.bounds,
                time_zone: input.time_zone,
                features,
                version: 1,
            }
        });
    Ok(records.collect())
}

/// Of the policy that covers the trip's start, else of the first that covers a part of it.
fn zone_of(context: &VehicleContext, bounds: &TripBounds) -> Tz {
    let (start, end) = (bounds.start.utc(), bounds.end.utc());
    let later = || {
        context
            .covers
            .iter()
            .find(|cover| cover.from <= end && cover.to.is_none_or(|to| start < to))
    };
    context
        .cover_at(start)
        .or_else(later)
        .map_or(Tz::UTC, |cover| cover.time_zone)
}

/// The driver that most of the trip's samples name, else the one assigned, else the policy's main driver.
fn driver_of(input: &TripInput<'_>, context: &VehicleContext) -> Option<DriverId> {
    let mut named: HashMap<DriverId, usize> = HashMap::new();
    for (driver, at) in input
        .samples
        .iter()
        .filter_map(|raw| Some((raw.driver?, raw.sample.ts)))
    {
        if context.left.get(&driver).is_none_or(|left| at.utc() < *left) {
            *named.entry(driver).or_default() += 1;
        }
    }
    let most = named
        .into_iter()
        .max_by_key(|(driver, samples)| (*samples, std::cmp::Reverse(*driver)));
    most.map(|(driver, _)| driver)
        .or_else(|| context.driver_at(input.bounds.start.utc()))
}

/// Since when drivers whom samples name have left, where they have.
pub(super) async fn left_of_named(tx: &mut DeriveTx, merged: &Merged) -> Result<BTreeMap<DriverId, DateTime<Utc>>> {
    let named: BTreeSet<DriverId> = merged.samples.iter().filter_map(|raw| raw.driver).collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(tx.left(&named.into_iter().collect::<Vec<_>>()).await?)
}

/// Each new trip takes the id of the old one of the same owner that it overlaps most, so that a rebuilt trip stays the same
/// trip. Returns the old ones that are no more.
pub(super) fn keep_ids(
    records: &mut [TripRecord],
    old: &[StoredTrip],
    context: &VehicleContext,
    pipeline: &Pipeline,
) -> Vec<TripId> {
    let owner = |at: EventTime| context.handovers.partition_point(|handover| *handover <= at.utc());
    let overlap = |a: Window, b: Window| (a.to.min(b.to) - a.from.max(b.from)).num_milliseconds();
    let mut pairs: Vec<(i64, usize, usize)> = Vec::new();
    for (new, record) in records.iter().enumerate() {
        for (known, trip) in old.iter().enumerate() {
            let one_owner = owner(record.bounds.start) == owner(trip.bounds.start);
            if one_owner && record.bounds.window().overlaps(trip.bounds.window()) {
                pairs.push((overlap(record.bounds.window(), trip.bounds.window()), new, known));
            }
        }
    }
    pairs.sort_by_key(|(overlap, new, known)| (std::cmp::Reverse(*overlap), *new, *known));
    let (mut named, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for (_, new, known) in pairs {
        if !named.contains(&new) && taken.insert(known) {
            named.insert(new);
            records[new].id = old[known].id;
        }
    }
    for (new, record) in records.iter_mut().enumerate() {
        if !named.contains(&new) {
            record.id = TripId::from_uuid(pipeline.ids.uuid());
        }
    }
    (0..old.len())
        .filter(|known| !taken.contains(known))
        .map(|known| old[known].id)
        .collect()
}
