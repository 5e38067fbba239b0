//! Databases that a benchmark makes for itself and drops again, and what it counts in them.

use std::str::FromStr;

use odograph_domain::id::TenantId;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    session::Scope,
    worker::WorkerStore,
};

/// A database of its own on a server, empty when made. Needs a user who may create databases.
#[derive(Debug)]
pub struct Scratch {
    server: PgConnectOptions,
    name: String,
}

/// What has come of a tenant's telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// In the dedup ledger.
    pub batches: i64,
    pub ledger_samples: i64,
    /// In journal and blocks.
    pub raw_samples: i64,
    pub trips: i64,
    /// Samples that the trips' features were made of.
    pub trip_samples: i64,
    pub scores: i64,
    pub premiums: i64,
    /// Vehicles whose trips are still to be derived.
    pub dirty: i64,
}

/// Inserts payloads and nothing else: what the same messages cost at the least.
#[derive(Debug, Clone)]
pub struct PayloadTable {
    pool: PgPool,
}

impl Scratch {
    /// `name` may hold letters, digits and underscores only.
    pub async fn create(server_url: &str, name: &str) -> Result<Self> {
        let unfit = |kind, detail: &str| StoreError::Invalid {
            kind,
            detail: detail.to_owned(),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(unfit("database name", "wanted letters, digits and underscores"));
        }
        let server = PgConnectOptions::from_str(server_url)
            .map_err(|_| unfit("database url", "wanted postgres://user:password@host:port/database"))?;
        let scratch = Self {
            server,
            name: name.to_owned(),
        };
        scratch.on_server(format!("CREATE DATABASE {name}")).await?;
        Ok(scratch)
    }

    /// For the configuration: the database just made.
    pub fn url(&self) -> String {
        self.server.clone().database(&self.name).to_url_lossy().to_string()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub async fn drop_database(self) -> Result<()> {
        self.on_server(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
            .await
    }

    async fn on_server(&self, statement: String) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.server).await?;
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Lets the planner know what was just written, as autovacuum would in time.
    pub async fn analyze(&self) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.server.clone().database(&self.name)).await?;
        sqlx::query("VACUUM (ANALYZE)").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Only the statistics.
    pub async fn refresh_statistics(&self) -> Result<()> {
        let mut connection = PgConnection::connect_with(&self.server.clone().database(&self.name)).await?;
        sqlx::query("ANALYZE").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// What the database takes with nothing dead in it, bytes, indexes and all.
    pub async fn bytes_at_rest(&self) -> Result<u64> {
        let mut connection = PgConnection::connect_with(&self.server.clone().database(&self.name)).await?;
        sqlx::query("VACUUM (FULL)").execute(&mut connection).await?;
        let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        u64::try_from(bytes).map_err(StoreError::corrupt)
    }

    pub async fn payload_table(&self, connections: u32) -> Result<PayloadTable> {
        let options = self.server.clone().database(&self.name);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .connect_with(options)
            .await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS bench_payload (id uuid PRIMARY KEY, payload bytea NOT NULL)")
            .execute(&pool)
            .await?;
        Ok(PayloadTable { pool })
    }
}

impl PayloadTable {
    /// One statement, one transaction.
    pub async fn insert(&self, ids: &[Uuid], payloads: &[Vec<u8>]) -> Result<()> {
        sqlx::query("INSERT INTO bench_payload SELECT * FROM unnest($1::uuid[], $2::bytea[])")
            .bind(ids)
            .bind(payloads)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn count(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM bench_payload")
            .fetch_one(&self.pool)
            .await?)
    }

    pub async fn end(self) -> Result<()> {
        sqlx::query("DROP TABLE bench_payload").execute(&self.pool).await?;
        self.pool.close().await;
        Ok(())
    }
}

impl WorkerStore {
    /// Windows of a tenant that are still to be derived.
    pub async fn dirty_left(&self, tenant: TenantId) -> Result<u64> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        let left = sqlx::query_scalar!(
            r#"SELECT count(*) AS "left!" FROM dirty_window WHERE tenant_id = $1"#,
            tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        u64::try_from(left).map_err(StoreError::corrupt)
    }

    /// Counts all that a tenant's telemetry has come to.
    pub async fn census(&self, tenant: TenantId) -> Result<Census> {
        let mut tx = self.store.begin(Scope::Worker(&[tenant])).await?;
        let census = sqlx::query_as!(
            Census,
            r#"SELECT (SELECT count(*) FROM batch_ledger WHERE tenant_id = $1) AS "batches!",
                      (SELECT coalesce(sum(samples), 0) FROM batch_ledger WHERE tenant_id = $1) AS "ledger_samples!",
                      (SELECT coalesce(sum(samples), 0) FROM raw_journal WHERE tenant_id = $1)
                          + (SELECT coalesce(sum(samples), 0) FROM raw_block WHERE tenant_id = $1) AS "raw_samples!",
                      (SELECT count(*) FROM trip WHERE tenant_id = $1) AS "trips!",
                      (SELECT coalesce(sum(samples), 0) FROM trip_features WHERE tenant_id = $1) AS "trip_samples!",
                      (SELECT count(*) FROM score WHERE tenant_id = $1) AS "scores!",
                      (SELECT count(DISTINCT (policy_id, period)) FROM premium WHERE tenant_id = $1) AS "premiums!",
                      (SELECT count(*) FROM dirty_window WHERE tenant_id = $1) AS "dirty!""#,
            tenant.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(census)
    }
}
