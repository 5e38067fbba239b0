//! Acceptance over the development data, where it is there.

use odograph_domain::batch::RawSample;

use crate::{
    features::features,
    testing::{data, input, span, vehicles, within},
};

fn nds_km(change: impl Fn(&mut RawSample)) -> Option<(f64, f64)> {
    let mut samples = vehicles("telemetry/nds.csv.gz")?.remove("nds-1")?;
    samples.iter_mut().for_each(change);
    let drives = data("telemetry/nds_drives.csv")?;
    let trips: Vec<_> = drives
        .iter()
        .map(|drive| {
            let (from, to) = span(drive);
            input(within(&samples, from, to))
        })
        .collect();
    let found = features(&trips).unwrap();
    let truth = drives
        .iter()
        .map(|drive| drive["device_distance_km"].parse::<f64>().unwrap())
        .sum();
    Some((found.iter().map(|f| f.mileage.billable_m / 1000.0).sum(), truth))
}

#[test]
fn nds_is_billed_within_3_percent_of_the_device() {
    let Some((billed, truth)) = nds_km(|_| ()) else { return };
    assert!((billed / truth - 1.0).abs() < 0.03, "{billed} km of {truth} km");
}

#[test]
fn nds_without_odometer_is_billed_within_4_percent_of_the_device() {
    let Some((billed, truth)) = nds_km(|raw| raw.sample.odometer_km = None) else {
        return;
    };
    assert!((billed / truth - 1.0).abs() < 0.04, "{billed} km of {truth} km");
}

#[test]
fn nds_by_position_alone_is_billed_within_4_percent_of_the_device() {
    let position_only = |raw: &mut RawSample| (raw.sample.odometer_km, raw.sample.speed_kmh) = (None, None);
    let Some((billed, truth)) = nds_km(position_only) else {
        return;
    };
    assert!((billed / truth - 1.0).abs() < 0.04, "{billed} km of {truth} km");
}

#[test]
fn cmap_median_error_is_below_1_percent() {
    let Some(vehicles) = vehicles("telemetry/cmap.csv.gz") else {
        return;
    };
    let Some(truth) = data("telemetry/cmap_trips.csv") else {
        return;
    };
    let trips: Vec<_> = truth
        .iter()
        .map(|trip| {
            let (from, to) = span(trip);
            input(within(&vehicles[&trip["vehicle_id"]], from, to))
        })
        .collect();
    let found = features(&trips).unwrap();
    let mut errors: Vec<f64> = found
        .iter()
        .zip(&truth)
        .map(|(f, trip)| (f.mileage.billable_m / 1000.0 / trip["distance_km"].parse::<f64>().unwrap() - 1.0).abs())
        .collect();
    errors.sort_by(f64::total_cmp);
    assert!(
        errors[errors.len() / 2] < 0.01 && errors[errors.len() - 1] < 0.1,
        "{errors:?}"
    );
}
