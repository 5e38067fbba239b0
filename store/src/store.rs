//! The way in: a pool of connections, and from it a view for each kind of caller.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use odograph_domain::{
    clock::Clock,
    id::{ClientId, IdSource, TenantId},
};
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Notify;

use crate::{
    crypto::MasterKey,
    error::{Result, StoreError},
    generations::Generations,
    known_contexts::KnownContexts,
    lake::{Lake, LakeOptions, LakeStore},
    leases::Leases,
    operator::OperatorStore,
    queue::PgQueue,
    session::{Scope, Tx, begin},
    tenant::TenantStore,
    watching::Connections,
    worker::WorkerStore,
};

#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `postgres://…`; the user must be a member of the three roles, or a superuser.
    pub url: String,
    /// 1 for the embedded database, which has no more.
    pub max_connections: u32,
}

#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    master: MasterKey,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    lake: OnceLock<Lake>,
    /// Wakes the queue's consumers in this process; those in others poll.
    published: Notify,
    known_contexts: KnownContexts,
}

/// What a client belongs to, and so what its tokens can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// A tenant's data, and nothing else.
    Tenant(TenantId),
    /// The platform: tenants and their clients, and no tenant's data.
    Platform,
}

/// What a client's secret is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    pub realm: Realm,
    pub client: ClientId,
    pub name: String,
    pub secret_hash: String,
    pub scopes: Vec<String>,
    /// The client, or its tenant.
    pub disabled: bool,
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The pool's options carry the password.
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// How long a connection is waited for, and so how long a caller waits to be told that the database is away.
const ACQUIRE: Duration = Duration::from_secs(5);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

impl Store {
    pub async fn connect(
        options: &StoreOptions,
        master: MasterKey,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self> {
        let unfit = || StoreError::Invalid {
            kind: "database url",
            detail: "wanted postgres://user:password@host:port/database".into(),
        };
        if !(options.url.starts_with("postgres://") || options.url.starts_with("postgresql://")) {
            return Err(unfit());
        }
        // The URL may hold a password: the parser's message is not passed on.
        let connect = PgConnectOptions::from_str(&options.url).map_err(|_| unfit())?;
        let mut pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(ACQUIRE);
        if options.max_connections <= 1 {
            // A second connection, opened to replace an old one, would be refused. Everybody takes turns on the one, so a
            // long wait is no fault.
            pool = pool
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(Duration::from_secs(600));
        } else {
            pool = pool.after_connect(|connection, _| Box::pin(let_go(connection)));
        }
        let pool = pool.connect_with(connect.application_name("odograph")).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                master,
                clock,
                ids,
                lake: OnceLock::new(),
                published: Notify::new(),
                known_contexts: KnownContexts::default(),
            }),
        })
    }

    /// Brings the schema up to date, as the user that logged in.
    pub async fn migrate(&self) -> Result<()> {
        MIGRATIONS.run(&self.inner.pool).await.map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                StoreError::from(error)
            }
            other => StoreError::corrupt(format_args!("the migrations: {other}")),
        })
    }

    /// Whether the database is fit to work with: its schema that of this version, its raw data encrypted under this master
    /// key. Said before anything is written, since a second master key would leave data that neither reads alone.
    pub async fn check(&self) -> Result<()> {
        let wanted = MIGRATIONS.iter().map(|migration| migration.version).max();
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.inner.pool)
            .await
            .or_else(|error| match &error {
                // There is no such table: nothing was ever migrated.
                sqlx::Error::Database(refusal) if refusal.code().as_deref() == Some("42P01") => Ok(None),
                _ => Err(error),
            })?;
        if found != wanted {
            let version = |version: Option<i64>| version.map_or("none".to_owned(), |version| version.to_string());
            return Err(StoreError::Invalid {
                kind: "database schema",
                detail: format!(
                    "wanted version {}, found {}; run `odograph migrate`, or the version of odograph that fits",
                    version(wanted),
                    version(found)
                ),
            });
        }
        let mut tx = self.begin(Scope::Maintenance).await?;
        let wrapped = sqlx::query_scalar!(
            r#"SELECT wrapped AS "wrapped!" FROM subject_key WHERE wrapped IS NOT NULL ORDER BY created_at DESC LIMIT 1"#
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        if wrapped.is_some_and(|wrapped| !self.inner.master.wrapped(&wrapped)) {
            let detail = "it is not the one that this database's raw data was encrypted under".to_owned();
            return Err(StoreError::Invalid {
                kind: "master key",
                detail,
            });
        }
        Ok(())
    }

    pub async fn ping(&self) -> Result<()> {
        sqlx::query_scalar!(r#"SELECT 1 AS "one!""#)
            .fetch_one(&self.inner.pool)
            .await?;
        Ok(())
    }

    /// Connections of this process, now.
    pub fn connections(&self) -> Connections {
        let pool = &self.inner.pool;
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Connections {
            in_use: pool.size().saturating_sub(idle),
            idle,
            most: pool.options().get_max_connections(),
        }
    }

    /// Closes the connections; what is still in hand is rolled back.
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    pub fn tenant(&self, tenant: TenantId) -> TenantStore {
        TenantStore::new(self.clone(), tenant)
    }

    pub fn operator(&self) -> OperatorStore {
        OperatorStore::new(self.clone())
    }

    /// What an operator may reach who comes over the network, under a role that bounds it to that.
    pub fn operator_as(&self, client: ClientId) -> OperatorStore {
        OperatorStore::acting_as(self.clone(), client)
    }

    pub fn worker(&self) -> WorkerStore {
        WorkerStore::new(self.clone())
    }

    /// The queue in the database.
    pub fn queue(&self, partitions: u16) -> PgQueue {
        PgQueue::new(self.clone(), partitions)
    }

    pub fn generations(&self) -> Generations {
        Generations::new(self.clone())
    }

    pub fn leases(&self) -> Leases {
        Leases::new(self.clone())
    }

    /// Looks up a client before it is known whose it is.
    pub async fn client_credentials(&self, client: ClientId) -> Result<Option<ClientCredentials>> {
        let mut tx = self
            .begin(Scope::Api {
                tenant: None,
                tracks: false,
            })
            .await?;
        let row = sqlx::query!(
            r#"SELECT tenant_id AS "tenant_id!", name AS "name!", secret_hash AS "secret_hash!", scopes AS "scopes!",
                      disabled AS "disabled!"
               FROM client_credentials($1)"#,
            client.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(row) = row {
            tx.commit().await?;
            return Ok(Some(ClientCredentials {
                realm: Realm::Tenant(row.tenant_id.into()),
                client,
                name: row.name,
                secret_hash: row.secret_hash,
                scopes: row.scopes,
                disabled: row.disabled,
            }));
        }
        let row = sqlx::query!(
            r#"SELECT name AS "name!", secret_hash AS "secret_hash!", scopes AS "scopes!", disabled AS "disabled!"
               FROM operator_credentials($1)"#,
            client.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row.map(|row| ClientCredentials {
            realm: Realm::Platform,
            client,
            name: row.name,
            secret_hash: row.secret_hash,
            scopes: row.scopes,
            disabled: row.disabled,
        }))
    }

    /// Opens the lake that this store keeps what it has let go of in. Once; a second one is refused.
    pub fn open_lake(&self, options: &LakeOptions) -> Result<()> {
        let lake = Lake::open(options)?;
        self.inner.lake.set(lake).map_err(|_| StoreError::Conflict {
            kind: "lake",
            detail: "it is open already".into(),
        })
    }

    /// The lake, to be looked after. Fails where none was opened.
    pub fn keep_lake(&self) -> Result<LakeStore> {
        LakeStore::new(self.clone())
    }

    pub(crate) fn lake(&self) -> Option<&Lake> {
        self.inner.lake.get()
    }

    pub(crate) async fn begin(&self, scope: Scope<'_>) -> Result<Tx> {
        begin(&self.inner.pool, scope).await
    }

    pub(crate) fn known_contexts(&self) -> &KnownContexts {
        &self.inner.known_contexts
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.inner.master
    }

    pub(crate) fn ids(&self) -> &dyn IdSource {
        &*self.inner.ids
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn published(&self) -> &Notify {
        &self.inner.published
    }
}

/// A process that stands still in the middle of a transaction, frozen or cut off, keeps its locks, and with them partitions
/// and vehicles from all others. After a minute the server takes them back; an operator's own setting stays.
async fn let_go(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "SELECT set_config('idle_in_transaction_session_timeout', '60s', false)
         WHERE current_setting('idle_in_transaction_session_timeout') = '0'",
    )
    .execute(connection)
    .await?;
    Ok(())
}
