//! What the door reads of a batch: its envelope fields, whether it is urgent, and how much it holds. One pass, no sample is
//! decoded and nothing is judged that ingest judges; the body goes on untouched.

mod protobuf;

use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity},
    envelope::ContentType,
    outcome::MessageRejection,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::lists::{Impacts, Samples};
use crate::problem::{Code, shown};

const SCHEMA: f64 = 1.0;

/// The envelope fields of a batch that is sound as far as the door looks.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::v1) struct Glance {
    pub(in crate::v1) batch_id: BatchId,
    /// Absent: the device says which it is of.
    pub(in crate::v1) vehicle: Option<String>,
    pub(in crate::v1) device: Option<String>,
    /// It holds an impact, or a sample with `airbag` or `ecall`.
    pub(in crate::v1) urgent: bool,
    pub(in crate::v1) samples: usize,
}

/// Why a batch is turned away, and what of it was seen.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::v1) struct Turned {
    pub(in crate::v1) reason: MessageRejection,
    pub(in crate::v1) detail: String,
    pub(in crate::v1) batch_id: Option<String>,
    pub(in crate::v1) vehicle: Option<String>,
    /// As far as they could be counted.
    pub(in crate::v1) samples: usize,
}

impl Turned {
    pub(super) fn undecodable(detail: impl Into<String>) -> Self {
        Self {
            reason: MessageRejection::Undecodable,
            detail: detail.into(),
            batch_id: None,
            vehicle: None,
            samples: 0,
        }
    }

    pub(in crate::v1) fn code(&self) -> Code {
        match self.reason {
            MessageRejection::Undecodable => Code::MalformedBody,
            MessageRejection::UnsupportedSchema => Code::UnsupportedSchema,
            MessageRejection::UnknownVehicle => Code::UnknownVehicle,
            MessageRejection::UnknownDevice => Code::UnknownDevice,
            MessageRejection::TooManySamples => Code::TooManySamples,
            _ => Code::BadBatch,
        }
    }
}

pub(in crate::v1) fn glance(body: &[u8], content_type: ContentType, most_samples: usize) -> Result<Glance, Turned> {
    match content_type {
        ContentType::Json => glance_json(body, most_samples),
        ContentType::Protobuf => protobuf::glance(body, most_samples),
    }
}

fn glance_json(body: &[u8], most_samples: usize) -> Result<Glance, Turned> {
    let undecodable = |got: String, reason| Turned {
        reason,
        detail: format!("wanted one batch as a JSON object, got {got}"),
        batch_id: None,
        vehicle: None,
        samples: 0,
    };
    // A list would be read as the fields of a batch in their order.
    if let Some(kind) = no_object(body) {
        return Err(undecodable(kind.to_owned(), MessageRejection::Undecodable));
    }
    let head: Head<'_> = serde_json::from_slice(body).map_err(|error| {
        let (reason, got) = match error.is_data() {
            // What the reader says of such a value may hold all of it.
            true => without_values(&error),
            false => (MessageRejection::Undecodable, format!("what is not JSON: {error}")),
        };
        undecodable(got, reason)
    })?;
    head.judge(most_samples)
}

/// What sound JSON is that is no object.
fn no_object(body: &[u8]) -> Option<&'static str> {
    let kind = match body.trim_ascii_start().first()? {
        b'[' => "a list",
        b'"' => "a text",
        b't' | b'f' => "true or false",
        b'n' => "null",
        b'-' | b'0'..=b'9' => "a number",
        _ => return None,
    };
    serde_json::from_slice::<IgnoredAny>(body).is_ok().then_some(kind)
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    batch_id: Option<&'a RawValue>,
    #[serde(borrow)]
    vehicle: Option<&'a RawValue>,
    #[serde(borrow)]
    device: Option<&'a RawValue>,
    #[serde(borrow)]
    accel_frame: Option<&'a RawValue>,
    #[serde(borrow)]
    gravity: Option<&'a RawValue>,
    samples: Option<Samples>,
    impacts: Option<Impacts>,
}

impl Head<'_> {
    fn judge(self, most_samples: usize) -> Result<Glance, Turned> {
        let samples = self.samples.unwrap_or_default();
        let impacts = self.impacts.unwrap_or_default();
        let batch_id = self.batch_id.and_then(text);
        let vehicle = self.vehicle.and_then(text);
        let turned = |(reason, detail): Refusal| Turned {
            reason,
            detail,
            batch_id: batch_id.as_deref().map(|id| shown(id).into_owned()),
            vehicle: vehicle.as_deref().map(|name| shown(name).into_owned()),
            samples: samples.count,
        };
        if self.schema.and_then(|raw| raw.get().parse::<f64>().ok()) != Some(SCHEMA) {
            let detail = format!("schema: wanted {SCHEMA}, got {}", given(self.schema));
            return Err(turned((MessageRejection::UnsupportedSchema, detail)));
        }
        let id = batch_id
            .clone()
            .ok_or_else(|| turned(bad("batch_id", "text", self.batch_id)))?;
        let id =
            BatchId::parse(id).map_err(|error| turned((MessageRejection::BadBatch, format!("batch_id: {error}"))))?;
        let device = self.device.and_then(text).filter(|name| !name.is_empty());
        let left_to_device = vehicle.as_deref().is_none_or(str::is_empty) && device.is_some();
        let unsaid = self.vehicle.is_none_or(|raw| matches!(raw.get(), "null" | "\"\""));
        if !(left_to_device && unsaid) && vehicle.is_none() {
            return Err(turned(bad("vehicle", VEHICLE, self.vehicle)));
        }
        self.check_frame().map_err(turned)?;
        self.check_lists(samples, impacts, most_samples).map_err(turned)?;
        Ok(Glance {
            batch_id: id,
            vehicle: vehicle.filter(|_| !left_to_device),
            device,
            urgent: impacts.count > 0 || samples.crash,
            samples: samples.count,
        })
    }

    fn check_frame(&self) -> Result<(), Refusal> {
        if self
            .accel_frame
            .is_some_and(|raw| serde_json::from_str::<AccelFrame>(raw.get()).is_err())
        {
            return Err(bad("accel_frame", "vehicle, device or earth", self.accel_frame));
        }
        if self
            .gravity
            .is_some_and(|raw| serde_json::from_str::<Gravity>(raw.get()).is_err())
        {
            return Err(bad("gravity", "included or removed", self.gravity));
        }
        Ok(())
    }

    fn check_lists(&self, samples: Samples, impacts: Impacts, most_samples: usize) -> Result<(), Refusal> {
        for (name, is_list) in [
            ("samples", self.samples.is_none() || samples.is_list),
            ("impacts", self.impacts.is_none() || impacts.is_list),
        ] {
            if !is_list {
                return Err((MessageRejection::BadBatch, format!("{name}: wanted a list")));
            }
        }
        check_counts(samples.count, impacts.count, most_samples)
    }
}

const VEHICLE: &str = "an id or an external reference, or none beside the device that was in it";

fn check_counts(samples: usize, impacts: usize, most_samples: usize) -> Result<(), Refusal> {
    let most = samples.max(impacts);
    if most == 0 {
        let detail = "wanted at least one sample or impact, got none".to_owned();
        return Err((MessageRejection::EmptyBatch, detail));
    }
    if most > most_samples {
        let detail = format!("wanted at most {most_samples} samples and as many impacts, got {most}");
        return Err((MessageRejection::TooManySamples, detail));
    }
    Ok(())
}

type Refusal = (MessageRejection, String);

fn bad(name: &str, wanted: &str, raw: Option<&RawValue>) -> Refusal {
    (
        MessageRejection::BadBatch,
        format!("{name}: wanted {wanted}, got {}", given(raw)),
    )
}

fn without_values(error: &serde_json::Error) -> (MessageRejection, String) {
    let text = error.to_string();
    if text.starts_with("duplicate field") {
        return (MessageRejection::BadBatch, text);
    }
    (MessageRejection::Undecodable, "a field of another type".to_owned())
}

/// What was given for an envelope field; of lists and objects only that, since they could hold anything.
fn given(raw: Option<&RawValue>) -> String {
    match raw.map(RawValue::get) {
        None => "nothing".to_owned(),
        Some(text) if text.starts_with('{') => "an object".to_owned(),
        Some(text) if text.starts_with('[') => "a list".to_owned(),
        Some(text) => shown(text).into_owned(),
    }
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Result<Glance, Turned> {
        glance(text.as_bytes(), ContentType::Json, 3)
    }

    fn batch(samples: &str) -> String {
        format!(r#"{{"schema":1,"batch_id":"b-1","vehicle":"nds-1","colour":"red","samples":{samples}}}"#)
    }

    fn reason(text: &str) -> MessageRejection {
        look(text).unwrap_err().reason
    }

    #[test]
    fn the_envelope_is_read_and_a_bad_sample_sinks_nothing() {
        let glance = look(&batch(r#"[{"ts":"x","lat":1e999}, 5, null]"#)).unwrap();
        assert_eq!(
            (glance.batch_id.as_str(), glance.vehicle.as_deref(), glance.urgent),
            ("b-1", Some("nds-1"), false)
        );
    }

    #[test]
    fn a_vehicle_may_be_left_to_the_device() {
        let named = |fields: &str| look(&format!(r#"{{"schema":1,"batch_id":"b",{fields},"samples":[{{}}]}}"#));
        for unsaid in [
            r#""device":"d""#,
            r#""device":"d","vehicle":null"#,
            r#""device":"d","vehicle":"""#,
        ] {
            let glance = named(unsaid).unwrap();
            assert_eq!(
                (glance.vehicle, glance.device.as_deref()),
                (None, Some("d")),
                "{unsaid}"
            );
        }
        let both = named(r#""device":"d","vehicle":"v""#).unwrap();
        assert_eq!(
            (both.vehicle.as_deref(), both.device.as_deref()),
            (Some("v"), Some("d"))
        );
        for wrong in [
            r#""device":"""#,
            r#""device":5"#,
            r#""device":"d","vehicle":5"#,
            r#""vehicle":null"#,
        ] {
            assert_eq!(named(wrong).unwrap_err().reason, MessageRejection::BadBatch, "{wrong}");
        }
    }

    #[test]
    fn crash_flags_and_impacts_are_urgent() {
        let urgent = |samples: &str| look(&batch(samples)).unwrap().urgent;
        assert!(urgent(r#"[{"ts":"x"},{"airbag":true}]"#));
        assert!(urgent(r#"[{"ecall":1.0}]"#));
        for calm in [
            r#"[{"airbag":false}]"#,
            r#"[{"airbag":null,"ecall":0}]"#,
            r#"[{"airbag":"true"}]"#,
            r#"[[true]]"#,
        ] {
            assert!(!urgent(calm), "{calm}");
        }
        assert!(!urgent(r#"[{"nested":{"airbag":true}}]"#));
        let impact = r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":[],"impacts":[{}]}"#;
        assert!(look(impact).unwrap().urgent);
        let none = r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":[{}],"impacts":null}"#;
        assert!(!look(none).unwrap().urgent);
    }

    #[test]
    fn what_is_turned_away_has_its_reason() {
        assert_eq!(reason(""), MessageRejection::Undecodable);
        assert_eq!(reason("{\"schema\":1"), MessageRejection::Undecodable);
        assert_eq!(reason("[]"), MessageRejection::Undecodable);
        assert_eq!(reason("{}"), MessageRejection::UnsupportedSchema);
        for schema in ["2", "\"1\"", "null", "1.5", "{}"] {
            assert_eq!(
                reason(&format!(r#"{{"schema":{schema}}}"#)),
                MessageRejection::UnsupportedSchema,
                "{schema}"
            );
        }
        assert_eq!(reason(r#"{"schema":1,"batch_id":5}"#), MessageRejection::BadBatch);
        assert_eq!(reason(r#"{"schema":1,"batch_id":""}"#), MessageRejection::BadBatch);
        assert_eq!(reason(r#"{"schema":1,"batch_id":"b"}"#), MessageRejection::BadBatch);
        assert_eq!(
            reason(r#"{"schema":1,"batch_id":"b","vehicle":"v"}"#),
            MessageRejection::EmptyBatch
        );
        for wrong in [
            r#""samples":[1],"impacts":{}"#,
            r#""samples":[1],"gravity":"some""#,
            r#""samples":[1],"accel_frame":{}"#,
        ] {
            let text = format!(r#"{{"schema":1.0,"batch_id":"b","vehicle":"v",{wrong}}}"#);
            assert_eq!(reason(&text), MessageRejection::BadBatch, "{wrong}");
        }
        assert_eq!(reason(&batch("{}")), MessageRejection::BadBatch);
        assert_eq!(reason(&batch("[]")), MessageRejection::EmptyBatch);
        assert_eq!(reason(&batch("[1,2,3,4]")), MessageRejection::TooManySamples);
        assert_eq!(reason(r#"{"schema":1,"schema":1}"#), MessageRejection::BadBatch);
    }

    #[test]
    fn what_is_no_object_is_named_and_never_read_as_one() {
        let detail = |text: &str| look(text).unwrap_err().detail;
        assert_eq!(
            detail(r#"[1,"b","v",null,null,[{}],null]"#),
            "wanted one batch as a JSON object, got a list"
        );
        assert_eq!(detail(" 5"), "wanted one batch as a JSON object, got a number");
        assert_eq!(detail("\"x\""), "wanted one batch as a JSON object, got a text");
        assert!(detail("[1").contains("got what is not JSON"), "{}", detail("[1"));
    }

    #[test]
    fn what_was_seen_is_said_and_cut() {
        let long = "v".repeat(500);
        let turned = look(&format!(
            r#"{{"schema":2,"batch_id":"b","vehicle":"{long}","samples":[{{}}]}}"#
        ))
        .unwrap_err();
        assert_eq!(turned.detail, "schema: wanted 1, got 2");
        assert_eq!((turned.batch_id.as_deref(), turned.samples), (Some("b"), 1));
        assert!(turned.vehicle.unwrap().chars().count() < 100);
    }
}
