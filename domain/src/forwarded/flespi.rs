//! flespi's messages: a list of flat objects with `ident`, `timestamp` in seconds and parameters such as `position.latitude`,
//! in the units of its parameter list (km/h, km, volts).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Draft, Forwarded, NotForwarded, To, batches, device_name};
use crate::{outcome::MessageRejection, time::EventTime};

/// What was forwarded, by device, and how many messages say of no device that they are of it.
pub fn translate(body: &[u8]) -> Result<(Vec<Forwarded>, Option<NotForwarded>), NotForwarded> {
    let wanted = "a list of messages, as flespi forwards them";
    let messages: Vec<Value> =
        serde_json::from_slice(body).map_err(|error| NotForwarded::undecodable(wanted, &error))?;
    let mut by_device: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut nobodys = 0;
    for message in messages {
        match (device_name(message.get("ident")), message) {
            (Some(device), Value::Object(message)) => {
                by_device
                    .entry(device)
                    .or_default()
                    .push(Value::Object(sample(message)));
            }
            _ => nobodys += 1,
        }
    }
    let left = (nobodys > 0).then(|| NotForwarded {
        reason: MessageRejection::BadBatch,
        detail: format!("ident: wanted the device's in every message, got {nobodys} without one"),
        samples: nobodys,
    });
    Ok((batches("flespi", by_device), left))
}

fn sample(message: Map<String, Value>) -> Map<String, Value> {
    let mut draft = Draft::new("flespi");
    let fixed = message.get("position.valid").and_then(Value::as_bool) != Some(false);
    // What the car itself says goes before what the tracker works out.
    let (of_car, rest): (Vec<_>, Vec<_>) = message.into_iter().partition(|(name, _)| name.starts_with("can."));
    for (name, value) in of_car.into_iter().chain(rest) {
        if name == "timestamp" {
            draft.put(&name, time(value), To::Field("ts"));
            continue;
        }
        let to = match name.as_str() {
            "position.latitude" if fixed => To::Field("lat"),
            "position.longitude" if fixed => To::Field("lon"),
            "position.altitude" if fixed => To::Field("altitude_m"),
            "position.speed" if fixed => To::Field("speed_kmh"),
            "position.direction" if fixed => To::Field("heading_deg"),
            "position.hdop" => To::Field("hdop"),
            "position.satellites" => To::Field("satellites"),
            "position.valid" if fixed => To::Nowhere,
            "engine.ignition.status" | "can.engine.ignition.status" => To::Field("ignition"),
            "vehicle.mileage" | "can.vehicle.mileage" => To::Field("odometer_km"),
            "engine.motorhours" | "can.engine.motorhours" => To::Field("engine_hours"),
            "engine.rpm" | "can.engine.rpm" => To::Field("engine_rpm"),
            "can.throttle.pedal.level" => To::Field("throttle_pct"),
            "can.engine.coolant.temperature" => To::Field("coolant_c"),
            "can.fuel.level" => To::Field("fuel_pct"),
            "external.powersource.voltage" => To::Field("battery_v"),
            "external.powersource.status" => To::Field("external_power"),
            "gsm.signal.dbm" => To::Field("rssi_dbm"),
            // The platform's bookkeeping, and the device's address on the network.
            "ident" | "server.timestamp" | "channel.id" | "device.id" | "device.type.id" | "protocol.id" | "peer" => {
                To::Nowhere
            }
            _ => To::Unknown,
        };
        draft.put(&name, value, to);
    }
    draft.fields
}

/// Seconds since 1970 as RFC 3339; what is no such number stays what it is.
fn time(seconds: Value) -> Value {
    let ms = seconds.as_f64().map(|seconds| (seconds * 1_000.0).round());
    let ms = ms.filter(|ms| ms.abs() < 1e14).map(|ms| ms as i64);
    match ms.and_then(EventTime::from_millis) {
        Some(ts) => ts.to_string().into(),
        None => seconds,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample::Sample;

    #[test]
    fn messages_are_samples_by_device() {
        let messages = json!([
            {
                "ident": "352094081234567", "timestamp": 1769843700.25, "server.timestamp": 1769843701.5, "channel.id": 9,
                "peer": "10.0.0.7:4711", "position.latitude": 48.137154, "position.longitude": 11.576124,
                "position.speed": 50, "position.direction": 41, "position.valid": true, "position.hdop": 0.9,
                "engine.ignition.status": true, "vehicle.mileage": 100.5, "can.vehicle.mileage": 48211.3,
                "can.engine.rpm": 1900, "battery.voltage": 4.1, "event.enum": 7
            },
            { "ident": "other", "timestamp": 1769843701 },
            { "ident": "352094081234567", "timestamp": "later", "position.valid": false, "position.latitude": 1 },
            { "timestamp": 1 }, 5
        ]);
        let (forwarded, left) = translate(messages.to_string().as_bytes()).unwrap();
        assert_eq!(left.map(|left| left.samples), Some(2));
        let devices: Vec<_> = forwarded.iter().map(|of| (of.device.as_str(), of.samples)).collect();
        assert_eq!(devices, [("352094081234567", 2), ("other", 1)]);
        let batch: Value = serde_json::from_slice(&forwarded[0].batch).unwrap();
        let sample: Sample = serde_json::from_value(batch["samples"][0].clone()).unwrap();
        assert_eq!(sample.ts.to_string(), "2026-01-31T07:15:00.250Z");
        assert_eq!(
            (sample.speed_kmh, sample.heading_deg, sample.ignition),
            (Some(50.0), Some(41.0), Some(true))
        );
        assert_eq!((sample.odometer_km, sample.engine_rpm), (Some(48_211.3), Some(1900.0)));
        let names: Vec<_> = sample.extra.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["flespi.battery.voltage", "flespi.event.enum", "flespi.vehicle.mileage"]
        );
        assert_eq!(batch["samples"][1]["ts"], "later");
        assert!(batch["samples"][1].get("lat").is_none());
    }

    #[test]
    fn what_is_no_list_is_told() {
        for wrong in ["", "{}", "[1", "5"] {
            assert_eq!(
                translate(wrong.as_bytes()).unwrap_err().reason,
                MessageRejection::Undecodable,
                "{wrong}"
            );
        }
        assert_eq!(translate(b"[]").unwrap(), (Vec::new(), None));
    }
}
