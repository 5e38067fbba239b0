//! PostgreSQL 17.5 in this process, for trying and developing: no database to install.
//!
//! It has one connection, its login is a superuser (every transaction switches to a service role), and it does not
//! sync to disk: a power cut can lose what was committed. Production builds leave the feature out.

use std::path::PathBuf;

use anyhow::{Context, Result};
use pglite_oxide::PgliteServer;

/// Where the embedded database keeps its files.
#[derive(Debug, Clone)]
pub enum Location {
    /// Gone when it stops.
    Temporary,
    /// Kept; one process at a time.
    Folder(PathBuf),
}

/// A running embedded database. Close every connection before it is dropped: it waits for them.
#[derive(Debug)]
pub struct Embedded {
    server: PgliteServer,
}

impl Embedded {
    pub async fn start(location: Location) -> Result<Self> {
        let start = move || {
            let builder = PgliteServer::builder();
            let builder = match location {
                Location::Temporary => builder.temporary(),
                Location::Folder(folder) => builder.path(folder),
            };
            builder.start()
        };
        let server = tokio::task::spawn_blocking(start)
            .await
            .context("the embedded PostgreSQL panicked on start")?
            .context(
                "the embedded PostgreSQL did not start (one process at a time: is another running on its folder?)",
            )?;
        Ok(Self { server })
    }

    pub fn url(&self) -> String {
        self.server.database_url()
    }

    /// Stops the database once its connection is closed.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.server.shutdown())
            .await
            .context("the embedded PostgreSQL panicked on stop")?
    }
}
