//! Bodies of any length: batches are published as they come in. While one lot is on its way into the queue nothing more is read,
//! so that a queue that is slow slows down the sender, and no more than one lot is in memory.

use std::mem;

use actix_web::{
    HttpResponse,
    dev::Payload,
    web::{self, Bytes},
};
use futures_util::{FutureExt as _, StreamExt as _};
use odograph_domain::{
    envelope::ContentEncoding,
    framing::{Frame, Framing, Incoming},
    time::ReceivedAt,
};

use super::{
    BulkAnswer, MOST_BATCHES, Stopped,
    take::{Batch, Taker},
    within,
};
use crate::{
    problem::{Code, Problem},
    state::ApiLimits,
    v1::telemetry::glance::{Glance, Turned, glance},
};

/// Bytes of batches that are published in one go, about.
const LOT_BYTES: usize = 4 << 20;

pub(super) async fn take(
    taker: Taker<'_>,
    payload: Payload,
    framing: Framing,
    encoding: ContentEncoding,
) -> Result<HttpResponse, Problem> {
    let limits = taker.state.limits;
    let taker = taker.patient(limits.request_timeout / 2);
    let mut arriving = Arriving {
        payload,
        reader: Some(Reader {
            incoming: Incoming::new(encoding, framing, limits.inflated_bytes).map_err(Problem::internal)?,
            framing,
            most_samples: limits.batch_samples,
        }),
        chunk: Bytes::new(),
        ended: false,
        limits,
    };
    let mut answer = BulkAnswer::default();
    let stopped = loop {
        let lot = arriving.lot().await;
        let received_at = ReceivedAt::new(taker.state.clock.now());
        let message = |body| taker.message(body, framing.content_type(), received_at);
        let batches: Vec<Batch> = lot
            .batches
            .into_iter()
            .map(|(body, look)| (message(body), look))
            .collect();
        if !batches.is_empty()
            && let Err(problem) = within(limits.request_timeout, taker.take(batches, &mut answer)).await
        {
            break Some(problem);
        }
        if lot.stopped.is_some() || arriving.ended {
            break lot.stopped;
        }
    };
    match stopped {
        // Nothing has been done that the sender would have to know of.
        Some(problem) if answer.taken() == 0 => Err(problem),
        None if answer.taken() == 0 => {
            let detail = "wanted at least one batch, got none";
            Err(Problem::field(Code::InvalidBody, "batches", detail))
        }
        stopped => {
            answer.stopped = stopped.map(|problem| Stopped {
                index: answer.taken(),
                code: problem.code().as_str(),
                detail: problem.detail().to_owned(),
            });
            Ok(answer.respond())
        }
    }
}

/// A body on its way in.
struct Arriving {
    payload: Payload,
    /// Away only while it works on a thread of its own.
    reader: Option<Reader>,
    /// What has come in and was not read yet.
    chunk: Bytes,
    ended: bool,
    limits: ApiLimits,
}

/// Batches that are there, and why there will be no more where that is no ordinary end.
#[derive(Default)]
struct Lot {
    batches: Vec<(Bytes, Result<Glance, Turned>)>,
    bytes: usize,
    stopped: Option<Problem>,
}

impl Lot {
    fn is_full(&self) -> bool {
        self.batches.len() >= MOST_BATCHES || self.bytes >= LOT_BYTES
    }
}

impl Arriving {
    /// What is there now, at least one batch unless the body has ended, and no more than is published in one go.
    async fn lot(&mut self) -> Lot {
        let mut lot = Lot::default();
        while !lot.is_full() && !self.ended {
            if self.chunk.is_empty() {
                let next = self.payload.next();
                let chunk = match lot.batches.is_empty() {
                    true => tokio::time::timeout(self.limits.body_timeout, next)
                        .await
                        .map_err(|_elapsed| {
                            let timeout = self.limits.body_timeout.as_secs();
                            Problem::new(
                                Code::RequestTimeout,
                                format!("nothing of the body arrived for {timeout} s"),
                            )
                        }),
                    // What is there need not wait for what is not.
                    false => match next.now_or_never() {
                        Some(next) => Ok(next),
                        None => return lot,
                    },
                };
                match chunk {
                    Ok(Some(Ok(chunk))) => self.chunk = chunk,
                    Ok(Some(Err(error))) => {
                        self.ended = true;
                        let problem = Problem::new(Code::BadRequest, "the body broke off before its end");
                        lot.stopped = Some(problem.because(error));
                        return lot;
                    }
                    Ok(None) => self.ended = true,
                    Err(problem) => {
                        self.ended = true;
                        lot.stopped = Some(problem);
                        return lot;
                    }
                }
            }
            lot = self.read(lot).await;
            self.ended |= lot.stopped.is_some();
        }
        lot
    }

    async fn read(&mut self, mut lot: Lot) -> Lot {
        let (chunk, ended) = (mem::take(&mut self.chunk), self.ended);
        let Some(mut reader) = self.reader.take() else {
            return lot;
        };
        let work = move || {
            let left = reader.read(chunk, ended, &mut lot);
            (reader, left, lot)
        };
        // A panic there has been told already; here it ends the stream.
        match web::block(work).await {
            Ok((reader, left, lot)) => {
                (self.reader, self.chunk) = (Some(reader), left);
                lot
            }
            Err(error) => Lot {
                stopped: Some(Problem::internal(error)),
                ..Lot::default()
            },
        }
    }
}

/// Makes batches of what comes in.
struct Reader {
    incoming: Incoming,
    framing: Framing,
    most_samples: usize,
}

impl Reader {
    /// Reads until the lot is full or all is read, and gives what is left.
    fn read(&mut self, mut chunk: Bytes, ended: bool, lot: &mut Lot) -> Bytes {
        let mut frames = Vec::new();
        while !chunk.is_empty() && !lot.is_full() && lot.stopped.is_none() {
            match self.incoming.take(&chunk, &mut frames) {
                Ok(taken) => drop(chunk.split_to(taken)),
                Err(detail) => lot.stopped = Some(Problem::new(Code::MalformedBody, detail)),
            }
            self.look(&mut frames, lot);
        }
        if ended && lot.stopped.is_none() {
            if let Err(detail) = self.incoming.end(&mut frames) {
                lot.stopped = Some(Problem::new(Code::MalformedBody, detail));
            }
            self.look(&mut frames, lot);
        }
        chunk
    }

    fn look(&self, frames: &mut Vec<Frame>, lot: &mut Lot) {
        for frame in frames.drain(..) {
            let (body, look) = match frame {
                Frame::Batch(body) => {
                    let look = glance(&body, self.framing.content_type(), self.most_samples);
                    (Bytes::from(body), look)
                }
                Frame::TooLong => {
                    let detail = "wanted one batch, got more bytes than one may have; passed over";
                    (Bytes::new(), Err(Turned::undecodable(detail)))
                }
            };
            lot.bytes += body.len();
            lot.batches.push((body, look));
        }
    }
}
