//! The page of what every operation and every table answers: the operations' answers from the API, the tables' from a database.

use anyhow::{Context, Result, bail};
pub use odograph_api::{Scope, access::audited_as};

use crate::root::Parts;

/// docs/operations-matrix.md as it should be. An error where answers contradict each other.
pub async fn page(parts: &Parts) -> Result<String> {
    let tables = parts.store.operator().table_answers().await;
    let tables = tables.context("the tables' answers do not read")?;
    let wrong = odograph_api::access::contradictions(&tables);
    if !wrong.is_empty() {
        bail!("the checklist contradicts itself:\n{}", wrong.join("\n"));
    }
    Ok(odograph_api::access::document(&tables))
}
