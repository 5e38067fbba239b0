//! Structured logs on standard error; standard output belongs to the commands.

use std::io::IsTerminal as _;

use anyhow::{Context, Result};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{Log, LogFormat},
    traces::{self, Traces},
};

/// Begins to log and, where spans are sent somewhere, to trace. Neither has what is the other's.
pub fn start(log: &Log, traces: Option<&Traces>) -> Result<()> {
    let filter =
        EnvFilter::try_new(&log.filter).with_context(|| format!("log.filter {:?} does not read", log.filter))?;
    // lapin logs a message that comes back whole, position and all; and as an error what the broker answers to whoever asks
    // whether a queue is there, which is told to whoever asked.
    let filter = filter
        .add_directive("lapin::returned_messages=off".parse()?)
        .add_directive("lapin::channel=off".parse()?)
        // Without a level of its own it would take away that of the other filter, and every `trace!` anywhere were looked at.
        .and(filter_fn(|metadata| metadata.target() != traces::TARGET).with_max_level_hint(LevelFilter::TRACE));
    let colours = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_filter(filter).boxed(),
    };
    let registry = tracing_subscriber::registry().with(lines);
    let started = match traces {
        // Not a layer that is `None`: beside one, whatever the others' filters leave out is made all the same, spans too.
        None => registry.try_init(),
        Some(traces) => {
            let spans = tracing_opentelemetry::layer()
                .with_tracer(traces.tracer())
                // What is current is known by the span that is entered, and nothing of ours asks OpenTelemetry for it.
                .with_context_activation(false)
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(
                    filter_fn(|metadata| metadata.target() == traces::TARGET).with_max_level_hint(LevelFilter::INFO),
                );
            registry.with(spans).try_init()
        }
    };
    started.map_err(|cause| anyhow::anyhow!("logging could not start: {cause}"))
}
