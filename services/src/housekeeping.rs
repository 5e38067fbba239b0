//! What is kept for a while only goes when its time is over.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::root::Parts;

/// How long whoever sent a message can ask what became of it: as its table says.
const MESSAGES: TimeDelta = TimeDelta::days(30);

const EVERY: Duration = Duration::from_secs(3600);

/// Runs until `shutdown`. Several workers may do the same at once; what is gone is gone.
pub(crate) async fn run(parts: Parts, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let before = parts.clock.now() - MESSAGES;
        match parts.store.operator().forget_messages(before).await {
            Ok(0) => {}
            Ok(messages) => info!(messages, "what became of old messages is forgotten"),
            Err(cause) => warn!(error = %cause, "old messages could not be forgotten; trying again later"),
        }
        match parts.store.operator().forget_answers().await {
            Ok(0) => {}
            Ok(answers) => info!(answers, "answers kept for requests sent again are forgotten"),
            Err(cause) => warn!(error = %cause, "kept answers could not be forgotten; trying again later"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(EVERY) => {}
        }
    }
}
