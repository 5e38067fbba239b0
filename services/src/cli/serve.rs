//! The roles that run until they are told to stop: `serve`, `work` and both in one.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use tokio_util::sync::CancellationToken;

use crate::{bridge, config::Config, metrics, root::Parts, shutdown, worker};

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
    let (worked, bridged, shown) = tokio::join!(
        ending(&shutdown, worker::run(parts.clone(), shutdown.clone())),
        bridge_while(&parts, &shutdown),
        metrics::serve(&parts, "work", shutdown.clone()),
    );
    parts.close().await?;
    worked.and(bridged).and(shown)
}

pub(super) async fn bridge(config: Config) -> Result<()> {
    ensure!(
        config.intake.enabled,
        "there is no intake to pass on from (intake.enabled)"
    );
    let parts = Parts::open(config).await?;
    let shutdown = shutdown::on_signal()?;
    let (bridged, shown) = tokio::join!(
        ending(&shutdown, bridge::run(parts.clone(), shutdown.clone())),
        metrics::serve(&parts, "bridge", shutdown.clone()),
    );
    parts.close().await?;
    bridged.and(shown)
}

/// A bridge where there is an intake; where there is none that is no reason to stop the rest.
async fn bridge_while(parts: &Parts, shutdown: &CancellationToken) -> Result<()> {
    if !parts.config.intake.enabled {
        return Ok(());
    }
    ending(shutdown, bridge::run(parts.clone(), shutdown.clone())).await
}

pub(super) async fn all(config: Config) -> Result<()> {
    let parts = Parts::open(config).await?;
    let shutdown = shutdown::on_signal()?;
    let announce = |url: &str| eprintln!("serving and working on {url}, documentation at {url}/docs");
    let (served, worked, bridged, shown) = tokio::join!(
        ending(&shutdown, serve_until(&parts, shutdown.clone(), announce)),
        ending(&shutdown, worker::run(parts.clone(), shutdown.clone())),
        bridge_while(&parts, &shutdown),
        metrics::serve(&parts, "all", shutdown.clone()),
    );
    parts.close().await?;
    served.and(worked).and(bridged).and(shown)
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
    let answering = answer_broker(parts, &url, &shutdown)?;
    let stop = shutdown.clone();
    let serving = odograph_api::serve(state, listener, async move { stop.cancelled().await });
    let (served, answered) = tokio::join!(ending(&shutdown, serving), answering);
    served.context("the API failed").and(answered)
}

/// Answers what the broker asks about senders, where it is configured to.
fn answer_broker(
    parts: &Parts,
    url: &str,
    shutdown: &CancellationToken,
) -> Result<impl Future<Output = Result<()>> + use<>> {
    let asked = match parts.broker_auth() {
        Some((address, auth)) => {
            let listener =
                TcpListener::bind(address).with_context(|| format!("cannot listen on {address} (broker_auth.bind)"))?;
            Some((parts.api_state(url)?, auth, listener))
        }
        None => None,
    };
    let shutdown = shutdown.clone();
    Ok(async move {
        let Some((state, auth, listener)) = asked else {
            return Ok(());
        };
        let stop = shutdown.clone();
        let answering = odograph_api::serve_broker_auth(state, auth, listener, async move { stop.cancelled().await });
        ending(&shutdown, answering)
            .await
            .context("answering the broker failed")
    })
}
