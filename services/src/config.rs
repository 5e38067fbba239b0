//! Configuration: one struct a section, the documented defaults in `config.default.toml`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::Deserialize;

const DEFAULTS: &str = include_str!("config.default.toml");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data: Data,
    pub database: Database,
    pub queue: Queue,
    pub intake: Intake,
    pub broker_auth: BrokerAuth,
    pub keys: Keys,
    pub api: Api,
    pub worker: Worker,
    pub lake: Lake,
    pub log: Log,
    pub metrics: Metrics,
    pub tracing: Tracing,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
    pub max_connections: u32,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub url: String,
    pub prefix: String,
    pub partitions: u16,
    pub generation: u32,
    pub prefetch: u16,
    pub bulk_prefetch: u16,
    pub max_ready: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    pub enabled: bool,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerAuth {
    pub bind: String,
    pub key: String,
    pub vhost: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub master_key: String,
    pub signing_key_file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    pub bind: SocketAddr,
    pub public_url: String,
    pub token_ttl_s: u32,
    pub idempotency_ttl_s: u32,
    pub body_bytes: usize,
    pub intake_at_once: usize,
    pub intake_bytes: usize,
    pub rate: Rate,
    pub cors: Cors,
}

/// What one tenant may send to one process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub requests_per_s: u32,
    pub bytes_per_s: u32,
    pub burst_s: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    pub allowed_origins: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    pub batch_messages: usize,
    pub batch_bytes: usize,
    pub bulk_bytes: usize,
    pub batch_wait_ms: u64,
    pub lease_s: u32,
    pub derive_every_ms: u64,
    pub derive_at_once: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lake {
    pub url: String,
    pub every_s: u64,
    pub file_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub bind: String,
    pub sample_s: u32,
}

impl Metrics {
    /// Where to serve them; `None` where they are off.
    pub fn address(&self) -> Result<Option<SocketAddr>> {
        if self.bind.is_empty() {
            return Ok(None);
        }
        let address = self.bind.parse().ok();
        let address = address.with_context(|| {
            format!(
                "metrics.bind: wanted an address with its port such as 127.0.0.1:9464, or nothing, got {:?}",
                self.bind
            )
        })?;
        Ok(Some(address))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    pub otlp_endpoint: String,
    pub sample_ratio: f64,
}

// Addresses of queues carry passwords, and keys are keys: neither is ever printed.
impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BrokerAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerAuth")
            .field("bind", &self.bind)
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Config {
    /// The defaults, then the file, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(file) = file {
            ensure!(file.is_file(), "there is no configuration file {}", file.display());
            figment = figment.merge(Toml::file_exact(file));
        }
        let environment = Env::prefixed("ODOGRAPH__").split("__");
        let mut config: Self = figment
            .merge(environment)
            .extract()
            .context("the configuration does not read (see config.default.toml)")?;
        config.settle()?;
        Ok(config)
    }

    /// The documented default file.
    pub fn defaults() -> &'static str {
        DEFAULTS
    }

    fn settle(&mut self) -> Result<()> {
        if self.data.dir.as_os_str().is_empty() {
            self.data.dir = data_home()?.join("odograph");
        }
        ensure!(self.queue.partitions > 0, "queue.partitions must be at least 1");
        ensure!(
            self.worker.batch_messages > 0,
            "worker.batch_messages must be at least 1"
        );
        ensure!(self.worker.lease_s > 0, "worker.lease_s must be at least 1");
        ensure!(
            self.database.max_connections > 0,
            "database.max_connections must be at least 1"
        );
        let place = ["file:///", "s3://"]
            .iter()
            .any(|scheme| self.lake.url.starts_with(scheme));
        ensure!(
            self.lake.url.is_empty() || place,
            "lake.url must be file:///folder or s3://bucket/prefix, got {:?}",
            self.lake.url
        );
        ensure!(self.lake.every_s >= 10, "lake.every_s must be at least 10");
        ensure!(
            (1_048_576..=1_073_741_824).contains(&self.lake.file_bytes),
            "lake.file_bytes must be between 1048576 (1 MiB) and 1073741824 (1 GiB)"
        );
        ensure!(self.queue.prefetch > 0, "queue.prefetch must be at least 1");
        ensure!(self.queue.bulk_prefetch > 0, "queue.bulk_prefetch must be at least 1");
        ensure!(self.queue.generation > 0, "queue.generation must be at least 1");
        ensure!(self.queue.partitions <= 1024, "queue.partitions must be at most 1024");
        ensure!(self.worker.batch_bytes > 0, "worker.batch_bytes must be at least 1");
        ensure!(self.worker.bulk_bytes > 0, "worker.bulk_bytes must be at least 1");
        ensure!(self.api.intake_at_once > 0, "api.intake_at_once must be at least 1");
        ensure!(
            self.api.intake_bytes >= self.api.body_bytes,
            "api.intake_bytes must be at least api.body_bytes: one body has to fit in"
        );
        let rate = &self.api.rate;
        ensure!(
            rate.requests_per_s > 0 && rate.bytes_per_s > 0 && rate.burst_s > 0,
            "api.rate: wanted requests_per_s, bytes_per_s and burst_s of at least 1"
        );
        ensure!(!self.queue.prefix.is_empty(), "queue.prefix must not be empty");
        let amqp = ["amqp://", "amqps://"]
            .iter()
            .any(|scheme| self.queue.url.starts_with(scheme));
        ensure!(
            self.queue.url.is_empty() || amqp,
            "queue.url must begin with amqp:// or amqps://"
        );
        ensure!(
            !self.intake.enabled || amqp,
            "intake.enabled needs a broker: give queue.url"
        );
        self.broker_auth.check(self.intake.enabled)?;
        ensure!(
            (1..=86_400).contains(&self.api.token_ttl_s),
            "api.token_ttl_s must be between 1 and 86400"
        );
        ensure!(
            (60..=2_678_400).contains(&self.api.idempotency_ttl_s),
            "api.idempotency_ttl_s must be between 60 and 2678400 (31 days)"
        );
        ensure!(self.api.body_bytes >= 1024, "api.body_bytes must be at least 1024");
        self.metrics.address()?;
        ensure!(
            (1..=3600).contains(&self.metrics.sample_s),
            "metrics.sample_s must be between 1 and 3600"
        );
        let collector = &self.tracing.otlp_endpoint;
        ensure!(
            collector.is_empty() || collector.starts_with("http://"),
            "tracing.otlp_endpoint: wanted http:// and the host and port of a collector near by, or nothing; TLS to a distant \
             one is the collector's"
        );
        ensure!(
            (0.0..=1.0).contains(&self.tracing.sample_ratio),
            "tracing.sample_ratio must be between 0 and 1"
        );
        for origin in &self.api.cors.allowed_origins {
            ensure!(
                is_origin(origin),
                "api.cors.allowed_origins: wanted a scheme and a host such as https://portal.example.com, or *, got {origin:?}"
            );
        }
        let http = ["http://", "https://"]
            .iter()
            .any(|scheme| self.api.public_url.starts_with(scheme));
        ensure!(
            self.api.public_url.is_empty() || http,
            "api.public_url must begin with http:// or https://"
        );
        ensure!(
            self.worker.derive_every_ms >= 10,
            "worker.derive_every_ms must be at least 10"
        );
        ensure!(
            self.worker.derive_at_once > 0,
            "worker.derive_at_once must be at least 1"
        );
        Ok(())
    }

    pub fn embedded(&self) -> bool {
        self.database.url.is_empty()
    }
}

impl BrokerAuth {
    /// Where the broker's questions are answered; `None` where they are not.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bind.parse().ok()
    }

    fn check(&self, intake: bool) -> Result<()> {
        const SHORTEST_KEY: usize = 16;
        if self.bind.is_empty() {
            return Ok(());
        }
        ensure!(
            self.address().is_some(),
            "broker_auth.bind: wanted an address and a port such as 127.0.0.1:8081, got {:?}",
            self.bind
        );
        ensure!(
            self.key.len() >= SHORTEST_KEY && self.key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "broker_auth.key: wanted at least {SHORTEST_KEY} letters and digits, which stand in the addresses that the broker \
             asks; openssl rand -hex 32 makes some"
        );
        // What is published where no queue is bound yet is confirmed and gone.
        ensure!(intake, "broker_auth.bind lets senders in: set intake.enabled too");
        Ok(())
    }
}

/// As a browser writes it into `Origin`: nothing after the host and the port.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*']))
}

fn data_home() -> Result<PathBuf> {
    let given = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    given("XDG_DATA_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".local/share")))
        .context("neither HOME nor XDG_DATA_HOME is set: give data.dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_read_and_a_file_overrides_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odograph.toml");
        std::fs::write(&file, "[api]\nbind = \"0.0.0.0:9000\"\n[data]\ndir = \"/tmp/x\"\n").unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert_eq!(config.api.bind.port(), 9000);
        assert_eq!(config.queue.partitions, 8);
        assert!(config.embedded());
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("odograph.toml");
        std::fs::write(&file, "[api]\nbnid = \"0.0.0.0:9000\"\n").unwrap();
        let error = format!("{:#}", Config::load(Some(&file)).unwrap_err());
        assert!(error.contains("bnid"), "{error}");
        std::fs::write(&file, "[api.cors]\nallowed_origins = [\"https://a.example/\"]\n").unwrap();
        let error = format!("{:#}", Config::load(Some(&file)).unwrap_err());
        assert!(error.contains("https://portal.example.com"), "{error}");
        assert!(Config::load(Some(Path::new("/nonexistent.toml"))).is_err());
        for (wrong, named) in [
            ("[metrics]\nbind = \"9464\"\n", "127.0.0.1:9464"),
            ("[tracing]\notlp_endpoint = \"https://a.example\"\n", "http://"),
            ("[tracing]\nsample_ratio = 2.0\n", "between 0 and 1"),
        ] {
            std::fs::write(&file, wrong).unwrap();
            let error = format!("{:#}", Config::load(Some(&file)).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
