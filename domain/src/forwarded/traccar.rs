//! Traccar's position forwarding (`forward.type = json`): `{"position": {…}, "device": {…}}`, one position a request.
//!
//! Units there: speed in knots, distances in metres, `hours` in ms. Its attributes `battery` and `batteryLevel` are the tracker's
//! own, `power` is what the car feeds it; `rssi` is a level without a unit unless it is negative. `totalDistance` is what Traccar
//! sums up from positions, and no odometer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Draft, Forwarded, NotForwarded, To, batches, device_name};
use crate::outcome::MessageRejection;

/// km/h of a knot (the international nautical mile has 1,852 m).
const KNOT_KMH: f64 = 1.852;
const METRES_PER_KM: f64 = 1_000.0;
const MS_PER_HOUR: f64 = 3_600_000.0;

#[derive(Deserialize)]
struct Body {
    position: Map<String, Value>,
    device: Map<String, Value>,
}

pub fn translate(body: &[u8]) -> Result<Forwarded, NotForwarded> {
    let wanted = "an object with a `position` and its `device`, as Traccar forwards them";
    let Body { position, device } =
        serde_json::from_slice(body).map_err(|error| NotForwarded::undecodable(wanted, &error))?;
    let no_device = || NotForwarded {
        reason: MessageRejection::BadBatch,
        detail: "device.uniqueId: wanted the tracker's id, got none".to_owned(),
        samples: 1,
    };
    let device = device_name(device.get("uniqueId")).ok_or_else(no_device)?;
    let sample = Value::Object(sample(position));
    let batch = batches("traccar", BTreeMap::from([(device, vec![sample])]))
        .into_iter()
        .next();
    batch.ok_or_else(no_device)
}

fn sample(mut position: Map<String, Value>) -> Map<String, Value> {
    let mut draft = Draft::new("traccar");
    let attributes = position.remove("attributes");
    let is = |name: &str, wanted: bool| position.get(name).and_then(Value::as_bool) == Some(wanted);
    // Without a fix of its own a message repeats the position before, with the time of that.
    let (stale, valid) = (is("outdated", true), !is("valid", false));
    let fixed = !stale && valid;
    for (name, value) in position {
        let to = match name.as_str() {
            "fixTime" if !stale => To::Field("ts"),
            "deviceTime" if stale => To::Field("ts"),
            "latitude" if fixed => To::Field("lat"),
            "longitude" if fixed => To::Field("lon"),
            "altitude" if fixed => To::Field("altitude_m"),
            "speed" if fixed => To::Times("speed_kmh", KNOT_KMH),
            "course" if fixed => To::Field("heading_deg"),
            // Zero stands for unknown.
            "accuracy" if value.as_f64() == Some(0.0) => To::Nowhere,
            "accuracy" if fixed => To::Field("accuracy_m"),
            "fixTime" | "deviceTime" | "serverTime" | "id" | "deviceId" => To::Nowhere,
            "valid" if valid => To::Nowhere,
            "outdated" if !stale => To::Nowhere,
            _ => To::Unknown,
        };
        draft.put(&name, value, to);
    }
    match attributes {
        Some(Value::Object(attributes)) => {
            for (name, value) in attributes {
                attribute(&mut draft, &name, value);
            }
        }
        Some(other) => draft.put("attributes", other, To::Unknown),
        None => {}
    }
    draft.fields
}

fn attribute(draft: &mut Draft, name: &str, value: Value) {
    let to = match name {
        "ignition" => To::Field("ignition"),
        "odometer" | "obdOdometer" => To::Over("odometer_km", METRES_PER_KM),
        "hours" => To::Over("engine_hours", MS_PER_HOUR),
        "power" => To::Field("battery_v"),
        "charge" => To::Field("external_power"),
        "rpm" => To::Field("engine_rpm"),
        "throttle" => To::Field("throttle_pct"),
        "coolantTemp" => To::Field("coolant_c"),
        "fuelLevel" => To::Field("fuel_pct"),
        "hdop" => To::Field("hdop"),
        "sat" => To::Field("satellites"),
        "rssi" if value.as_f64().is_some_and(|level| level < 0.0) => To::Field("rssi_dbm"),
        "door" => To::Field("doors_open"),
        "dtcs" => To::Field("dtc"),
        _ => To::Unknown,
    };
    let value = match (name, value) {
        // Codes apart by spaces or commas.
        ("dtcs", Value::String(codes)) => {
            let codes = codes.split([' ', ',', ';']).filter(|code| !code.is_empty());
            codes.map(|code| Value::from(code)).collect()
        }
        (_, value) => value,
    };
    draft.put(name, value, to);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample::Sample;

    fn forwarded(position: Value) -> Result<Value, NotForwarded> {
        let body = json!({ "position": position, "device": { "id": 4, "uniqueId": "123456789012345", "name": "Van" } });
        translate(body.to_string().as_bytes()).map(|forwarded| serde_json::from_slice(&forwarded.batch).unwrap())
    }

    fn position() -> Value {
        json!({
            "id": 7021, "attributes": {
                "ignition": true, "odometer": 48_211_300, "totalDistance": 51_000_000.7, "hours": 5_400_000, "power": 14.1,
                "battery": 4.1, "batteryLevel": 96, "rpm": 1900, "hdop": 0.9, "sat": 11, "rssi": 4, "motion": true,
                "alarm": "hardBraking", "dtcs": "P0301 P0420", "io239": 1
            },
            "deviceId": 4, "protocol": "teltonika", "serverTime": "2026-01-31T07:15:02.000+00:00",
            "deviceTime": "2026-01-31T07:15:01.000+00:00", "fixTime": "2026-01-31T07:15:00.000+00:00", "outdated": false,
            "valid": true, "latitude": 48.137154, "longitude": 11.576124, "altitude": 519.0, "speed": 27.0, "course": 41.0,
            "address": null, "accuracy": 0.0, "network": null, "geofenceIds": null
        })
    }

    #[test]
    fn a_position_is_a_sample_in_our_units() {
        let batch = forwarded(position()).unwrap();
        assert_eq!(
            (&batch["schema"], &batch["device"]),
            (&json!(1), &json!("123456789012345"))
        );
        let sample: Sample = serde_json::from_value(batch["samples"][0].clone()).unwrap();
        assert_eq!(sample.ts.to_string(), "2026-01-31T07:15:00.000Z");
        assert_eq!(
            (sample.lat, sample.lon, sample.speed_kmh),
            (Some(48.137154), Some(11.576124), Some(50.004))
        );
        assert_eq!((sample.odometer_km, sample.engine_hours), (Some(48_211.3), Some(1.5)));
        assert_eq!(
            (sample.ignition, sample.battery_v, sample.accuracy_m),
            (Some(true), Some(14.1), None)
        );
        assert_eq!(sample.dtc, Some(vec!["P0301".to_owned(), "P0420".to_owned()]));
        let names: Vec<_> = sample.extra.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "traccar.alarm",
                "traccar.battery",
                "traccar.batteryLevel",
                "traccar.io239",
                "traccar.motion",
                "traccar.protocol",
                "traccar.rssi",
                "traccar.totalDistance"
            ]
        );
    }

    #[test]
    fn the_same_position_is_the_same_batch() {
        let id = |position: Value| forwarded(position).unwrap()["batch_id"].clone();
        let mut other = position();
        other["speed"] = json!(28);
        assert_eq!(id(position()), id(position()));
        assert_ne!(id(position()), id(other));
        assert!(id(position()).as_str().unwrap().starts_with("traccar-"));
    }

    #[test]
    fn a_position_that_is_none_is_not_taken_for_one() {
        let mut stale = position();
        stale["outdated"] = json!(true);
        let sample = forwarded(stale).unwrap()["samples"][0].clone();
        assert_eq!(sample["ts"], "2026-01-31T07:15:01.000+00:00");
        assert!(sample.get("lat").is_none() && sample["traccar.latitude"] == 48.137154);
        let mut invalid = position();
        invalid["valid"] = json!(false);
        let sample = forwarded(invalid).unwrap()["samples"][0].clone();
        assert!(sample.get("lat").is_none() && sample["traccar.valid"] == false);
    }

    #[test]
    fn what_is_wrong_goes_on_to_be_told() {
        let mut wrong = position();
        wrong["speed"] = json!("fast");
        assert_eq!(forwarded(wrong).unwrap()["samples"][0]["speed_kmh"], "fast");
        assert_eq!(translate(b"[]").unwrap_err().reason, MessageRejection::Undecodable);
        let nobody = json!({ "position": position(), "device": { "id": 4 } });
        let error = translate(nobody.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.reason, error.samples), (MessageRejection::BadBatch, 1));
    }
}
