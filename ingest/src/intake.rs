//! One message on its way in: what of it is kept, for whom, and what becomes a dead letter.

mod named;
mod refuse;

use std::collections::{BTreeMap, BTreeSet};

use odograph_domain::{
    batch::{Impact, RawSample},
    envelope::Header,
    id::DriverId,
    intake::{KnownDriver, LedgerKey, NewBatch, NewDeadLetter, Subject, VehicleContext},
    outcome::{MessageOutcome, MessageRejection, SampleRejection, Tally},
    sample::Sample,
    time::EventTime,
};
use serde_json::{Map, Value, json};

use crate::{
    canonical::raw_sample_hash,
    decode::{Decoded, Refusal, sample_driver},
    dedup::Verdict,
    minimise::{may_always_be_kept, minimise, scrub_raw, scrub_sample},
    validate::{Rejected, validate, validate_impact},
};

pub use named::{Named, Part};
use named::{Place, driver_then};
pub use refuse::refuse;
use refuse::{nothing, refuse_with};

/// What is to be written of one message, or of a part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// `None` where the whole message was refused. Where every sample was rejected the batch is here all the same,
    /// without samples: its ledger row is what lets a second sending count as a duplicate, instead of doubling the
    /// dead letters.
    pub batch: Option<NewBatch>,
    pub dead_letters: Vec<NewDeadLetter>,
    pub tally: Tally,
    pub outcome: MessageOutcome,
    /// Names of fields this version does not know.
    pub unknown: BTreeSet<String>,
    pub part: Part,
}

/// Judges a decoded batch of a known vehicle.
///
/// A device that anything is known of is where its pairings say: what it recorded in another vehicle is not this one's. The driver of a sample is the one it names, else the batch's, else the one assigned at its time. Judgement comes
/// before minimisation, so that it does not depend on the cover; nothing reaches a dead letter before minimisation.
pub fn judge(header: &Header, decoded: &Decoded, context: &VehicleContext, named: &Named, part: Part) -> Judged {
    if let Some(name) = decoded.driver.as_deref()
        && !named.drivers.contains_key(name)
    {
        // The driver's name is not repeated: it may be a person's.
        let mut refusal = Refusal::new(
            MessageRejection::UnknownDriver,
            "driver: wanted an id or reference of a driver",
        );
        refusal.batch_id = Some(decoded.batch_id.to_string());
        refusal.samples = decoded.samples.len() as u32;
        if part == Part::Following {
            // The leading part has refused all of it.
            return nothing();
        }
        let allowed = |ts| behaviour_allowed(decoded, context, named, ts);
        return refuse_with(header, refusal, batch_json(decoded, &allowed), context);
    }
    let mut sorter = Sorter::new(header, decoded, context, named, part);
    for (place, sample) in decoded.samples.iter().enumerate() {
        match sample {
            Ok(sample) => sorter.sample(place, sample),
            Err(bad) => {
                if !sorter.is_ours(bad.ts) {
                    continue;
                }
                sorter.tally.received += 1;
                let value = scrub_raw(&bad.raw, &|_| sorter.allowed(bad.ts));
                sorter.reject(place, bad.reason.as_str(), bad.ts, bad.detail.clone(), value);
            }
        }
    }
    for impact in &decoded.impacts {
        match impact {
            Ok(impact) => sorter.impact(impact),
            Err(bad) if !sorter.is_ours(bad.ts) => {}
            Err(bad) => sorter.reject_impact(bad.ts, bad.detail.clone(), &bad.raw),
        }
    }
    sorter.finish()
}

/// Collects one batch's samples by subject and its rejects by subject and reason.
struct Sorter<'a> {
    header: &'a Header,
    decoded: &'a Decoded,
    context: &'a VehicleContext,
    named: &'a Named,
    part: Part,
    batch_driver: Option<KnownDriver>,
    samples: BTreeMap<Subject, Vec<RawSample>>,
    impacts: Vec<(Subject, Impact)>,
    rejects: BTreeMap<(Subject, String), Rejects>,
    /// Whether two samples of the batch share an instant. Copies do, so else there are none to look for.
    instants_shared: bool,
    seen: BTreeSet<[u8; 32]>,
    tally: Tally,
}

/// Rejects of one subject for one reason: one dead letter, as a batch that can be read again.
#[derive(Default)]
struct Rejects {
    /// Of the first.
    detail: String,
    /// Where the samples were in the batch, from 0.
    places: Vec<usize>,
    samples: Vec<Value>,
    impacts: Vec<Value>,
}

impl Rejects {
    /// What was wrong with the first, how many there are, and where the first few were in the batch.
    fn told(&self) -> String {
        const MOST: usize = 5;
        let (detail, impacts) = (&self.detail, self.impacts.len());
        let places: Vec<String> = self.places.iter().take(MOST).map(usize::to_string).collect();
        let mut places = places.join(", ");
        if self.places.len() > MOST {
            places = format!("{places} and {} more", self.places.len() - MOST);
        }
        match (self.places.len(), impacts) {
            (0, 1) => format!("{detail} (impact)"),
            (0, impacts) => format!("{detail} ({impacts} impacts)"),
            (1, 0) => format!("{detail} (sample {places})"),
            (samples, 0) => format!("{detail} ({samples} samples: {places})"),
            (samples, impacts) => format!("{detail} ({samples} samples: {places}; {impacts} impacts)"),
        }
    }
}

impl<'a> Sorter<'a> {
    fn new(
        header: &'a Header,
        decoded: &'a Decoded,
        context: &'a VehicleContext,
        named: &'a Named,
        part: Part,
    ) -> Self {
        let batch_driver = decoded.driver.as_deref().and_then(|name| named.drivers.get(name));
        Self {
            header,
            decoded,
            context,
            named,
            part,
            batch_driver: batch_driver.copied(),
            samples: BTreeMap::new(),
            impacts: Vec::new(),
            rejects: BTreeMap::new(),
            instants_shared: instants_shared(decoded),
            seen: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    fn place(&self, ts: EventTime) -> Place {
        self.named.place(self.decoded, self.context.vehicle, ts)
    }

    fn is_ours(&self, ts: Option<EventTime>) -> bool {
        self.part.answers_for(ts.map(|ts| self.place(ts)))
    }

    fn allowed(&self, ts: Option<EventTime>) -> bool {
        behaviour_allowed(self.decoded, self.context, self.named, ts)
    }

    fn subject(&self, named: Option<DriverId>, ts: Option<EventTime>) -> Subject {
        let driver = named.or_else(|| self.context.driver_at(ts?.utc()));
        driver.map_or(Subject::Vehicle(self.context.vehicle), Subject::Driver)
    }

    fn sample(&mut self, place: usize, sample: &Sample) {
        if !self.is_ours(Some(sample.ts)) {
            return;
        }
        self.tally.received += 1;
        let device_rank = match self.place(sample.ts) {
            Place::Here(rank) => rank,
            away => return away.refusal().into_iter().for_each(|why| self.away(place, sample, why)),
        };
        let allowed = self.allowed(Some(sample.ts));
        let value = || scrub_sample(serde_json::to_value(sample).unwrap_or_default(), &|_| allowed);
        let accept = &self.context.settings.accept;
        if let Err(rejected) = validate(sample, self.header.received_at, self.header.source, accept) {
            let detail = kept_detail(&rejected, allowed);
            let value = value();
            return self.reject(place, rejected.reason.as_str(), Some(sample.ts), detail, value);
        }
        let named = match sample_driver(sample) {
            None => self.batch_driver,
            Some(name) => match self.named.drivers.get(name) {
                Some(driver) => Some(*driver),
                None => {
                    let detail = "driver: wanted an id or reference of a driver".to_owned();
                    let value = value();
                    let reason = MessageRejection::UnknownDriver.as_str();
                    return self.reject(place, reason, Some(sample.ts), detail, value);
                }
            },
        };
        let mut sample = sample.clone();
        sample.extra.remove("driver");
        let raw = RawSample {
            accel_frame: self.decoded.accel_frame,
            gravity: self.decoded.gravity,
            device_rank,
            driver: named.map(|driver| driver.id),
            sample,
        };
        if self.instants_shared && !self.seen.insert(raw_sample_hash(&raw)) {
            self.tally.duplicate += 1;
            return;
        }
        self.tally.accepted += 1;
        let subject = self.subject(driver_then(named, raw.sample.ts), Some(raw.sample.ts));
        let mut raw = raw;
        minimise(&mut raw.sample, allowed);
        self.samples.entry(subject).or_default().push(raw);
    }

    /// A sample that is not of this vehicle, by what is known of its device. Of which it is nobody has said, so only what every
    /// product may is kept.
    fn away(&mut self, place: usize, sample: &Sample, (reason, detail): (SampleRejection, &str)) {
        let value = scrub_sample(serde_json::to_value(sample).unwrap_or_default(), &|_| false);
        self.tally.reject(reason.as_str(), 1);
        let rejects = self.rejects_of(Subject::Tenant, reason.as_str(), detail.to_owned());
        rejects.places.push(place);
        rejects.samples.push(value);
    }

    fn impact(&mut self, impact: &Impact) {
        let ts = Some(impact.trigger_ts);
        if !self.is_ours(ts) {
            return;
        }
        if let Some((reason, detail)) = self.place(impact.trigger_ts).refusal() {
            // An impact is behaviour: of a vehicle that is not known to be this one nothing of it may be kept.
            let rejects = self.rejects_of(Subject::Tenant, reason.as_str(), detail.to_owned());
            rejects.impacts.push(Value::Null);
            return;
        }
        let accept = &self.context.settings.accept;
        if let Err(rejected) = validate_impact(impact, self.header.received_at, self.header.source, accept) {
            let allowed = self.allowed(ts);
            let value = if allowed {
                serde_json::to_value(impact).unwrap_or_default()
            } else {
                Value::Null
            };
            let rejects = self.rejects(rejected.reason.as_str(), ts, kept_detail(&rejected, allowed));
            rejects.impacts.push(value);
            return;
        }
        // An impact is behaviour through and through: where that may not be kept nothing of it is left.
        if self.allowed(ts) {
            let driver = driver_then(self.batch_driver, impact.trigger_ts);
            self.impacts.push((self.subject(driver, ts), impact.clone()));
        }
    }

    fn reject(&mut self, place: usize, reason: &str, ts: Option<EventTime>, detail: String, sample: Value) {
        self.tally.reject(reason, 1);
        let rejects = self.rejects(reason, ts, detail);
        rejects.places.push(place);
        rejects.samples.push(sample);
    }

    fn reject_impact(&mut self, ts: Option<EventTime>, detail: String, raw: &serde_json::value::RawValue) {
        let kept = if self.allowed(ts) {
            serde_json::from_str(raw.get()).unwrap_or_default()
        } else {
            Value::Null
        };
        self.rejects(SampleRejection::Malformed.as_str(), ts, detail)
            .impacts
            .push(kept);
    }

    fn rejects(&mut self, reason: &str, ts: Option<EventTime>, detail: String) -> &mut Rejects {
        let named = self.batch_driver;
        let driver = ts.map_or(named.map(|driver| driver.id), |ts| driver_then(named, ts));
        let subject = self.subject(driver, ts);
        self.rejects_of(subject, reason, detail)
    }

    fn rejects_of(&mut self, subject: Subject, reason: &str, detail: String) -> &mut Rejects {
        let rejects = self.rejects.entry((subject, reason.to_owned())).or_default();
        if rejects.detail.is_empty() {
            rejects.detail = detail;
        }
        rejects
    }

    fn finish(self) -> Judged {
        let dead_letters: Vec<_> = self
            .rejects
            .into_iter()
            .map(|((subject, reason), rejects)| {
                let detail = rejects.told();
                let samples = rejects.samples.len() as u32;
                let mut payload = envelope_json(self.decoded);
                payload.insert("samples".to_owned(), Value::Array(rejects.samples));
                if !rejects.impacts.is_empty() {
                    payload.insert("impacts".to_owned(), Value::Array(rejects.impacts));
                }
                let payload = Value::Object(payload).to_string().into_bytes();
                let mut letter = NewDeadLetter::of(self.header, &reason, detail, samples, payload);
                letter.vehicle = (subject != Subject::Tenant).then_some(self.context.vehicle);
                letter.subject = subject;
                letter.batch_id = Some(self.decoded.batch_id.to_string());
                letter
            })
            .collect();
        let mut samples: Vec<_> = self.samples.into_iter().collect();
        for (_, of_subject) in &mut samples {
            of_subject.sort_by_key(|raw| raw.sample.ts);
        }
        let kept = !samples.is_empty() || !self.impacts.is_empty() || dead_letters.is_empty();
        Judged {
            batch: Some(NewBatch {
                key: LedgerKey {
                    tenant: self.header.tenant,
                    vehicle: self.context.vehicle,
                    batch_id: self.decoded.batch_id.clone(),
                },
                message: self.header.message_id,
                content_hash: self.decoded.content_hash,
                source: self.header.source,
                received_at: self.header.received_at,
                device: self.named.device.as_ref().map(|device| device.id),
                samples,
                impacts: self.impacts,
            }),
            outcome: match (kept, dead_letters.is_empty()) {
                (true, true) => MessageOutcome::Accepted,
                (true, false) => MessageOutcome::AcceptedInPart,
                (false, _) => MessageOutcome::Rejected,
            },
            dead_letters,
            tally: self.tally,
            unknown: self.decoded.unknown.clone(),
            part: self.part,
        }
    }
}

fn instants_shared(decoded: &Decoded) -> bool {
    let mut instants: Vec<EventTime> = decoded.samples.iter().flatten().map(|sample| sample.ts).collect();
    instants.sort_unstable();
    instants.windows(2).any(|pair| pair[0] == pair[1])
}

/// The detail of a rejection, without the value where it may not be kept. A coordinate out of range is no location.
fn kept_detail(rejected: &Rejected, behaviour_allowed: bool) -> String {
    if behaviour_allowed || may_always_be_kept(rejected.field) {
        rejected.detail.clone()
    } else {
        let wanted = rejected.detail.split(", got ").next().unwrap_or_default();
        format!("{wanted}, got a value outside of that, which may not be kept")
    }
}

fn envelope_json(decoded: &Decoded) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("schema".to_owned(), json!(1));
    fields.insert("batch_id".to_owned(), json!(decoded.batch_id));
    for (name, value) in [
        ("vehicle", &decoded.vehicle),
        ("device", &decoded.device),
        ("driver", &decoded.driver),
    ] {
        if let Some(value) = value {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    fields.insert("accel_frame".to_owned(), json!(decoded.accel_frame));
    fields.insert("gravity".to_owned(), json!(decoded.gravity));
    fields
}

/// Whether behaviour may be kept of a time: by the vehicle's cover, and only if the batch is of that vehicle then.
fn behaviour_allowed(decoded: &Decoded, context: &VehicleContext, named: &Named, ts: Option<EventTime>) -> bool {
    ts.is_some_and(|ts| {
        let here = matches!(named.place(decoded, context.vehicle, ts), Place::Here(_));
        here && context.behaviour_allowed(ts.utc())
    })
}

/// A whole decoded batch as far as it may be kept.
fn batch_json(decoded: &Decoded, allowed: &dyn Fn(Option<EventTime>) -> bool) -> Vec<u8> {
    let samples = decoded.samples.iter().map(|sample| match sample {
        Ok(sample) => scrub_sample(serde_json::to_value(sample).unwrap_or_default(), allowed),
        Err(bad) => scrub_raw(&bad.raw, allowed),
    });
    let mut fields = envelope_json(decoded);
    fields.insert("samples".to_owned(), samples.collect());
    let impacts = decoded
        .impacts
        .iter()
        .flatten()
        .filter(|impact| allowed(Some(impact.trigger_ts)));
    let impacts: Vec<Value> = impacts.filter_map(|impact| serde_json::to_value(impact).ok()).collect();
    if !impacts.is_empty() {
        fields.insert("impacts".to_owned(), Value::Array(impacts));
    }
    Value::Object(fields).to_string().into_bytes()
}

/// What is to be written once the ledger has been asked. A duplicate writes nothing; a conflict writes the message as
/// one dead letter, and nothing else of it.
pub fn settle(judged: Judged, verdict: Verdict, header: &Header, payload: &[u8], context: &VehicleContext) -> Judged {
    match verdict {
        Verdict::New => judged,
        Verdict::Duplicate => {
            let received = judged.tally.received;
            let tally = Tally {
                received,
                duplicate: received,
                ..Tally::default()
            };
            Judged {
                batch: None,
                dead_letters: Vec::new(),
                tally,
                outcome: MessageOutcome::Duplicate,
                ..judged
            }
        }
        Verdict::Redelivered => Judged {
            batch: None,
            dead_letters: Vec::new(),
            tally: Tally::default(),
            outcome: MessageOutcome::Redelivered,
            ..judged
        },
        Verdict::Conflict => {
            let detail = "the vehicle has sent other content under this batch_id before; wanted the same or a new id";
            let mut refusal = Refusal::new(MessageRejection::BatchConflict, detail);
            refusal.batch_id = judged.batch.as_ref().map(|batch| batch.key.batch_id.to_string());
            refusal.samples = judged.tally.received as u32;
            // Of a batch of several vehicles one vehicle's cover allows nothing of the others'.
            refuse(
                header,
                refusal,
                payload,
                (judged.part == Part::Whole).then_some(context),
            )
        }
    }
}

#[cfg(test)]
mod tests;
