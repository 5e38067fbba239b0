//! The roles that run until they are told to stop: `serve`, `work` and both in one.

use std::net::TcpListener;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, metrics, root::Parts, shutdown, worker};

pub(super) async fn serve(config: Config) -> Result<()> {
    let parts = Parts::open(config).await?;
    let shutdown = shutdown::on_signal()?;
    let announce = |url: &str| eprintln!("serving on {url}, documentation at {url}/docs");
    let (served, shown) = tokio::join!(
        ending(&shutdown, serve_until(&parts, shutdown.clone(), announce)),
        metrics::serve(&parts, "serve", shutdown.clone()),
    );
    parts.close().await?;
    served.and(shown)
}

pub(super) async fn work(config: Config) -> Result<()> {
    let parts = Parts::open(config).await?;
    let shutdown = shutdown::on_signal()?;
    let (worked, shown) = tokio::join!(
        ending(&shutdown, worker::run(parts.clone(), shutdown.clone())),
        metrics::serve(&parts, "work", shutdown.clone()),
    );
    parts.close().await?;
    worked.and(shown)
}

pub(super) async fn all(config: Config) -> Result<()> {
    let parts = Parts::open(config).await?;
    let shutdown = shutdown::on_signal()?;
    let announce = |url: &str| eprintln!("serving and working on {url}, documentation at {url}/docs");
    let (served, worked, shown) = tokio::join!(
        ending(&shutdown, serve_until(&parts, shutdown.clone(), announce)),
        ending(&shutdown, worker::run(parts.clone(), shutdown.clone())),
        metrics::serve(&parts, "all", shutdown.clone()),
    );
    parts.close().await?;
    served.and(worked).and(shown)
}

/// When one half ends, however it does, the other is told to.
async fn ending<T>(shutdown: &CancellationToken, half: impl Future<Output = T>) -> T {
    let ended = half.await;
    shutdown.cancel();
    ended
}

/// Serves until `shutdown`; `ready` is told the address once it is bound.
pub async fn serve_until(parts: &Parts, shutdown: CancellationToken, ready: impl FnOnce(&str)) -> Result<()> {
    serve_on(bind(&parts.config)?, parts, shutdown, ready).await
}

/// Takes the address of the API, or says that it cannot be had.
pub(super) fn bind(config: &Config) -> Result<TcpListener> {
    TcpListener::bind(config.api.bind).with_context(|| format!("cannot listen on {} (api.bind)", config.api.bind))
}

/// [`serve_until`] on an address that was taken before.
pub(super) async fn serve_on(
    listener: TcpListener,
    parts: &Parts,
    shutdown: CancellationToken,
    ready: impl FnOnce(&str),
) -> Result<()> {
    let url = match parts.config.api.public_url.as_str() {
        "" => format!("http://{}", listener.local_addr()?),
        given => given.trim_end_matches('/').to_owned(),
    };
    let state = parts.api_state(&url)?;
    ready(&url);
    odograph_api::serve(state, listener, async move { shutdown.cancelled().await })
        .await
        .context("the API failed")
}
