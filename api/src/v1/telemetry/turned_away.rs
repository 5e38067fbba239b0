//! What is turned away at the door is kept all the same: what it said it was, and a hash of it, never a sample. At this point
//! nothing says that behaviour of this vehicle may be kept, and the sender, who is told, still has the batch.

use odograph_domain::{
    intake::{NewDeadLetter, Subject},
    outcome::Tally,
};
use sha2::{Digest, Sha256};

use super::{glance::Turned, send::Message};
use crate::{auth::gate::Caller, problem::Problem, state::ApiState};

/// Keeps and counts what was turned away, and gives the problem to answer with.
pub(super) async fn keep(state: &ApiState, caller: &Caller, message: &Message, turned: Turned) -> Problem {
    let code = turned.code();
    let told = format!(
        "{}; kept without its samples as a dead letter of message {}",
        turned.detail, message.id
    );
    let (letter, tally) = letter(caller, message, turned);
    match caller.store(state).put_dead_letter(&letter, &tally).await {
        Ok(_) => {
            state.watch.turned_away(&tally);
            Problem::new(code, told)
        }
        // Neither accepted nor kept: the sender has to try again.
        Err(error) => error.into(),
    }
}

pub(super) fn letter(caller: &Caller, message: &Message, turned: Turned) -> (NewDeadLetter, Tally) {
    let samples = u32::try_from(turned.samples).unwrap_or(u32::MAX);
    let reason = turned.reason.as_str();
    let kept = serde_json::json!({
        "batch_id": turned.batch_id,
        "vehicle": turned.vehicle,
        "samples": samples,
        "bytes": message.body.len(),
        "sha256": hex(&Sha256::digest(&message.body)),
    });
    let mut header = message.header(caller);
    header.vehicle_given = turned.vehicle.unwrap_or_default();
    let detail = format!("{}; refused at the door, samples not kept", turned.detail);
    let mut letter = NewDeadLetter::of(&header, reason, detail, samples, kept.to_string().into_bytes());
    letter.subject = Subject::Tenant;
    letter.batch_id = turned.batch_id;
    let mut tally = Tally {
        received: u64::from(samples),
        ..Tally::default()
    };
    tally.reject(reason, u64::from(samples));
    (letter, tally)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
