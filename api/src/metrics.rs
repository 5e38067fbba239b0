//! `GET /metrics`, on a listener of its own: what is for whoever runs the platform is not on the API's port.

use std::{future::Future, io, net::TcpListener, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, http::header, web};

/// The text format of OpenMetrics, which Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Gives the metrics as they are at the time.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Serves what `render` gives until `shutdown` completes. Nothing else answers on this listener.
pub async fn serve_metrics(
    listener: TcpListener,
    render: Render,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let render = web::Data::new(render);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(render.clone())
            .route("/metrics", web::get().to(show))
    })
    // One reader, every few seconds.
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .shutdown_signal(shutdown)
    .listen(listener)?
    .run();
    tracing::info!(metrics.address = %address, "metrics listening");
    server.await
}

async fn show(render: web::Data<Render>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, CONTENT_TYPE))
        .body(render())
}
