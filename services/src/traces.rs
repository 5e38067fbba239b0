//! Traces by OpenTelemetry: from a request or a message through the queue to decode, commit and derive.
//!
//! A trace context travels in `traceparent` (W3C Trace Context): in the request's header, then in the envelope's. Spans carry ids
//! and counts, never positions, names or payloads. They are spans of `tracing` under a target of their own: where no collector is
//! configured nobody takes an interest in them, and they cost a check of a flag.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use odograph_domain::{
    envelope::Envelope,
    id::{IdSource as _, VehicleId},
    queue::Delivery,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Span, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{config, root::System};

/// Of our spans, and of nothing else.
pub const TARGET: &str = "odograph.trace";

/// Messages of a micro-batch that its span is linked to, at most.
const MOST_LINKS: usize = 32;
/// Vehicles whose last message's trace is remembered until their trips are derived, at most.
const MOST_REMEMBERED: usize = 4096;
/// For a collector to take a batch of spans.
const EXPORT: Duration = Duration::from_secs(10);

/// Batches of spans that the collector took, and that it did not.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);

/// Batches of spans that were sent to the collector: taken, lost.
pub fn exports() -> (u64, u64) {
    (TAKEN.load(Ordering::Relaxed), LOST.load(Ordering::Relaxed))
}

/// What sends spans to the collector. Give it back with [`Traces::stop`], or the last ones stay unsent.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// `None` where no collector is configured.
    pub fn start(config: &config::Tracing, role: &'static str) -> Result<Option<Self>> {
        if config.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let client = reqwest::Client::builder()
            .timeout(EXPORT)
            .build()
            .context("the exporter of traces has no HTTP client")?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime {
                client,
                runtime: Handle::current(),
                failing: AtomicBool::new(false),
            })
            .with_endpoint(format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT)
            // So that a request is a batch, and one that fails is counted as what it is: lost.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .context("tracing.otlp_endpoint cannot be exported to")?;
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "odograph"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", System.uuid().to_string()),
                KeyValue::new("odograph.role", role),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // A context that comes in decides for itself; what begins here is sampled by the ratio.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                config.sample_ratio,
            ))))
            .with_max_links_per_span(MOST_LINKS as u32)
            .with_resource(resource)
            .build();
        Ok(Some(Self(provider)))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer("odograph")
    }

    /// Sends what there is left, for a few seconds at most.
    pub async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(Duration::from_secs(5))).await;
        if !matches!(stopped, Ok(Ok(()))) {
            warn!("the last spans could not be sent to the collector");
        }
    }
}

/// The exporter has a thread of its own, without a runtime; its requests run on ours.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
    /// Said once, and not for every batch.
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let answer: Result<_, HttpError> = match sending.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) => Err(cause.without_url().into()),
            Err(cause) => Err(cause.into()),
        };
        let taken = matches!(&answer, Ok((status, _)) if status.is_success());
        let count = if taken { &TAKEN } else { &LOST };
        count.fetch_add(1, Ordering::Relaxed);
        if !self.failing.swap(!taken, Ordering::Relaxed) && !taken {
            match &answer {
                Ok((status, _)) => warn!(
                    http.status = status.as_u16(),
                    "the collector refuses spans; they are lost"
                ),
                Err(cause) => warn!(error = %cause, "the collector of traces does not answer; spans are lost"),
            }
        }
        let (status, body) = answer?;
        Ok(Response::builder().status(status).body(body)?)
    }
}

/// A trace context by its header (version 00), where it is sound.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let sound = version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    if !sound || parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// As [`parse`] reads it.
fn written(context: &SpanContext) -> Option<String> {
    context.is_valid().then(|| {
        let (trace, span) = (context.trace_id(), context.span_id());
        format!("00-{trace}-{span}-{:02x}", context.trace_flags().to_u8() & 1)
    })
}

/// Makes the span part of the trace. One that began already, or that nobody takes an interest in, stays as it is.
fn follow(span: &Span, parent: SpanContext) {
    let _stays = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Of a request, part of the trace that its caller names.
pub(crate) fn request(operation: &'static str, request_id: &str, traceparent: Option<&str>) -> Span {
    let span = info_span!(target: TARGET, "request", otel.name = operation, otel.kind = "server", request.id = request_id,
        http.response.status_code = tracing::field::Empty, otel.status_code = tracing::field::Empty);
    if !span.is_disabled()
        && let Some(parent) = traceparent.and_then(parse)
    {
        follow(&span, parent);
    }
    span
}

/// How a request ended.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// What to hand on as `traceparent`: `None` where the span is not traced.
pub(crate) fn traceparent(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    written(span.context().span().span_context())
}

/// Makes the span part of the first trace that is sampled, with links to all such (up to 32), which are returned. Where none is, part
/// of the first there is: what comes with a context says itself whether it is sampled.
fn join<T>(span: &Span, given: impl Iterator<Item = (T, SpanContext)>) -> Vec<(T, SpanContext)> {
    let mut first = None;
    let sampled: Vec<(T, SpanContext)> = given
        .filter(|(_, context)| {
            first.get_or_insert_with(|| context.clone());
            context.is_sampled()
        })
        .take(MOST_LINKS)
        .collect();
    for (_, context) in &sampled {
        span.add_link(context.clone());
    }
    if let Some(parent) = sampled.first().map(|(_, context)| context.clone()).or(first) {
        follow(span, parent);
    }
    sampled
}

/// Of messages on their way to the queue. Batches of several requests go together, by a task that is none of theirs: which traces
/// they belong to only they say.
pub(crate) fn publish(envelopes: &[Envelope]) -> Span {
    let span = info_span!(target: TARGET, "publish", otel.kind = "producer", messages = envelopes.len());
    if !span.is_disabled() {
        let given = envelopes.iter().filter_map(|envelope| {
            let context = parse(envelope.header.traceparent.as_deref()?)?;
            Some((envelope.header.message_id, context))
        });
        join(&span, given);
    }
    span
}

/// The spans of a micro-batch, which end when this is dropped.
#[derive(Debug)]
pub(crate) struct MicroBatch {
    pub(crate) span: Span,
    _messages: Vec<Span>,
}

/// A span of the micro-batch, in the trace of its first message that is sampled and linked to all such (up to 32). Each of the others
/// gets a span in its own trace, linked to the micro-batch's, so that every trace shows where its message went.
pub(crate) fn micro_batch(partition: u16, deliveries: &[Delivery]) -> MicroBatch {
    let span = info_span!(target: TARGET, "micro_batch", otel.kind = "consumer", queue.partition = partition,
        messages = deliveries.len());
    let mut messages = Vec::new();
    if !span.is_disabled() {
        let given = deliveries.iter().filter_map(|delivery| {
            let header = Envelope::header_of(&delivery.bytes).ok()?;
            Some((header.message_id, parse(header.traceparent.as_deref()?)?))
        });
        let sampled = join(&span, given);
        let batch = span.context().span().span_context().clone();
        for (message, context) in sampled.into_iter().skip(1) {
            let of_message =
                info_span!(target: TARGET, parent: None, "message", otel.kind = "consumer", message.id = %message);
            follow(&of_message, context);
            of_message.add_link(batch.clone());
            messages.push(of_message);
        }
    }
    MicroBatch {
        span,
        _messages: messages,
    }
}

/// Which trace brought a vehicle's last data, so that deriving its trips is part of it. Of this process only, and of a bounded
/// number of vehicles: a window that another process derives begins a trace of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered(Arc<Mutex<Recent>>);

#[derive(Debug, Default)]
struct Recent {
    contexts: HashMap<VehicleId, SpanContext>,
    order: VecDeque<VehicleId>,
}

impl Remembered {
    /// The current span left something to derive.
    pub(crate) fn keep(&self, vehicles: impl Iterator<Item = VehicleId>) {
        let span = Span::current();
        if span.is_disabled() {
            return;
        }
        let context = span.context().span().span_context().clone();
        if !context.is_sampled() {
            return;
        }
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for vehicle in vehicles {
            if recent.contexts.insert(vehicle, context.clone()).is_none() {
                recent.order.push_back(vehicle);
            }
        }
        while recent.order.len() > MOST_REMEMBERED {
            if let Some(oldest) = recent.order.pop_front() {
                recent.contexts.remove(&oldest);
            }
        }
    }

    /// Of deriving a vehicle's window.
    pub(crate) fn derive(&self, vehicle: VehicleId) -> Span {
        let span = info_span!(target: TARGET, "derive", vehicle.id = %vehicle);
        if !span.is_disabled() {
            let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(context) = recent.contexts.remove(&vehicle) {
                recent.order.retain(|other| *other != vehicle);
                span.add_link(context.clone());
                follow(&span, context);
            }
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_reads_and_writes_as_it_is() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(sound).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(written(&context).as_deref(), Some(sound));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn without_a_collector_nothing_is_traced() {
        let span = request(
            "send_batch",
            "1",
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
        assert!(span.is_disabled() && traceparent(&span).is_none());
        let remembered = Remembered::default();
        remembered.keep([System.next::<VehicleId>()].into_iter());
        assert!(remembered.0.lock().unwrap().order.is_empty());
    }
}
