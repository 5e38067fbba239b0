//! What Prometheus reads: everything the [`Meter`] counts, what is sampled of queue and database, and the process itself.
//!
//! Names and units are as Prometheus has them. Labels are bounded: lanes, partitions, operations, named outcomes and reasons. None is of a
//! tenant, a vehicle or a driver.

use std::{net::TcpListener, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use odograph_domain::{clock::Clock, envelope::Lane};
use odograph_store::Store;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::sampled::Sampled;
use crate::{
    meter::{Counts, Meter},
    root::Parts,
    traces,
};

mod process;
mod sampled;

/// Everything there is to read of this process.
struct Metrics(Registry);

impl Metrics {
    fn new(parts: &Parts, role: &'static str, sampled: &Sampled) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process));
        let ours = registry.sub_registry_with_prefix("odograph");
        ours.register(
            "build",
            "Which version runs here, and in which role",
            Info::new([("version", env!("CARGO_PKG_VERSION")), ("role", role)]),
        );
        of_work(ours, &parts.meter);
        of_outcomes(ours, &parts.meter.counts);
        of_requests(ours, &parts.meter.counts);
        sampled.register(ours);
        ours.register_collector(Box::new(Now {
            meter: parts.meter.clone(),
            clock: parts.clock.clone(),
            store: parts.store.clone(),
        }));
        Self(registry)
    }

    /// In the text format of OpenMetrics 1.0.
    fn render(&self) -> String {
        let mut text = String::new();
        match text::encode(&mut text, &self.0) {
            Ok(()) => text,
            // A text grows without failing; what could fail is a collector, and ours do not.
            Err(_) => String::new(),
        }
    }
}

fn of_work(ours: &mut Registry, meter: &Meter) {
    let counts = &meter.counts;
    ours.register_with_unit(
        "step",
        "Time of each part of the work: of a micro-batch, or of deriving a window",
        Unit::Seconds,
        meter.step_seconds.clone(),
    );
    ours.register(
        "micro_batch_messages",
        "Messages of a micro-batch that was committed",
        meter.batch_messages.clone(),
    );
    ours.register_with_unit(
        "arrival_to_commit",
        "From the arrival of a message to the commit that holds it, by lane",
        Unit::Seconds,
        meter.arrival_seconds.clone(),
    );
    ours.register_with_unit(
        "event_to_commit",
        "From the time of a message's last sample to the commit that holds it, by lane",
        Unit::Seconds,
        meter.event_seconds.clone(),
    );
    ours.register(
        "commit_failures",
        "Micro-batches or parts of one that were not committed, by cause; they are tried again, cut smaller or left to the new holder",
        counts.commits_failed.clone(),
    );
    ours.register(
        "leases_held",
        "Partitions that this process holds",
        counts.leases_held.clone(),
    );
    ours.register(
        "leases_gained",
        "Partitions that this process took",
        counts.leases_gained.clone(),
    );
    ours.register(
        "leases_given",
        "Partitions that this process gave to others",
        counts.leases_given.clone(),
    );
    ours.register(
        "leases_lost",
        "Partitions that this process lost: its lease ran out, and another took them",
        counts.leases_lost.clone(),
    );
    ours.register_with_unit(
        "derive",
        "Time to derive and commit a window, by outcome: derived, put_off",
        Unit::Seconds,
        counts.derive_seconds.clone(),
    );
    ours.register("trips", "Trips that were derived, by change", counts.trips.clone());
    ours.register(
        "corrections",
        "Corrections of what had been shown, by kind",
        counts.corrections.clone(),
    );
}

fn of_outcomes(ours: &mut Registry, counts: &Counts) {
    ours.register(
        "messages",
        "Messages by how they came in and how they ended",
        counts.messages.clone(),
    );
    ours.register(
        "samples",
        "Samples by how they came in and how they ended: accepted, duplicate, or the reason of their rejection",
        counts.samples.clone(),
    );
    ours.register(
        "refusals",
        "Messages of which something was refused, by how they came in and by reason",
        counts.refusals.clone(),
    );
    ours.register(
        "quarantine_messages",
        "Messages that are no envelope, or nobody's, put in quarantine",
        counts.quarantined.clone(),
    );
    ours.register(
        "bridge_messages",
        "Messages from the intake by what the bridge did with them: passed_on, refused, quarantined",
        counts.bridged.clone(),
    );
}

fn of_requests(ours: &mut Registry, counts: &Counts) {
    ours.register(
        "http_requests",
        "Requests answered, by operation and status",
        counts.requests.clone(),
    );
    ours.register_with_unit(
        "http_request",
        "Time to answer a request, by operation",
        Unit::Seconds,
        counts.request_seconds.clone(),
    );
    ours.register_with_unit(
        "publish",
        "Time until the queue confirmed what was published, or refused it, by outcome",
        Unit::Seconds,
        counts.publish_seconds.clone(),
    );
    ours.register(
        "published_messages",
        "Messages that the queue confirmed",
        counts.published.clone(),
    );
}

const NO_LABELS: [(&str, &str); 0] = [];

/// What is looked up when somebody asks.
struct Now {
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    store: Store,
}

impl std::fmt::Debug for Now {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Now").finish_non_exhaustive()
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let lags = self.meter.lag.read(self.clock.now());
        let mut arrival = Vec::new();
        for lags in &lags {
            for lane in Lane::ALL {
                let labels = [
                    ("partition", lags.partition.to_string()),
                    ("lane", lane.as_str().to_owned()),
                ];
                arrival.push((labels, lags.arrival_s[lane as usize]));
            }
        }
        gauges(
            &mut encoder,
            "partition_arrival_lag",
            "Age since arrival of the oldest message that is not committed, of each partition held here, by lane; 0 where none waits",
            Some(&Unit::Seconds),
            &arrival,
        )?;
        let event: Vec<_> = lags
            .iter()
            .map(|lags| ([("partition", lags.partition.to_string())], lags.event_s))
            .collect();
        gauges(
            &mut encoder,
            "partition_event_lag",
            "Age of the latest sample committed, of each partition held here with urgent or live messages waiting; 0 where none waits",
            Some(&Unit::Seconds),
            &event,
        )?;
        let pool = self.store.connections();
        gauges(
            &mut encoder,
            "database_connections",
            "Connections of this process to the database, by state: in_use, idle",
            None,
            &[
                ([("state", "in_use")], f64::from(pool.in_use)),
                ([("state", "idle")], f64::from(pool.idle)),
            ],
        )?;
        gauges(
            &mut encoder,
            "database_connections_most",
            "Connections that this process may have (database.max_connections)",
            None,
            &[(NO_LABELS, f64::from(pool.most))],
        )?;
        let (taken, lost) = traces::exports();
        let mut exports = encoder.encode_descriptor(
            "trace_exports",
            "Batches of spans sent to the collector, by outcome: taken, lost.",
            None,
            ConstCounter::new(0_u64).metric_type(),
        )?;
        for (outcome, count) in [("taken", taken), ("lost", lost)] {
            ConstCounter::new(count).encode(exports.encode_family(&[("outcome", outcome)])?)?;
        }
        Ok(())
    }
}

/// One gauge for each set of labels. Its name and help are there also where there is none.
fn gauges<const N: usize, K, V>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: &[([(K, V); N], f64)],
) -> std::fmt::Result
where
    [(K, V); N]: prometheus_client::encoding::EncodeLabelSet,
{
    let kind = ConstGauge::new(0.0).metric_type();
    let mut family = encoder.encode_descriptor(name, &format!("{help}."), unit, kind)?;
    for (labels, value) in values {
        ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}

/// Serves the metrics where the configuration says, until `shutdown`, and samples queue and database meanwhile. An address that
/// is taken is said and gone without: whoever watches must not stop what is watched.
pub async fn serve(parts: &Parts, role: &'static str, shutdown: CancellationToken) -> Result<()> {
    let Some(bind) = parts.config.metrics.address()? else {
        return Ok(());
    };
    match TcpListener::bind(bind) {
        Ok(listener) => serve_on(listener, parts, role, shutdown).await,
        Err(cause) => {
            warn!(metrics.address = %bind, error = %cause, "cannot listen there (metrics.bind): this process shows no metrics");
            Ok(())
        }
    }
}

/// [`serve`] on an address that was taken before.
pub async fn serve_on(
    listener: TcpListener,
    parts: &Parts,
    role: &'static str,
    shutdown: CancellationToken,
) -> Result<()> {
    let sampled = Sampled::default();
    let metrics = Metrics::new(parts, role, &sampled);
    let every = Duration::from_secs(u64::from(parts.config.metrics.sample_s));
    let sampling = tokio::spawn(sampled::run(sampled, parts.clone(), every, shutdown.clone()));
    let served = odograph_api::serve_metrics(listener, Arc::new(move || metrics.render()), async move {
        shutdown.cancelled().await
    })
    .await
    .context("the metrics could not be served");
    sampling.await.context("the sampling of metrics panicked")?;
    served
}
