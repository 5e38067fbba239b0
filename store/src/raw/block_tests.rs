use std::path::Path;

use odograph_domain::{
    batch::{AccelFrame, Gravity},
    id::DriverId,
    sample::{FIELDS, FieldKind, Quantity, Sample},
    time::EventTime,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::*;

fn refs(samples: &[RawSample]) -> Vec<&RawSample> {
    samples.iter().collect()
}

fn key() -> SubjectKey {
    SubjectKey {
        id: Uuid::from_u128(0x7000),
        key: Key::new([9; 32]),
    }
}

fn vehicle() -> VehicleId {
    VehicleId::from_uuid(Uuid::from_u128(0xcafe))
}

fn round_trip(samples: &[RawSample]) -> Vec<RawSample> {
    let (header, block) = seal_block(vehicle(), &key(), &refs(samples)).unwrap();
    assert_eq!(BlockHeader::read(&block).unwrap(), header);
    open_block(&key().key, &block).unwrap()
}

/// Bits, so that NaN equals itself and the two zeros differ.
fn bits(samples: &[RawSample]) -> Vec<String> {
    let show = |raw: &RawSample| {
        let mut text = format!(
            "{} {:?} {:?} {} {:?}",
            raw.sample.ts, raw.accel_frame, raw.gravity, raw.device_rank, raw.driver
        );
        raw.sample.quantities(|place, value| {
            text += &match value {
                Quantity::Number(n) => format!(" {place}:{:x}", n.to_bits()),
                Quantity::Wheels(n) => format!(" {place}:{:x?}", n.map(f64::to_bits)),
                other => format!(" {place}:{other:?}"),
            };
        });
        text + &format!(" {:?}", raw.sample.extra)
    };
    samples.iter().map(show).collect()
}

fn quantity(kind: FieldKind) -> BoxedStrategy<Quantity> {
    let any_f64 = any::<u64>().prop_map(f64::from_bits);
    match kind {
        FieldKind::Number => any_f64.prop_map(Quantity::Number).boxed(),
        FieldKind::Flag => any::<bool>().prop_map(Quantity::Flag).boxed(),
        FieldKind::Wheels => [any_f64.clone(), any_f64.clone(), any_f64.clone(), any_f64]
            .prop_map(Quantity::Wheels)
            .boxed(),
        FieldKind::Codes => vec(".{0,5}", 0..3).prop_map(Quantity::Codes).boxed(),
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn raw_sample() -> impl Strategy<Value = RawSample> {
    let fields: Vec<_> = FIELDS
        .iter()
        .map(|field| option::weighted(0.4, quantity(field.kind)))
        .collect();
    let frame = prop_oneof![
        Just(AccelFrame::Vehicle),
        Just(AccelFrame::Device),
        Just(AccelFrame::Earth)
    ];
    let gravity = prop_oneof![Just(Gravity::Included), Just(Gravity::Removed)];
    let driver = option::of((0u128..3).prop_map(|n| DriverId::from_uuid(Uuid::from_u128(n))));
    let extra = proptest::collection::btree_map("[a-z]{1,6}", json_value(), 0..2);
    // Milliseconds over all the years that chrono holds.
    (
        -8_000_000_000_000_000i64..8_000_000_000_000_000,
        fields,
        frame,
        gravity,
        any::<u8>(),
        driver,
        extra,
    )
        .prop_map(|(ms, fields, accel_frame, gravity, device_rank, driver, extra)| {
            let mut sample = Sample::at(EventTime::from_millis(ms).unwrap());
            let mut fields = fields.into_iter();
            sample.set_quantities(|_| fields.next().flatten());
            sample.extra = extra;
            RawSample {
                sample,
                accel_frame,
                gravity,
                device_rank,
                driver,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_bit_comes_back(samples in vec(raw_sample(), 1..40)) {
        prop_assert_eq!(bits(&round_trip(&samples)), bits(&samples));
    }

    #[test]
    fn broken_columns_are_an_error_and_never_a_panic(samples in vec(raw_sample(), 1..5), at: prop::sample::Index, to: u8) {
        let mut plain = encode(&refs(&samples));
        let at = at.index(plain.len());
        plain[at] = to;
        let _ = decode(&plain, samples.len());
        let _ = decode(&plain[..at], samples.len());
    }
}

#[test]
fn an_altered_or_moved_block_does_not_open() {
    let samples = golden_samples();
    let (_, block) = seal_block(vehicle(), &key(), &refs(&samples)).unwrap();
    for at in [4, 10, 60, HEADER_LENGTH, block.len() - 1] {
        let mut altered = block.clone();
        altered[at] ^= 1;
        assert!(open_block(&key().key, &altered).is_err(), "byte {at}");
    }
    for length in [0, 3, HEADER_LENGTH, HEADER_LENGTH + 12] {
        assert!(open_block(&key().key, &block[..length]).is_err(), "{length} bytes");
    }
    assert!(open_block(&Key::new([8; 32]), &block).is_err());
}

#[test]
fn what_this_version_does_not_know_is_named() {
    let mut newer = seal_block(vehicle(), &key(), &refs(&golden_samples())).unwrap().1;
    newer[4] = 3;
    assert!(
        open_block(&key().key, &newer)
            .unwrap_err()
            .to_string()
            .contains("format version 3")
    );

    let mut plain = encode(&refs(&golden_samples()));
    plain.extend(b"\x07wipers_\x01\x00");
    let error = decode(&plain, golden_samples().len()).unwrap_err().to_string();
    assert!(error.contains("wipers_"), "{error}");
}

#[test]
fn a_steady_drive_compresses() {
    let start = EventTime::from_millis(1_700_000_000_000).unwrap();
    let samples: Vec<RawSample> = (0..600)
        .map(|i| {
            let mut raw = golden_samples().remove(0);
            raw.sample = Sample::at(start + chrono::TimeDelta::seconds(i));
            raw.sample.lat = Some(52.5 + i as f64 * 1e-5);
            raw.sample.speed_kmh = Some(f64::from((i % 50) as i32));
            raw.sample.ignition = Some(true);
            raw
        })
        .collect();
    let (_, block) = seal_block(vehicle(), &key(), &refs(&samples)).unwrap();
    assert!(block.len() < 600 * 8, "{} bytes for 600 samples", block.len());
    assert_eq!(open_block(&key().key, &block).unwrap(), samples);
}

/// One of everything: changing it needs a new golden file beside the old one, which must go on opening.
fn golden_samples() -> Vec<RawSample> {
    let lines = [
        json!({"ts": "2026-01-31T07:15:00.000Z", "lat": 52.520008, "lon": 13.404954, "hdop": 0.9, "accuracy_m": 3.5,
            "speed_kmh": 48.3, "heading_deg": 271.25, "altitude_m": 34.0, "odometer_km": 41000.1, "engine_hours": 1203.5,
            "ignition": true, "belt": true, "doors_open": false, "lights_on": true, "external_power": true,
            "accel_x_ms2": -3.25, "accel_y_ms2": 0.125, "accel_z_ms2": 9.81, "gyro_x_rads": 0.01, "gyro_y_rads": -0.02,
            "gyro_z_rads": 0.3, "brake_pct": 55.0, "throttle_pct": 0.0, "engine_rpm": 1450.0, "coolant_c": 88.0,
            "battery_v": 13.9, "fuel_pct": 62.5, "tyre_kpa": [220.0, 221.0, 230.0, 229.5], "rssi_dbm": -71.0,
            "satellites": 11, "speed_limit_kmh": 50.0, "phone_in_use": false, "airbag": false, "ecall": false,
            "dtc": ["P0301", "U0100"]}),
        json!({"ts": "2026-01-31T07:15:01.250Z", "speed_kmh": 0.1, "dtc": [],
            "lane": {"left": 1.5, "kinds": ["solid", null]}, "serial": 18446744073709551615u64, "offset": -7}),
        json!({"ts": "2026-01-31T07:14:59.999Z", "ignition": false, "accel_x_ms2": -0.0}),
    ];
    let driver = DriverId::from_uuid(Uuid::from_u128(0x0d));
    let raw =
        |(line, (accel_frame, gravity, device_rank, driver)): (Value, (AccelFrame, Gravity, u8, Option<DriverId>))| {
            RawSample {
                sample: serde_json::from_value(line).unwrap(),
                accel_frame,
                gravity,
                device_rank,
                driver,
            }
        };
    let said = [
        (AccelFrame::Vehicle, Gravity::Included, 0, Some(driver)),
        (AccelFrame::Device, Gravity::Removed, 1, None),
        (AccelFrame::Earth, Gravity::Included, 255, Some(driver)),
    ];
    lines.into_iter().zip(said).map(raw).collect()
}

/// Guards the format: blocks written today must open in years. Set ODOGRAPH_WRITE_GOLDEN to write one for a new version.
#[test]
fn the_golden_blocks_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    if std::env::var_os("ODOGRAPH_WRITE_GOLDEN").is_some() {
        let block = seal_block(vehicle(), &key(), &refs(&golden_samples())).unwrap().1;
        std::fs::write(folder.join("raw_block_v2.bin"), block).unwrap();
    }
    for name in ["raw_block_v1.bin", "raw_block_v2.bin"] {
        let golden = std::fs::read(folder.join(name)).unwrap();
        let header = BlockHeader::read(&golden).unwrap();
        assert_eq!(
            (header.vehicle, header.key_id, header.samples),
            (vehicle(), key().id, 3),
            "{name}"
        );
        assert_eq!(
            (header.min_ts_ms, header.max_ts_ms),
            (1_769_843_699_999, 1_769_843_701_250)
        );
        let opened = open_block(&key().key, &golden).unwrap();
        assert_eq!(bits(&opened), bits(&golden_samples()), "{name}");
        // Compression may change what is written, but never what the columns are.
        let columns: [u8; 32] = Sha256::digest(encode(&refs(&golden_samples()))).into();
        assert_eq!(header.sha256 == columns, golden[4] == VERSION, "{name}");
    }
}
