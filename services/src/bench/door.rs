//! Batches over HTTP until the queue holds them: how many requests a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use futures_util::future::try_join_all;
use odograph_domain::time::EventTime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    cpu::Cpu,
    ingest::{self, Format, Message, drive},
    served::Served,
    world::World,
};
use crate::meter::Histogram;

/// What is sent, and by how many at once.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub vehicles: usize,
    pub requests: usize,
    /// Samples in a batch.
    pub batch: usize,
    pub connections: usize,
    pub format: Format,
}

#[derive(Debug)]
pub struct Outcome {
    pub requests: u64,
    pub samples: u64,
    pub took: Duration,
    /// From the first byte of a request to the last of its answer.
    pub latency_us: Arc<Histogram>,
    pub cpu: Vec<(&'static str, Duration)>,
    /// Envelopes that the queue holds at the end.
    pub queued: u64,
}

/// Sends every batch once, each connection the next as soon as the last is answered. Nobody works on the queue.
pub async fn run(world: &World, plan: &Plan) -> Result<Outcome> {
    let seconds = (plan.requests * plan.batch).div_ceil(plan.vehicles);
    let start = EventTime::new(world.parts.clock.now() - TimeDelta::seconds(seconds as i64 + 60));
    eprintln!("registering {} vehicles …", plan.vehicles);
    let fleet = world.insure(plan.vehicles, start.utc().date_naive()).await?;
    eprintln!("driving …");
    let driven = ingest::Plan {
        seed: plan.seed,
        vehicles: plan.vehicles,
        trips: 1,
        trip_s: u32::try_from(seconds)?,
        batch: plan.batch,
        rate: None,
        in_flight: u64::MAX,
        workers: 0,
        publishers: plan.connections,
        queue_full: false,
        format: plan.format,
        size: false,
    };
    let lanes = drive(&driven, &fleet, start)?;
    world.scratch.analyze().await?;
    let served = Served::start(world).await?;
    let address = served
        .url
        .strip_prefix("http://")
        .context("an http:// address")?
        .to_owned();
    let (requests, samples) = lanes.iter().flatten().fold((0, 0), |(requests, samples), message| {
        (requests + 1, samples + message.samples)
    });
    eprintln!("{requests} requests over {} connections …", plan.connections);
    let latency_us = Arc::new(Histogram::default());
    let (before, since) = (Cpu::now(), Instant::now());
    let sending = lanes.into_iter().map(|lane| {
        let sender = Sender {
            address: address.clone(),
            token: served.token.clone(),
            latency_us: latency_us.clone(),
        };
        tokio::spawn(sender.send(lane))
    });
    for sent in try_join_all(sending).await? {
        sent?;
    }
    let (took, cpu) = (since.elapsed(), before.since());
    let queued = world.envelopes_waiting().await?;
    served.end().await?;
    Ok(Outcome {
        requests,
        samples,
        took,
        latency_us,
        cpu,
        queued,
    })
}

impl Outcome {
    /// Whether the queue holds what was answered with 202.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.queued == self.requests,
            "{} requests were answered with 202, the queue holds {} batches",
            self.requests,
            self.queued
        );
        Ok(())
    }
}

/// One connection, kept open. By hand, so that sending costs little beside what is measured.
struct Sender {
    address: String,
    token: String,
    latency_us: Arc<Histogram>,
}

impl Sender {
    async fn send(self, lane: Vec<Message>) -> Result<()> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        let mut answer = Vec::new();
        for message in lane {
            request.clear();
            let head = format!(
                "POST /v1/telemetry/batches HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: \
                 {}\r\ncontent-length: {}\r\n\r\n",
                self.address,
                self.token,
                message.content_type.as_str(),
                message.payload.len()
            );
            request.extend_from_slice(head.as_bytes());
            request.extend_from_slice(&message.payload);
            let since = Instant::now();
            stream.write_all(&request).await?;
            answered(&mut stream, &mut answer).await?;
            self.latency_us.add(u64::try_from(since.elapsed().as_micros())?);
            ensure!(
                answer.starts_with(b"HTTP/1.1 202"),
                "not accepted: {}",
                String::from_utf8_lossy(&answer)
            );
        }
        Ok(())
    }
}

/// Reads one answer: its head, and the body it announces.
async fn answered(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<()> {
    answer.clear();
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the connection was closed");
        let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without content-length")?.trim().parse()?;
        while answer.len() < head + 4 + length {
            ensure!(stream.read_buf(answer).await? > 0, "the connection was closed");
        }
        return Ok(());
    }
}
