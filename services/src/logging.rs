//! Structured logs on standard error; standard output belongs to the commands.

use std::io::IsTerminal as _;

use anyhow::{Context, Result};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

pub fn start(log: &Log) -> Result<()> {
    let filter =
        EnvFilter::try_new(&log.filter).with_context(|| format!("log.filter {:?} does not read", log.filter))?;
    // lapin logs a message that comes back whole, position and all; and as an error what the broker answers to whoever asks
    // whether a queue is there, which is told to whoever asked.
    let filter = filter
        .add_directive("lapin::returned_messages=off".parse()?)
        .add_directive("lapin::channel=off".parse()?);
    let colours = std::io::stderr().is_terminal();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    };
    started.map_err(|cause| anyhow::anyhow!("logging could not start: {cause}"))
}
