//! One connection to the broker, made again when it is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lapin::{Connection, ConnectionProperties, uri::AMQPUri};
use odograph_domain::queue::QueueError;
use tokio::sync::Mutex;

use super::{RabbitOptions, answered_within, backoff::Backoff, reason, topology::Chosen};

/// For one attempt: TCP, TLS, login, and declaring what may be dozens of queues on a busy broker.
const ATTEMPT: Duration = Duration::from_secs(30);
/// For the broker to take leave.
const GOODBYE: Duration = Duration::from_secs(1);
/// For looking whether there is a connection.
const LEAST: Duration = Duration::from_millis(100);
/// Without an answer to two of these in a row the peer counts as dead, s.
const HEARTBEAT_S: u16 = 10;

pub(super) struct Link {
    /// What this connection is for, in logs and in the broker's own list.
    role: &'static str,
    uri: AMQPUri,
    topology: Arc<Chosen>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    backoff: Backoff,
    last_error: String,
}

impl Link {
    pub(super) fn new(options: &RabbitOptions, role: &'static str, topology: Arc<Chosen>) -> Result<Self, QueueError> {
        // The parser's own error may quote what it was given, password and all.
        let mut uri: AMQPUri = options.url.parse().map_err(|_| {
            QueueError::Misused(
                "the broker's URL does not read; wanted amqp://user:password@host:port/vhost".to_owned(),
            )
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(Self {
            role,
            uri,
            topology,
            state: Mutex::default(),
        })
    }

    /// The connection; made, and everything declared, if there is none. Waits for the pause between attempts to pass, but
    /// not beyond `deadline`.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, QueueError> {
        // Who comes while another is connecting waits no longer than it would for itself.
        let patience = deadline.max(Instant::now() + LEAST);
        let Ok(mut state) = tokio::time::timeout_at(patience.into(), self.state.lock()).await else {
            return Err(QueueError::Unavailable(
                "the broker is still being connected to".to_owned(),
            ));
        };
        loop {
            if let Some(connection) = state
                .connection
                .as_ref()
                .filter(|connection| connection.status().connected())
            {
                return Ok(Arc::clone(connection));
            }
            if state.connection.take().is_some() {
                tracing::warn!(queue.link = self.role, "the connection to the broker was lost");
            }
            if !state.backoff.ready(deadline).await {
                return Err(QueueError::Unavailable(state.last_error.clone()));
            }
            match self.attempt().await {
                Ok(connection) => {
                    tracing::info!(queue.link = self.role, broker.host = %self.uri.authority.host, "connected to the broker");
                    state.backoff.succeeded();
                    state.connection = Some(Arc::new(connection));
                }
                Err(error) => {
                    tracing::warn!(queue.link = self.role, %error, "the broker cannot be reached");
                    state.backoff.failed(Instant::now());
                    state.last_error = reason(&error);
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn attempt(&self) -> Result<Connection, QueueError> {
        let topology = self.topology.get();
        let name = format!("{} {}", topology.exchange(), self.role);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        answered_within(ATTEMPT.max(topology.patience()), "connecting to the broker", async {
            let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
            topology.declare(&connection).await?;
            Ok(connection)
        })
        .await
    }

    /// Drops a connection whose declarations turned out to be gone, so that the next one declares again.
    pub(super) async fn forget(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        if state
            .connection
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, connection))
        {
            state.connection = None;
        }
    }

    pub(super) async fn close(&self) {
        let connection = self.state.lock().await.connection.take();
        if let Some(connection) = connection {
            // What cannot be closed is already gone. The answer can get lost between the last frame and the end.
            let _ = tokio::time::timeout(GOODBYE, connection.close(200, "done".into())).await;
        }
    }
}
