//! What a run says of itself.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    cli::table,
    simulate::{self, Folder, LAST, Plan, Sent, State, Target},
};

pub(super) fn last(run: &Path, vehicle: Option<&str>) -> Result<()> {
    simulate::read(run)?;
    let path = run.join(LAST);
    let file =
        File::open(&path).with_context(|| format!("there are no last messages yet: cannot read {}", path.display()))?;
    let mut rows = Vec::new();
    for line in BufReader::new(file).lines() {
        let message: Value =
            serde_json::from_str(&line?).with_context(|| format!("{} does not read", path.display()))?;
        let name = message["vehicle"].as_str().unwrap_or_default();
        if let Some(wanted) = vehicle {
            if name == wanted {
                println!("{}", serde_json::to_string_pretty(&message)?);
                return Ok(());
            }
            continue;
        }
        let told = |value: &Value| match value {
            Value::Null => "–".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let sample = &message["last"];
        let position = match (&sample["lat"], &sample["lon"]) {
            (Value::Null, _) | (_, Value::Null) => "–".to_owned(),
            (lat, lon) => format!("{lat}, {lon}"),
        };
        rows.push(vec![
            name.to_owned(),
            told(&message["device"]),
            told(&message["sent_at"]),
            told(&sample["ts"]),
            position,
            told(&sample["speed_kmh"]),
            told(&sample["odometer_km"]),
            told(&sample["ignition"]),
        ]);
    }
    if let Some(wanted) = vehicle {
        bail!("vehicle {wanted} has sent nothing yet in {}", run.display());
    }
    let header = [
        "vehicle", "device", "sent at", "time", "position", "km/h", "km", "ignition",
    ];
    let mut table = table::render(&header, rows);
    table::figures(&mut table, &[5, 6]);
    println!("{table}");
    Ok(())
}

pub(super) fn status(run: &Path) -> Result<()> {
    let (plan, state) = simulate::read(run)?;
    println!("{}", state_table(&plan, &state));
    Ok(())
}

fn state_table(plan: &Plan, state: &State) -> comfy_table::Table {
    let mut rows = vec![
        vec![
            "state".to_owned(),
            if state.done { "done" } else { "not finished" }.to_owned(),
        ],
        vec![
            "vehicles".to_owned(),
            format!("{} of {}", state.vehicles, plan.fleet.vehicles),
        ],
        vec!["batches".to_owned(), state.batches.to_string()],
        vec!["samples".to_owned(), state.samples.to_string()],
        vec![
            "scenarios".to_owned(),
            format!(
                "{} of {} came to pass",
                state.happened.len(),
                plan.fleet.scenarios.len()
            ),
        ],
        vec!["plan".to_owned(), state.plan_hash.chars().take(16).collect()],
    ];
    if let Target::Http { url, .. } = &plan.target {
        rows.push(vec!["to".to_owned(), url.clone()]);
    }
    rows.extend(
        state
            .files
            .iter()
            .map(|(name, bytes)| vec![name.clone(), format!("{bytes} bytes")]),
    );
    table::render(&["run", ""], rows)
}

/// How a run ended, or stopped.
pub(super) fn ending(folder: &Folder, plan: &Plan, sent: &Sent) {
    println!("{}", state_table(plan, &folder.state));
    if let Some(summary) = &sent.summary {
        println!("{summary}");
    }
    if matches!(plan.target, Target::Http { .. }) {
        println!("{} batches accepted", sent.accepted);
        for (reason, count) in &sent.refused {
            println!("{count} batches refused: {reason}");
        }
    }
}
