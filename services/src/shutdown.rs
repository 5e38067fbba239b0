//! Stopping in order: the first signal asks for it, the second insists.

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that is cancelled by SIGINT or SIGTERM. A second signal ends the process at once.
pub fn on_signal() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let asked = token.clone();
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut seen = false;
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            #[cfg(not(unix))]
            let _ = tokio::signal::ctrl_c().await;
            if seen {
                std::process::exit(130);
            }
            seen = true;
            info!("stopping: finishing what was begun");
            asked.cancel();
        }
    });
    Ok(token)
}
