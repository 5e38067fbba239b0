//! The server: binds, serves, and stops without cutting off what is under way.

use std::{future::Future, io, net::TcpListener};

use actix_web::{App, HttpServer, middleware, web};
use tokio::runtime::Handle;

use crate::{
    auth::gate::gate,
    home::at_home,
    manners::{
        compression::spare_short, conditional::conditional, cors::cors, idempotency::idempotent, intake::intake,
    },
    observe::observe,
    routes,
    state::ApiState,
};

/// Serves until `shutdown` completes, then takes no new connection, lets requests under way finish (as long as
/// `limits.shutdown_timeout`), and returns.
///
/// Bind the listener beforehand: `TcpListener::bind("127.0.0.1:0")?` and its `local_addr()` tell the port.
pub async fn serve(
    state: ApiState,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let limits = state.limits;
    let origins = state.allowed_origins.clone();
    let address = listener.local_addr()?;
    let state = web::Data::new(state);
    let home = web::Data::new(Handle::current());
    let docs = routes::Docs::new();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(home.clone())
            .configure(|config| routes::configure(config, &docs))
            // The last is the outermost: a request passes these from the bottom up.
            .wrap(middleware::from_fn(idempotent))
            .wrap(middleware::from_fn(at_home))
            .wrap(middleware::from_fn(conditional))
            .wrap(middleware::from_fn(intake))
            .wrap(middleware::from_fn(gate))
            .wrap(middleware::from_fn(spare_short))
            .wrap(middleware::Compress::default())
            .wrap(cors(&origins))
            .wrap(middleware::from_fn(observe))
    })
    .workers(limits.workers.max(1))
    .shutdown_timeout(limits.shutdown_timeout.as_secs())
    // Signals are the composition root's: it stops the workers too, in its own order.
    .disable_signals()
    .shutdown_signal(shutdown)
    .listen(listener)?
    .run();
    tracing::info!(api.address = %address, "api listening");
    let served = server.await;
    tracing::info!(api.address = %address, "api stopped");
    served
}
