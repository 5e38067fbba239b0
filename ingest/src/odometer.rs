//! Readings of an odometer that was replaced go on from where the old one stopped. What is stored stays as it came.

use odograph_domain::{batch::RawSample, mileage::OdometerChange, time::Window};

/// A trip's samples, where the odometer was replaced on the way: to every reading after that is added what the old odometer
/// showed more than the new one, so that differences across it are what was driven. Where the figures at the change are not
/// known, the odometer proves nothing between the last reading before and the first after it. `None` where it was not
/// replaced on the way.
///
/// `samples`: in event-time order ([`crate::order::merge`]); `changes`: the earliest first.
pub fn going_on(samples: &[RawSample], changes: &[OdometerChange]) -> Option<Vec<RawSample>> {
    let (first, last) = (samples.first()?, samples.last()?);
    let bounds = Window {
        from: first.sample.ts,
        to: last.sample.ts,
    };
    let mut mended: Option<Vec<RawSample>> = None;
    for change in changes {
        if change.at <= bounds.from.utc() || bounds.to.utc() < change.at {
            continue;
        }
        let mended = mended.get_or_insert_with(|| samples.to_vec());
        let at = mended.partition_point(|raw| raw.sample.ts.utc() < change.at);
        let (before, after) = mended.split_at_mut(at);
        let offset_km = match change.readings_km {
            Some((old_km, new_km)) => Some(old_km - new_km),
            None => {
                let last = before.iter().rev().find_map(|raw| raw.sample.odometer_km);
                let first = after.iter().find_map(|raw| raw.sample.odometer_km);
                last.zip(first).map(|(last, first)| last - first)
            }
        };
        // Earlier changes have shifted both sides alike.
        for km in after.iter_mut().filter_map(|raw| raw.sample.odometer_km.as_mut()) {
            *km += offset_km.unwrap_or(0.0);
        }
    }
    mended
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use odograph_domain::sample::{Sample, parse_ts};

    use super::*;

    fn at(second: u32) -> String {
        format!("2026-05-04T07:00:{second:02}Z")
    }

    fn reading(second: u32, km: f64) -> RawSample {
        let text = format!(r#"{{"ts":"{}","odometer_km":{km}}}"#, at(second));
        RawSample {
            sample: serde_json::from_str::<Sample>(&text).unwrap(),
            accel_frame: Default::default(),
            gravity: Default::default(),
            device_rank: 0,
            driver: None,
        }
    }

    fn change(second: u32, readings_km: Option<(f64, f64)>) -> OdometerChange {
        let at: DateTime<Utc> = parse_ts(&at(second)).unwrap().utc();
        OdometerChange { at, readings_km }
    }

    fn km(samples: &[RawSample], changes: &[OdometerChange]) -> Vec<f64> {
        let mended = going_on(samples, changes).unwrap();
        mended.iter().filter_map(|raw| raw.sample.odometer_km).collect()
    }

    #[test]
    fn known_figures_bridge_the_change() {
        let samples = [reading(0, 100.0), reading(1, 101.0), reading(2, 0.5), reading(3, 1.5)];
        // A kilometre by the old one up to 101.5, then half a kilometre by the new one.
        let changes = [change(2, Some((101.5, 0.0)))];
        assert_eq!(km(&samples, &changes), [100.0, 101.0, 102.0, 103.0]);
    }

    #[test]
    fn unknown_figures_prove_nothing_between_and_changes_add_up() {
        let samples = [
            reading(0, 100.0),
            reading(1, 101.0),
            reading(2, 7.0),
            reading(3, 8.0),
            reading(4, 50.0),
        ];
        let changes = [change(2, None), change(4, Some((8.5, 49.5)))];
        assert_eq!(km(&samples, &changes), [100.0, 101.0, 101.0, 102.0, 103.0]);
    }

    #[test]
    fn a_trip_it_does_not_lie_in_is_left_as_it_is() {
        let samples = [reading(10, 1.0), reading(20, 2.0)];
        for second in [5, 10, 25] {
            assert_eq!(going_on(&samples, &[change(second, None)]), None, "{second}");
        }
        assert_eq!(going_on(&[], &[change(5, None)]), None);
    }
}
