//! One message of a known sender: the envelope it goes on in, and whether it may.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use odograph_domain::{
    device::PairedDevice,
    envelope::{ContentEncoding, ContentType, Envelope, Header, Lane, Source},
    id::{MessageId, TenantId, VehicleId},
    outcome::MessageRejection,
    time::ReceivedAt,
};
use odograph_ingest::{
    decode::{self, DecodeLimits, Decoded, Refusal},
    rabbit::Arrived,
};
use odograph_store::StoreError;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Bridge, sender::Sender};

/// Ids of messages follow from their content within this.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f2b_7a51_93c4_5d0e_b6a8_41f7_2c9d_e035);
const GZIP: &[u8] = &[0x1f, 0x8b];

pub(super) struct Message {
    pub(super) envelope: Envelope,
    sender: Sender,
    decoded: Result<Decoded, Refusal>,
    /// What is wrong with its properties.
    unfit: Option<Refusal>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    On,
    Refused(Refusal),
}

impl Message {
    pub(super) fn open(arrived: &Arrived, sender: Sender, limits: &DecodeLimits, now: DateTime<Utc>) -> Self {
        let (content_type, unfit) = match content_type(arrived) {
            Ok(content_type) => (content_type, None),
            Err(refusal) => (ContentType::Json, Some(refusal)),
        };
        let unfit = unfit.or_else(|| content_encoding(arrived).err());
        let header = Header {
            message_id: message_id(arrived, &sender),
            tenant: sender.tenant,
            client: sender.client,
            source: arrived.source,
            lane: Lane::Live,
            vehicle: None,
            vehicle_given: String::new(),
            device: sender.device,
            received_at: ReceivedAt::new(now),
            content_type,
            content_encoding: encoding_of(arrived),
            traceparent: arrived.traceparent.clone(),
            resubmission_of: None,
            extra: serde_json::Map::new(),
        };
        let mut envelope = Envelope {
            header,
            payload: arrived.bytes.clone(),
        };
        let decode = AssertUnwindSafe(|| decode::decode(&envelope, limits));
        let decoded =
            catch_unwind(decode).unwrap_or_else(|_| Err(Refusal::new(MessageRejection::Poison, "decoding failed")));
        if let Ok(decoded) = &decoded {
            envelope.header.vehicle_given = decoded.vehicle.clone().unwrap_or_default();
            envelope.header.lane = Lane::of(is_urgent(decoded), decoded.samples.len(), envelope.payload.len());
        }
        Self {
            envelope,
            sender,
            decoded,
            unfit,
        }
    }

    fn tenant(&self) -> TenantId {
        self.envelope.header.tenant
    }

    fn names_device(&self) -> Option<&str> {
        self.decoded.as_ref().ok()?.device.as_deref()
    }

    /// Puts what its names stand for into the header, and decides whether it may go on.
    fn settle(&mut self, vehicle: Option<VehicleId>, named: Option<&PairedDevice>, own: Option<&PairedDevice>) -> Way {
        let header = &mut self.envelope.header;
        header.vehicle = vehicle;
        if self.sender.device.is_none() && header.vehicle_given.is_empty() {
            header.device = named.map(|device| device.id);
        }
        if !self.sender.holds {
            let detail = "sent by a credential that does not hold any more; wanted one that does";
            return self.refuse(MessageRejection::SenderRevoked, detail);
        }
        if let Some(refusal) = self.unfit.take() {
            return Way::Refused(refusal);
        }
        // What does not read is refused where it is kept best, and says whose it is no more than its sender.
        let (Some(own), Ok(_)) = (own, &self.decoded) else {
            return Way::On;
        };
        if self.names_device().is_some() && named.map(|device| device.id) != Some(own.id) {
            let detail = "device: wanted that of the credential, or none, got another";
            return self.refuse(MessageRejection::ForeignDevice, detail);
        }
        let was_in = |vehicle| own.pairings.iter().any(|pairing| pairing.vehicle == vehicle);
        let names_one = !self.envelope.header.vehicle_given.is_empty();
        if names_one && vehicle.is_none() {
            // It may be there by the time the queue is read, and nobody would ask again whose it is.
            let detail = "vehicle: wanted the id or external_ref of a vehicle of this tenant";
            return self.refuse(MessageRejection::UnknownVehicle, detail);
        }
        if vehicle.is_some_and(|vehicle| !was_in(vehicle)) {
            let detail = "vehicle: wanted one that the device of the credential is or was in, got another";
            return self.refuse(MessageRejection::ForeignDevice, detail);
        }
        Way::On
    }

    fn refuse(&self, reason: MessageRejection, detail: &str) -> Way {
        let mut refusal = Refusal::new(reason, detail);
        if let Ok(decoded) = &self.decoded {
            refusal.samples = u32::try_from(decoded.samples.len()).unwrap_or(u32::MAX);
            refusal.batch_id = Some(decoded.batch_id.to_string());
        }
        Way::Refused(refusal)
    }
}

impl Bridge {
    /// Which way each message goes.
    pub(super) async fn ways(&self, mut messages: Vec<Message>) -> Result<Vec<(Message, Way)>, StoreError> {
        let vehicles: Vec<(usize, TenantId, String)> = messages
            .iter()
            .enumerate()
            .filter(|(_, message)| !message.envelope.header.vehicle_given.is_empty())
            .map(|(place, message)| (place, message.tenant(), message.envelope.header.vehicle_given.clone()))
            .collect();
        // The device a batch names, and the one whose credential it came by.
        let named = messages
            .iter()
            .enumerate()
            .filter_map(|(place, message)| Some((place, message.tenant(), message.names_device()?.to_owned())));
        let own = messages
            .iter()
            .enumerate()
            .filter_map(|(place, message)| Some((place, message.tenant(), message.sender.device?.to_string())));
        let (named, own): (Vec<_>, Vec<_>) = (named.collect(), own.collect());
        let wanted = |names: &'_ [(usize, TenantId, String)]| {
            names
                .iter()
                .map(|(_, tenant, name)| (*tenant, name.clone()))
                .collect::<Vec<_>>()
        };
        let (wanted_vehicles, wanted_devices) = (wanted(&vehicles), [wanted(&named), wanted(&own)].concat());
        let (found_vehicles, found_devices) = self
            .parts
            .store
            .worker()
            .resolve(&as_text(&wanted_vehicles), &as_text(&wanted_devices))
            .await?;
        let mut of_vehicle = vec![None; messages.len()];
        for ((place, _, _), found) in vehicles.iter().zip(found_vehicles) {
            of_vehicle[*place] = found;
        }
        let (mut of_named, mut of_own) = (vec![None; messages.len()], vec![None; messages.len()]);
        let mut found_devices = found_devices.into_iter();
        for ((place, _, _), found) in named.iter().zip(&mut found_devices) {
            of_named[*place] = found;
        }
        for ((place, _, _), found) in own.iter().zip(&mut found_devices) {
            of_own[*place] = found;
        }
        let ways: Vec<Way> = messages
            .iter_mut()
            .enumerate()
            .map(|(place, message)| message.settle(of_vehicle[place], of_named[place].as_ref(), of_own[place].as_ref()))
            .collect();
        Ok(messages.into_iter().zip(ways).collect())
    }
}

fn as_text(wanted: &[(TenantId, String)]) -> Vec<(TenantId, &str)> {
    wanted.iter().map(|(tenant, name)| (*tenant, name.as_str())).collect()
}

/// Follows from sender and content, see the module's head.
fn message_id(arrived: &Arrived, sender: &Sender) -> MessageId {
    let mut hash = Sha256::new();
    hash.update(sender.login.as_bytes());
    for property in [&arrived.message_id, &arrived.content_type, &arrived.content_encoding] {
        let text = property.as_deref().unwrap_or_default();
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.update(&arrived.bytes);
    MessageId::from_uuid(Uuid::new_v5(&NAMESPACE, &hash.finalize()))
}

/// Impacts and the car's own crash flags, as at the door.
fn is_urgent(decoded: &Decoded) -> bool {
    let crash = |sample: &odograph_domain::sample::Sample| sample.airbag == Some(true) || sample.ecall == Some(true);
    !decoded.impacts.is_empty() || decoded.samples.iter().flatten().any(crash)
}

fn content_type(arrived: &Arrived) -> Result<ContentType, Refusal> {
    let Some(given) = arrived.content_type.as_deref() else {
        return Ok(guessed_type(arrived));
    };
    let kind = given.split(';').next().unwrap_or_default().trim();
    [
        (ContentType::Json, "application/json"),
        (ContentType::Protobuf, "application/x-protobuf"),
    ]
    .into_iter()
    .find(|(_, name)| kind.eq_ignore_ascii_case(name))
    .map(|(content_type, _)| content_type)
    .ok_or_else(|| unfit("content_type: wanted application/json or application/x-protobuf, got another"))
}

/// MQTT 3.1.1 has no properties. JSON begins with a brace after white space at most; a protobuf message begins with a small
/// byte, the key of one of its first fields.
fn guessed_type(arrived: &Arrived) -> ContentType {
    let is_json = arrived.bytes.trim_ascii_start().first() == Some(&b'{');
    let binary = arrived.bytes.first().is_some_and(|byte| *byte < b' ') && !arrived.bytes.starts_with(GZIP);
    if arrived.source == Source::Mqtt && binary && !is_json {
        ContentType::Protobuf
    } else {
        ContentType::Json
    }
}

fn content_encoding(arrived: &Arrived) -> Result<ContentEncoding, Refusal> {
    match arrived.content_encoding.as_deref().map(str::trim) {
        None if arrived.source == Source::Mqtt && arrived.bytes.starts_with(GZIP) => Ok(ContentEncoding::Gzip),
        // Libraries fill in a character encoding here.
        None | Some("") => Ok(ContentEncoding::Identity),
        Some(given)
            if ["identity", "utf-8", "utf8"]
                .iter()
                .any(|plain| given.eq_ignore_ascii_case(plain)) =>
        {
            Ok(ContentEncoding::Identity)
        }
        Some(given) if given.eq_ignore_ascii_case("gzip") => Ok(ContentEncoding::Gzip),
        Some(given) if given.eq_ignore_ascii_case("zstd") => Ok(ContentEncoding::Zstd),
        Some(_) => Err(unfit("content_encoding: wanted gzip, zstd or none, got another")),
    }
}

/// As far as it can be told.
pub(super) fn encoding_of(arrived: &Arrived) -> ContentEncoding {
    content_encoding(arrived).unwrap_or(ContentEncoding::Identity)
}

fn unfit(detail: &str) -> Refusal {
    Refusal::new(MessageRejection::Undecodable, detail)
}

#[cfg(test)]
mod tests {
    use odograph_domain::{device::Pairing, id::DeviceId};

    use super::*;

    fn arrived(source: Source, bytes: &[u8]) -> Arrived {
        Arrived {
            receipt: odograph_ingest::rabbit::IntakeReceipt::none(),
            source,
            sender: None,
            content_type: None,
            content_encoding: None,
            message_id: None,
            traceparent: None,
            bytes: bytes.to_vec(),
        }
    }

    fn sender(device: Option<DeviceId>) -> Sender {
        Sender {
            tenant: Uuid::from_u128(1).into(),
            login: Uuid::from_u128(2),
            client: None,
            device,
            holds: true,
        }
    }

    fn open(text: &str, device: Option<DeviceId>) -> Message {
        let arrived = arrived(Source::Mqtt, text.as_bytes());
        Message::open(&arrived, sender(device), &DecodeLimits::default(), DateTime::UNIX_EPOCH)
    }

    fn reason(way: Way) -> Option<MessageRejection> {
        match way {
            Way::On => None,
            Way::Refused(refusal) => Some(refusal.reason),
        }
    }

    #[test]
    fn the_same_from_the_same_is_the_same_message() {
        let (one, other) = (
            sender(None),
            Sender {
                login: Uuid::from_u128(3),
                ..sender(None)
            },
        );
        let batch = arrived(Source::Amqp, b"{}");
        let id = message_id(&batch, &one);
        assert_eq!(id, message_id(&batch.clone(), &one));
        assert_ne!(id, message_id(&batch, &other));
        assert_ne!(id, message_id(&arrived(Source::Amqp, b"{ }"), &one));
        let named = Arrived {
            message_id: Some("1".into()),
            ..batch
        };
        assert_ne!(id, message_id(&named, &one));
    }

    #[test]
    fn a_device_speaks_for_itself_and_the_vehicles_it_was_in() {
        let id = |n: u128| Uuid::from_u128(n);
        let device = |n: u128, vehicle: u128| PairedDevice {
            id: id(n).into(),
            pairings: vec![Pairing {
                vehicle: id(vehicle).into(),
                rank: 0,
                from: None,
                to: None,
            }],
        };
        let (own, other) = (device(7, 70), device(8, 80));
        let batch = |named: &str| format!(r#"{{"schema":1,"batch_id":"b",{named},"samples":[{{}}]}}"#);
        let judged = |named: &str, vehicle: Option<u128>, found: Option<&PairedDevice>| {
            let mut message = open(&batch(named), Some(own.id));
            let way = message.settle(vehicle.map(|n| id(n).into()), found, Some(&own));
            assert_eq!(message.envelope.header.device, Some(own.id));
            reason(way)
        };
        assert_eq!(judged(r#""vehicle":"v""#, Some(70), None), None);
        assert_eq!(judged(r#""vehicle":"v","device":"d""#, Some(70), Some(&own)), None);
        assert_eq!(judged(r#""device":"d""#, None, Some(&own)), None);
        // Unknown to the tenant now: it must not be known by the time nobody asks any more whose it is.
        let unknown = Some(MessageRejection::UnknownVehicle);
        assert_eq!(judged(r#""vehicle":"v""#, None, None), unknown);
        let foreign = Some(MessageRejection::ForeignDevice);
        assert_eq!(judged(r#""vehicle":"v""#, Some(80), None), foreign);
        assert_eq!(judged(r#""device":"d""#, None, Some(&other)), foreign);
        assert_eq!(judged(r#""device":"d""#, None, None), foreign);
    }

    #[test]
    fn what_a_revoked_credential_sent_does_not_go_on() {
        let mut message = open(r#"{"schema":1,"batch_id":"b","vehicle":"v","samples":[{}]}"#, None);
        message.sender.holds = false;
        assert_eq!(
            reason(message.settle(None, None, None)),
            Some(MessageRejection::SenderRevoked)
        );
    }

    #[test]
    fn properties_say_how_to_read_it_and_mqtt_is_looked_at() {
        let of = |kind: &str, encoding: &str| {
            let arrived = Arrived {
                content_type: Some(kind.into()),
                content_encoding: Some(encoding.into()),
                ..arrived(Source::Amqp, b"{}")
            };
            (content_type(&arrived).ok(), content_encoding(&arrived).ok())
        };
        let (json, gzip) = (Some(ContentType::Json), Some(ContentEncoding::Gzip));
        assert_eq!(of("application/json; charset=utf-8", "GZIP"), (json, gzip));
        assert_eq!(
            of("application/x-protobuf", "utf-8"),
            (Some(ContentType::Protobuf), Some(ContentEncoding::Identity))
        );
        assert_eq!(of("text/csv", "br"), (None, None));
        let looked = |bytes: &[u8]| {
            let arrived = arrived(Source::Mqtt, bytes);
            (guessed_type(&arrived), encoding_of(&arrived))
        };
        assert_eq!(looked(b" \n{\"a\":1}"), (ContentType::Json, ContentEncoding::Identity));
        assert_eq!(looked(&[0x1f, 0x8b, 8]), (ContentType::Json, ContentEncoding::Gzip));
        assert_eq!(looked(&[0x08, 1]), (ContentType::Protobuf, ContentEncoding::Identity));
        assert_eq!(looked(b"hello"), (ContentType::Json, ContentEncoding::Identity));
    }

    #[test]
    fn crash_flags_and_impacts_are_urgent() {
        let lane = |rest: &str| {
            let text = format!(r#"{{"schema":1,"batch_id":"b","vehicle":"v",{rest}}}"#);
            open(&text, None).envelope.header.lane
        };
        assert_eq!(
            lane(r#""samples":[{"ts":"2026-01-01T00:00:00Z","airbag":true}]"#),
            Lane::Urgent
        );
        assert_eq!(lane(r#""samples":[],"impacts":[{}]"#), Lane::Urgent);
        assert_eq!(
            lane(r#""samples":[{"ts":"2026-01-01T00:00:00Z","airbag":false}]"#),
            Lane::Live
        );
    }
}
