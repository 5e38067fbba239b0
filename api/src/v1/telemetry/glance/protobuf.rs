//! What the door reads of a batch that is a message of `proto/telemetry.proto`.

use odograph_domain::{
    batch::{AccelFrame, BatchId, Gravity},
    outcome::MessageRejection,
    protobuf::{Fields, Wire, batch},
    sample::FIELDS,
};

use super::{Glance, Refusal, SCHEMA, Turned, VEHICLE, check_counts};
use crate::problem::shown;

pub(super) fn glance(body: &[u8], most_samples: usize) -> Result<Glance, Turned> {
    let mut head = Head::default();
    let broken = Fields::of(body).find_map(|field| match field {
        Ok(field) => {
            head.take(field.tag, field.value);
            None
        }
        Err(error) => Some(error),
    });
    let judged = match broken {
        Some(error) => {
            let detail = format!("wanted one batch as a protobuf message, got what is not: {error}");
            Err((MessageRejection::Undecodable, detail))
        }
        None => head.judge(most_samples),
    };
    judged.map_err(|(reason, detail)| Turned {
        reason,
        detail,
        batch_id: head.batch_id.map(|id| shown(id).into_owned()),
        vehicle: head.vehicle.map(|name| shown(name).into_owned()),
        samples: head.samples,
    })
}

#[derive(Default)]
struct Head<'a> {
    schema: Option<u64>,
    batch_id: Option<&'a str>,
    vehicle: Option<&'a str>,
    device: Option<&'a str>,
    samples: usize,
    impacts: usize,
    crash: bool,
    /// Of the first field that is not what it should be.
    wrong: Option<String>,
}

impl<'a> Head<'a> {
    fn take(&mut self, tag: u32, value: Wire<'a>) {
        let slot = match tag {
            batch::BATCH_ID => Some(("batch_id", &mut self.batch_id)),
            batch::VEHICLE => Some(("vehicle", &mut self.vehicle)),
            batch::DEVICE => Some(("device", &mut self.device)),
            _ => None,
        };
        let wrong = match (tag, value, slot) {
            (_, Wire::Bytes(bytes), Some((name, slot))) => match std::str::from_utf8(bytes) {
                Ok(text) => {
                    *slot = Some(text);
                    return;
                }
                Err(_) => format!("{name}: wanted a text, got one not in UTF-8"),
            },
            (_, other, Some((name, _))) => format!("{name}: wanted a text, got {}", other.kind()),
            (batch::SCHEMA, Wire::Varint(schema), _) => {
                self.schema = Some(schema);
                return;
            }
            (batch::SAMPLES, Wire::Bytes(sample), _) => {
                self.samples += 1;
                self.crash = self.crash || has_crash_flag(sample);
                return;
            }
            (batch::IMPACTS, Wire::Bytes(_), _) => {
                self.impacts += 1;
                return;
            }
            (batch::ACCEL_FRAME, Wire::Varint(number), _) if AccelFrame::of_number(number).is_some() => return,
            (batch::GRAVITY, Wire::Varint(number), _) if Gravity::of_number(number).is_some() => return,
            (batch::ACCEL_FRAME, ..) => "accel_frame: wanted 1 (vehicle), 2 (device) or 3 (earth)".to_owned(),
            (batch::GRAVITY, ..) => "gravity: wanted 1 (included) or 2 (removed)".to_owned(),
            (batch::SAMPLES, other, _) => format!("samples: wanted messages, got {}", other.kind()),
            (batch::IMPACTS, other, _) => format!("impacts: wanted messages, got {}", other.kind()),
            // The driver is ingest's to judge; what a newer version sends is kept.
            _ => return,
        };
        self.wrong.get_or_insert(wrong);
    }

    fn judge(&self, most_samples: usize) -> Result<Glance, Refusal> {
        let bad = |detail: String| (MessageRejection::BadBatch, detail);
        if self.schema.map(|schema| schema as f64) != Some(SCHEMA) {
            let got = self.schema.map_or("nothing".to_owned(), |schema| schema.to_string());
            let detail = format!("schema: wanted {SCHEMA}, got {got}");
            return Err((MessageRejection::UnsupportedSchema, detail));
        }
        if let Some(wrong) = &self.wrong {
            return Err(bad(wrong.clone()));
        }
        let id = self
            .batch_id
            .ok_or_else(|| bad("batch_id: wanted text, got nothing".to_owned()))?;
        let id = BatchId::parse(id).map_err(|error| bad(format!("batch_id: {error}")))?;
        let vehicle = self.vehicle.filter(|name| !name.is_empty());
        let device = self.device.filter(|name| !name.is_empty());
        if vehicle.is_none() && device.is_none() {
            return Err(bad(format!("vehicle: wanted {VEHICLE}, got nothing")));
        }
        check_counts(self.samples, self.impacts, most_samples)?;
        Ok(Glance {
            batch_id: id,
            vehicle: vehicle.map(str::to_owned),
            device: device.map(str::to_owned),
            urgent: self.impacts > 0 || self.crash,
            samples: self.samples,
        })
    }
}

/// Whether a sample has one of the car's own crash flags set. What does not read has none: ingest tells what is wrong with it.
fn has_crash_flag(sample: &[u8]) -> bool {
    Fields::of(sample).flatten().any(|field| {
        let is_flag = |tag| {
            FIELDS
                .iter()
                .any(|known| u32::from(known.tag) == tag && matches!(known.name, "airbag" | "ecall"))
        };
        matches!(field.value, Wire::Varint(flag) if flag != 0) && is_flag(field.tag)
    })
}

#[cfg(test)]
mod tests {
    use odograph_domain::{
        batch::Batch,
        protobuf::{put_bytes, put_varint},
        sample::{Sample, parse_ts},
    };

    use super::*;

    fn batch_of(change: impl Fn(&mut Batch)) -> Vec<u8> {
        let mut batch = Batch {
            batch_id: BatchId::parse("b-1").unwrap(),
            vehicle: "nds-1".to_owned(),
            device: None,
            driver: None,
            accel_frame: AccelFrame::default(),
            gravity: Gravity::default(),
            samples: vec![Sample::at(parse_ts("2026-01-31T07:15:00Z").unwrap()); 2],
            impacts: Vec::new(),
        };
        change(&mut batch);
        batch.to_protobuf()
    }

    fn look(body: &[u8]) -> Result<Glance, Turned> {
        glance(body, 3)
    }

    #[test]
    fn the_envelope_is_read_and_a_bad_sample_sinks_nothing() {
        let mut body = batch_of(|_| {});
        put_bytes(batch::SAMPLES, b"no sample", &mut body);
        put_bytes(99, b"of a newer version", &mut body);
        let glance = look(&body).unwrap();
        assert_eq!(
            (glance.batch_id.as_str(), glance.vehicle.as_deref()),
            ("b-1", Some("nds-1"))
        );
        assert_eq!((glance.urgent, glance.samples), (false, 3));
        let crash = look(&batch_of(|batch| batch.samples[1].airbag = Some(true))).unwrap();
        let calm = look(&batch_of(|batch| batch.samples[1].ecall = Some(false))).unwrap();
        assert!(crash.urgent && !calm.urgent);
        let of_device = |batch: &mut Batch| (batch.vehicle, batch.device) = (String::new(), Some("dongle".to_owned()));
        assert_eq!(look(&batch_of(of_device)).unwrap().device.as_deref(), Some("dongle"));
    }

    #[test]
    fn what_is_turned_away_has_its_reason() {
        use MessageRejection::*;
        let reason = |body: &[u8]| look(body).unwrap_err().reason;
        let whole = batch_of(|_| {});
        let turned = look(&whole[..whole.len() - 1]).unwrap_err();
        assert_eq!((turned.reason, turned.samples), (Undecodable, 1));
        assert_eq!(turned.batch_id.as_deref(), Some("b-1"));
        assert_eq!(reason(b""), UnsupportedSchema);
        assert_eq!(reason(&batch_of(|batch| batch.vehicle.clear())), BadBatch);
        assert_eq!(reason(&batch_of(|batch| batch.samples.clear())), EmptyBatch);
        let many = |batch: &mut Batch| batch.samples = vec![batch.samples[0].clone(); 4];
        assert_eq!(reason(&batch_of(many)), TooManySamples);
        let wrong = |tag, value| {
            let mut body = batch_of(|_| {});
            put_varint(tag, value, &mut body);
            reason(&body)
        };
        assert_eq!(wrong(batch::SCHEMA, 2), UnsupportedSchema);
        for (tag, value) in [
            (batch::BATCH_ID, 5),
            (batch::VEHICLE, 5),
            (batch::GRAVITY, 3),
            (batch::SAMPLES, 5),
        ] {
            assert_eq!(wrong(tag, value), BadBatch, "{tag}");
        }
    }
}
