//! Judges a sample by itself and by when it arrived, and by nothing else: so the order of arrival cannot matter.
//! What needs neighbours (a teleport, a frozen clock, drift) is a quality mark inside the trip instead.

use std::ops::RangeInclusive;

use chrono::TimeDelta;
use odograph_domain::{
    batch::Impact,
    envelope::Source,
    outcome::SampleRejection,
    sample::Sample,
    settings::AcceptSettings,
    time::{EventTime, ReceivedAt},
};

/// Why a sample is refused, and what of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejected {
    pub reason: SampleRejection,
    /// The canonical field to blame: its class decides whether `detail` may be kept.
    pub field: &'static str,
    /// What was given and what was wanted.
    pub detail: String,
}

/// 2000-01-01T00:00:00Z, ms. Before it there is no telematics, only clocks that were never set.
const YEAR_2000_MS: i64 = 946_684_800_000;

/// What a quantity of a road vehicle can be, wide enough that no sound device is refused: outside it the value is a
/// fault or a unit mix-up. Bounds inclusive, in the field's unit.
///
/// Speed may be a little below zero (Doppler noise at rest) and is read as zero then. Accelerations reach what crash
/// sensors saturate at (about 50 g), rotation what consumer gyroscopes do (2,000 °/s is 35 rad/s).
macro_rules! ranges {
    ($($field:ident: $range:expr, $reason:ident;)*) => {
        fn first_out_of_range(sample: &Sample) -> Option<Rejected> {
            $(if let Some(value) = sample.$field && !$range.contains(&value) {
                return Some(out_of_range(stringify!($field), value, $range, SampleRejection::$reason));
            })*
            None
        }

        fn first_not_finite(sample: &Sample) -> Option<&'static str> {
            $(if sample.$field.is_some_and(|value| !value.is_finite()) {
                return Some(stringify!($field));
            })*
            sample.tyre_kpa.is_some_and(|wheels| wheels.iter().any(|kpa| !kpa.is_finite())).then_some("tyre_kpa")
        }
    };
}

ranges! {
    lat: -90.0..=90.0, CoordinateOutOfRange;
    lon: -180.0..=180.0, CoordinateOutOfRange;
    speed_kmh: -5.0..=400.0, SpeedOutOfRange;
    heading_deg: 0.0..=360.0, HeadingOutOfRange;
    odometer_km: 0.0..=5_000_000.0, OdometerOutOfRange;
    accel_x_ms2: -500.0..=500.0, AccelerationOutOfRange;
    accel_y_ms2: -500.0..=500.0, AccelerationOutOfRange;
    accel_z_ms2: -500.0..=500.0, AccelerationOutOfRange;
    gyro_x_rads: -100.0..=100.0, RotationOutOfRange;
    gyro_y_rads: -100.0..=100.0, RotationOutOfRange;
    gyro_z_rads: -100.0..=100.0, RotationOutOfRange;
    hdop: 0.0..=1_000.0, ValueOutOfRange;
    accuracy_m: 0.0..=1_000_000.0, ValueOutOfRange;
    altitude_m: -1_000.0..=10_000.0, ValueOutOfRange;
    engine_hours: 0.0..=1_000_000.0, ValueOutOfRange;
    brake_pct: -1.0..=110.0, ValueOutOfRange;
    throttle_pct: -1.0..=110.0, ValueOutOfRange;
    engine_rpm: 0.0..=30_000.0, ValueOutOfRange;
    coolant_c: -100.0..=300.0, ValueOutOfRange;
    battery_v: 0.0..=1_500.0, ValueOutOfRange;
    fuel_pct: -1.0..=110.0, ValueOutOfRange;
    rssi_dbm: -200.0..=50.0, ValueOutOfRange;
    satellites: 0.0..=300.0, ValueOutOfRange;
    speed_limit_kmh: 0.0..=500.0, ValueOutOfRange;
}

const TYRE_KPA: RangeInclusive<f64> = 0.0..=3_000.0;
const CODES: usize = 500;
const CODE_CHARACTERS: usize = 32;

fn out_of_range(field: &'static str, value: f64, wanted: RangeInclusive<f64>, reason: SampleRejection) -> Rejected {
    let detail = format!("{field}: wanted {} to {}, got {value}", wanted.start(), wanted.end());
    Rejected { reason, field, detail }
}

/// Lateness is not judged for an import or a resubmission: each is an operator's deliberate act.
pub fn validate(
    sample: &Sample,
    received_at: ReceivedAt,
    source: Source,
    accept: &AcceptSettings,
) -> Result<(), Rejected> {
    validate_time(sample.ts, received_at, source, accept)?;
    if let Some(field) = first_not_finite(sample) {
        let detail = format!("{field}: wanted a finite number, got one that is not");
        return Err(Rejected {
            reason: SampleRejection::NotFinite,
            field,
            detail,
        });
    }
    if sample.lat.is_some() != sample.lon.is_some() {
        let (given, missing) = if sample.lat.is_some() {
            ("lat", "lon")
        } else {
            ("lon", "lat")
        };
        let detail = format!("wanted lat and lon or neither, got {given} without {missing}");
        return Err(Rejected {
            reason: SampleRejection::HalfCoordinate,
            field: given,
            detail,
        });
    }
    if let Some(rejected) = first_out_of_range(sample) {
        return Err(rejected);
    }
    if let Some(kpa) = sample
        .tyre_kpa
        .and_then(|wheels| wheels.into_iter().find(|kpa| !TYRE_KPA.contains(kpa)))
    {
        return Err(out_of_range(
            "tyre_kpa",
            kpa,
            TYRE_KPA,
            SampleRejection::ValueOutOfRange,
        ));
    }
    if let Some(codes) = &sample.dtc
        && (codes.len() > CODES || codes.iter().any(|code| code.chars().count() > CODE_CHARACTERS))
    {
        let longest = codes.iter().map(|code| code.chars().count()).max().unwrap_or(0);
        let detail = format!(
            "dtc: wanted at most {CODES} codes of at most {CODE_CHARACTERS} characters, got {} of up to {longest}",
            codes.len()
        );
        return Err(Rejected {
            reason: SampleRejection::ValueOutOfRange,
            field: "dtc",
            detail,
        });
    }
    Ok(())
}

fn validate_time(
    ts: EventTime,
    received_at: ReceivedAt,
    source: Source,
    accept: &AcceptSettings,
) -> Result<(), Rejected> {
    let rejected = |reason, detail| {
        Err(Rejected {
            reason,
            field: "ts",
            detail,
        })
    };
    if ts.millis() < YEAR_2000_MS {
        return rejected(
            SampleRejection::ClockUnset,
            format!("ts: wanted a time from the year 2000 on, got {ts}"),
        );
    }
    let ahead = ts.utc() - received_at.utc();
    if ahead > TimeDelta::seconds(i64::from(accept.clock_skew_s)) {
        let skew = accept.clock_skew_s;
        let detail = format!("ts: wanted at most {skew} s after arrival at {received_at}, got {ts}");
        return rejected(SampleRejection::Future, detail);
    }
    let deliberate = matches!(source, Source::Import | Source::Resubmission);
    if !deliberate && -ahead > TimeDelta::days(i64::from(accept.lateness_days)) {
        let days = accept.lateness_days;
        let detail = format!("ts: wanted at most {days} days before arrival at {received_at}, got {ts}");
        return rejected(SampleRejection::TooLate, detail);
    }
    Ok(())
}

/// An impact is judged like a sample: its time and each of its values.
pub fn validate_impact(
    impact: &Impact,
    received_at: ReceivedAt,
    source: Source,
    accept: &AcceptSettings,
) -> Result<(), Rejected> {
    validate_time(impact.trigger_ts, received_at, source, accept)?;
    let beyond = |rows: &[[f64; 3]], most: f64| rows.iter().flatten().any(|value| value.abs() > most);
    if beyond(&impact.accel_ms2, 5_000.0) {
        let detail = "accel_ms2: wanted -5000 to 5000, got a value outside of that".to_owned();
        return Err(Rejected {
            reason: SampleRejection::AccelerationOutOfRange,
            field: "accel_x_ms2",
            detail,
        });
    }
    if impact.gyro_rads.as_ref().is_some_and(|rows| beyond(rows, 1_000.0)) {
        let detail = "gyro_rads: wanted -1000 to 1000, got a value outside of that".to_owned();
        return Err(Rejected {
            reason: SampleRejection::RotationOutOfRange,
            field: "gyro_x_rads",
            detail,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use odograph_domain::sample::{FIELDS, FieldKind, parse_ts};

    fn judge_as(source: Source, edit: impl FnOnce(&mut Sample)) -> Result<(), SampleRejection> {
        let mut sample = Sample::at(parse_ts("2026-01-31T07:15:00Z").unwrap());
        edit(&mut sample);
        let received_at = ReceivedAt::new(parse_ts("2026-01-31T07:15:30Z").unwrap().utc());
        validate(&sample, received_at, source, &AcceptSettings::default()).map_err(|rejected| rejected.reason)
    }

    fn judge(edit: impl FnOnce(&mut Sample)) -> Result<(), SampleRejection> {
        judge_as(Source::Http, edit)
    }

    fn ts(text: &str) -> EventTime {
        parse_ts(text).unwrap()
    }

    #[test]
    fn time_is_judged_against_arrival() {
        use SampleRejection::*;
        assert_eq!(judge(|_| ()), Ok(()));
        assert_eq!(judge(|s| s.ts = ts("2026-01-31T07:20:30Z")), Ok(()));
        assert_eq!(judge(|s| s.ts = ts("2026-01-31T07:20:30.001Z")), Err(Future));
        assert_eq!(judge(|s| s.ts = ts("1999-12-31T23:59:59Z")), Err(ClockUnset));
        assert_eq!(judge(|s| s.ts = ts("2024-01-01T00:00:00Z")), Err(TooLate));
        assert_eq!(judge_as(Source::Import, |s| s.ts = ts("2004-01-01T00:00:00Z")), Ok(()));
    }

    #[test]
    fn each_reason_is_named() {
        use SampleRejection::*;
        assert_eq!(judge(|s| s.speed_kmh = Some(f64::NAN)), Err(NotFinite));
        assert_eq!(judge(|s| s.lat = Some(1.0)), Err(HalfCoordinate));
        assert_eq!(
            judge(|s| (s.lat, s.lon) = (Some(91.0), Some(1.0))),
            Err(CoordinateOutOfRange)
        );
        assert_eq!(judge(|s| s.speed_kmh = Some(401.0)), Err(SpeedOutOfRange));
        assert_eq!(judge(|s| s.speed_kmh = Some(-0.4)), Ok(()));
        assert_eq!(judge(|s| s.heading_deg = Some(-1.0)), Err(HeadingOutOfRange));
        assert_eq!(judge(|s| s.accel_z_ms2 = Some(981.0)), Err(AccelerationOutOfRange));
        assert_eq!(judge(|s| s.gyro_x_rads = Some(200.0)), Err(RotationOutOfRange));
        assert_eq!(judge(|s| s.odometer_km = Some(-1.0)), Err(OdometerOutOfRange));
        assert_eq!(
            judge(|s| s.tyre_kpa = Some([1.0, 2.0, -3.0, 4.0])),
            Err(ValueOutOfRange)
        );
        assert_eq!(judge(|s| s.dtc = Some(vec!["x".repeat(33)])), Err(ValueOutOfRange));
    }

    #[test]
    fn every_number_of_the_canonical_table_has_a_range() {
        for field in FIELDS.iter().filter(|field| field.kind == FieldKind::Number) {
            let absurd = |s: &mut Sample| {
                (s.lat, s.lon) = (Some(0.0), Some(0.0));
                s.set_json(field.name, serde_json::json!(1e12)).unwrap();
            };
            assert!(judge(absurd).is_err(), "{} has no range", field.name);
        }
    }
}
