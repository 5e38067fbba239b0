use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{config::Config, root::Parts};

const PATIENCE: Duration = Duration::from_secs(5);

/// The role of the process whose health is asked for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Role {
    /// Asks the API of this machine whether it is ready.
    Serve,
    /// Asks database and queue.
    Work,
}

/// For containers, whose image has no other tool to ask with: ends with 0 where all is well.
pub(super) async fn run(role: Role, config: Config) -> Result<()> {
    match role {
        Role::Serve => {
            let asked = tokio::time::timeout(PATIENCE, ready(config.api.bind));
            asked.await.context("the API did not answer in time")??;
        }
        Role::Work => {
            ensure!(
                !config.embedded(),
                "the embedded database belongs to the process that runs on it; ask that one"
            );
            let parts = Parts::open(config).await?;
            let database = parts.store.ping().await.context("the database does not answer");
            let queue = parts.queue.depth().await.context("the queue does not answer");
            parts.close().await?;
            database.and(queue.map(drop))?;
        }
    }
    println!("ok");
    Ok(())
}

/// `GET /readyz`, by hand: one request needs no HTTP client.
async fn ready(bind: SocketAddr) -> Result<()> {
    let address = SocketAddr::new(reachable(bind.ip()), bind.port());
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nothing listens on {address}"))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (status, rest) = answer.split_once("\r\n").unwrap_or((&answer, ""));
    if status.split(' ').nth(1) != Some("200") {
        let body = rest.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        bail!("not ready: {status}\n{body}");
    }
    Ok(())
}

/// What listens everywhere is reached here.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
