//! The API over a benchmark's world, in this process, with a token of a client of its tenant.

use anyhow::{Context, Result};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::cli::{client, serve};

/// A running API. Give it back with [`Served::end`].
#[derive(Debug)]
pub struct Served {
    pub url: String,
    pub token: String,
    stop: CancellationToken,
    serving: JoinHandle<Result<()>>,
}

impl Served {
    pub async fn start(world: &World) -> Result<Self> {
        let credentials = client::create(&world.parts, world.tenant, "bench", &[]).await?;
        let (stop, (bound, address)) = (CancellationToken::new(), oneshot::channel());
        let (parts, stopping) = (world.parts.clone(), stop.clone());
        let serving = tokio::spawn(async move {
            serve::serve_until(&parts, stopping, move |url| drop(bound.send(url.to_owned()))).await
        });
        let url = address.await.context("the API did not start")?;
        let token = token(&url, &credentials).await?;
        Ok(Self {
            url,
            token,
            stop,
            serving,
        })
    }

    pub async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.serving.await.context("the API panicked")?
    }
}

async fn token(url: &str, credentials: &client::Credentials) -> Result<String> {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        credentials.id, credentials.secret
    );
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{url}/v1/oauth/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await?
        .error_for_status()?;
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
    let token = answer["access_token"].as_str().context("no token came")?;
    Ok(token.to_owned())
}
