//! Messages that are refused whole: one dead letter each, with what may be kept.

use std::collections::BTreeSet;

use odograph_domain::{
    envelope::Header,
    intake::{NewDeadLetter, Subject, VehicleContext},
    outcome::{MessageOutcome, Tally},
};

use super::{Judged, Part};
use crate::{decode::Refusal, minimise::scrub_message};

/// A message that is refused whole. Without a context (vehicle unknown) nobody has allowed behaviour to be kept.
pub fn refuse(header: &Header, refusal: Refusal, payload: &[u8], context: Option<&VehicleContext>) -> Judged {
    let payload = scrub_message(header, payload, &|ts| match (context, ts) {
        (Some(context), Some(ts)) => context.behaviour_allowed(ts.utc()),
        _ => false,
    });
    match context {
        Some(context) => refuse_with(header, refusal, payload, context),
        None => refused(header, refusal, payload),
    }
}

/// What a part comes to that another part has answered for.
pub(super) fn nothing() -> Judged {
    Judged {
        batch: None,
        dead_letters: Vec::new(),
        tally: Tally::default(),
        outcome: MessageOutcome::Rejected,
        unknown: BTreeSet::new(),
        part: Part::Whole,
    }
}

pub(super) fn refuse_with(header: &Header, refusal: Refusal, payload: Vec<u8>, context: &VehicleContext) -> Judged {
    let mut judged = refused(header, refusal, payload);
    for letter in &mut judged.dead_letters {
        letter.vehicle = Some(context.vehicle);
        letter.subject = Subject::Vehicle(context.vehicle);
    }
    judged
}

fn refused(header: &Header, refusal: Refusal, payload: Vec<u8>) -> Judged {
    let reason = refusal.reason.as_str();
    let mut letter = NewDeadLetter::of(header, reason, refusal.detail, refusal.samples, payload);
    letter.batch_id = refusal.batch_id;
    let mut tally = Tally {
        received: u64::from(refusal.samples),
        ..Tally::default()
    };
    tally.reject(reason, u64::from(refusal.samples));
    Judged {
        batch: None,
        dead_letters: vec![letter],
        tally,
        outcome: MessageOutcome::Rejected,
        unknown: BTreeSet::new(),
        part: Part::Whole,
    }
}
