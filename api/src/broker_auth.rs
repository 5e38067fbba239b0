//! What RabbitMQ asks before it lets a sender in, and before it takes something from it: the service behind its plugin
//! `rabbitmq_auth_backend_http`. A form comes, `allow` or `deny` goes back.
//!
//! It is served on a listener of its own, away from the API, and to nobody who does not know the key; nothing that a tenant
//! can get opens it. The plugin sends no headers of ours, so the key stands in the address it is configured with.

mod decide;

use std::{fmt, future::Future, io, net::TcpListener};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, middleware, web};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

pub use self::decide::BrokerNames;
use crate::{home::at_home, state::ApiState};

/// Longest form read; a question has a few hundred bytes.
const FORM_BYTES: usize = 16 << 10;

/// Where questions come from, and what they may be about.
#[derive(Clone)]
pub struct BrokerAuth {
    /// Whoever asks has to know it.
    pub key: String,
    pub names: BrokerNames,
}

impl fmt::Debug for BrokerAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerAuth")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    key: String,
}

/// Answers the broker until `shutdown` completes.
pub async fn serve_broker_auth(
    state: ApiState,
    auth: BrokerAuth,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let timeout = state.limits.shutdown_timeout;
    let workers = state.limits.workers.max(1);
    let address = listener.local_addr()?;
    let (state, auth) = (web::Data::new(state), web::Data::new(auth));
    let home = web::Data::new(Handle::current());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(auth.clone())
            .app_data(home.clone())
            .app_data(web::FormConfig::default().limit(FORM_BYTES))
            .service(
                web::scope("/internal/rabbitmq")
                    .route("/user", web::post().to(user))
                    .route("/vhost", web::post().to(vhost))
                    .route("/resource", web::post().to(resource))
                    .route("/topic", web::post().to(topic)),
            )
            .wrap(middleware::from_fn(at_home))
    })
    .workers(workers)
    .shutdown_timeout(timeout.as_secs())
    .disable_signals()
    .shutdown_signal(shutdown)
    .listen(listener)?
    .run();
    tracing::info!(broker_auth.address = %address, "answering the broker");
    server.await
}

async fn user(
    state: web::Data<ApiState>,
    auth: web::Data<BrokerAuth>,
    request: HttpRequest,
    form: web::Form<decide::User>,
) -> HttpResponse {
    match auth.knows(&request) {
        true => answer(decide::user(&state, &form).await),
        false => stranger(),
    }
}

async fn vhost(
    state: web::Data<ApiState>,
    auth: web::Data<BrokerAuth>,
    request: HttpRequest,
    form: web::Form<decide::Vhost>,
) -> HttpResponse {
    match auth.knows(&request) {
        true => answer(decide::vhost(&state, &auth.names, &form).await),
        false => stranger(),
    }
}

async fn resource(
    state: web::Data<ApiState>,
    auth: web::Data<BrokerAuth>,
    request: HttpRequest,
    form: web::Form<decide::Resource>,
) -> HttpResponse {
    match auth.knows(&request) {
        true => answer(decide::resource(&state, &auth.names, &form).await),
        false => stranger(),
    }
}

async fn topic(
    state: web::Data<ApiState>,
    auth: web::Data<BrokerAuth>,
    request: HttpRequest,
    form: web::Form<decide::Topic>,
) -> HttpResponse {
    match auth.knows(&request) {
        true => answer(decide::topic(&state, &auth.names, &form).await),
        false => stranger(),
    }
}

impl BrokerAuth {
    /// By the hashes, so that how long it takes tells nothing of how much of the key was right.
    fn knows(&self, request: &HttpRequest) -> bool {
        let given = web::Query::<Key>::from_query(request.query_string());
        given.is_ok_and(|given| Sha256::digest(&given.key) == Sha256::digest(&self.key))
    }
}

fn stranger() -> HttpResponse {
    tracing::warn!("somebody asked on the broker's listener without its key");
    HttpResponse::Forbidden().finish()
}

/// A failure of ours is an error to the broker, which then lets nobody in but remembers no refusal.
fn answer(decided: Result<bool, odograph_store::StoreError>) -> HttpResponse {
    match decided {
        Ok(allowed) => HttpResponse::Ok()
            .insert_header(header::ContentType::plaintext())
            .body(if allowed { "allow" } else { "deny" }),
        Err(error) => {
            tracing::error!(error = %error, "the broker's question cannot be answered now");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}
