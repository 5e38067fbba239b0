//! A database of a test's own: a clone of a migrated template, dropped in the end.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use odograph::root::System;
use odograph_store::{MasterKey, Store, StoreOptions};
use sha2::{Digest, Sha256, Sha384};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{Backend, MASTER_KEY, block_on_elsewhere, unique};

const DATABASES: &str = "odograph_test_";
const TEMPLATES: &str = "odograph_template_";
/// Advisory lock, in the `postgres` database, of whoever builds templates; shared by those who clone one.
const TEMPLATE_LOCK: i64 = 0x0d06_7a9b;

/// A database that only this test knows.
#[derive(Debug)]
pub struct TestDb {
    url: String,
    kind: Option<Kind>,
}

enum Kind {
    Server {
        admin_url: String,
        name: String,
        /// Holds the advisory lock that tells others this database is in use. Gone with the process, however it ends.
        claim: PgConnection,
    },
    #[cfg(feature = "embedded")]
    Embedded(odograph::embedded::Embedded),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server { name, .. } => f.debug_struct("Server").field("name", name).finish_non_exhaustive(),
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => f.debug_struct("Embedded").finish_non_exhaustive(),
        }
    }
}

impl TestDb {
    /// A migrated database, of the backend the tests run on.
    pub async fn fresh() -> Self {
        let made = match Backend::chosen() {
            Backend::Server => Self::on_server().await,
            Backend::Embedded => Self::embedded().await,
        };
        made.unwrap_or_else(|error| panic!("the tests need PostgreSQL (ODOGRAPH_TEST_DATABASE_URL): {error:#}"))
    }

    /// The server all tests share, as a superuser, in the `postgres` database.
    pub fn server_url() -> String {
        std::env::var("ODOGRAPH_TEST_DATABASE_URL")
            .ok()
            .filter(|url| !url.is_empty())
            .unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
    }

    /// A migrated database that somebody else made and will take away.
    pub(crate) fn elsewhere(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            kind: None,
        }
    }

    async fn on_server() -> Result<Self> {
        let admin_url = with_database(&Self::server_url(), "postgres");
        let mut admin = PgConnection::connect(&admin_url)
            .await
            .context("the server does not answer")?;
        drop_leftovers(&mut admin).await?;
        let name = format!("{DATABASES}{}", unique());
        let claimed: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(&name)
            .fetch_one(&mut admin)
            .await?;
        anyhow::ensure!(claimed, "another test has claimed {name}");
        clone_template(&mut admin, &admin_url, &name).await?;
        let url = with_database(&admin_url, &name);
        Ok(Self {
            url,
            kind: Some(Kind::Server {
                admin_url,
                name,
                claim: admin,
            }),
        })
    }

    #[cfg(feature = "embedded")]
    async fn embedded() -> Result<Self> {
        let embedded = odograph::embedded::Embedded::start(odograph::embedded::Location::Temporary).await?;
        let database = Self {
            url: embedded.url(),
            kind: Some(Kind::Embedded(embedded)),
        };
        let store = database.store().await;
        store.migrate().await?;
        store.close().await;
        Ok(database)
    }

    #[cfg(not(feature = "embedded"))]
    #[expect(clippy::unused_async, reason = "its other half awaits")]
    async fn embedded() -> Result<Self> {
        bail!("this build has no embedded PostgreSQL")
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A store on it, by the real clock. Close it before the test ends: the embedded database waits for that.
    pub async fn store(&self) -> Store {
        let max_connections = match Backend::chosen() {
            Backend::Server => 5,
            Backend::Embedded => 1,
        };
        connect(&self.url, max_connections)
            .await
            .expect("the database was there a moment ago")
    }

    /// A plain connection as superuser, to look at what no role of ours may see.
    pub async fn superuser(&self) -> PgConnection {
        PgConnection::connect(&self.url)
            .await
            .expect("the database was there a moment ago")
    }

    /// Drops the database. Without this it is dropped all the same, embedded ones with the process.
    pub async fn finish(mut self) -> Result<()> {
        match self.kind.take() {
            Some(Kind::Server { admin_url, name, claim }) => drop_database(&admin_url, &name, claim).await,
            #[cfg(feature = "embedded")]
            Some(Kind::Embedded(embedded)) => embedded.stop().await,
            None => Ok(()),
        }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        match self.kind.take() {
            Some(Kind::Server { admin_url, name, claim }) => {
                block_on_elsewhere(async move { drop_database(&admin_url, &name, claim).await });
            }
            // Its own drop waits for connections that a failing test may never close.
            #[cfg(feature = "embedded")]
            Some(Kind::Embedded(embedded)) => std::mem::forget(embedded),
            None => {}
        }
    }
}

async fn connect(url: &str, max_connections: u32) -> Result<Store> {
    let master_key = MasterKey::from_text(MASTER_KEY)?;
    let options = StoreOptions {
        url: url.to_owned(),
        max_connections,
    };
    Ok(Store::connect(&options, master_key, Arc::new(System), Arc::new(System)).await?)
}

/// By a connection of its own: the one that claims the name belongs to the test's runtime.
async fn drop_database(admin_url: &str, name: &str, claim: PgConnection) -> Result<()> {
    let mut admin = PgConnection::connect(admin_url).await?;
    run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    admin.close().await?;
    drop(claim);
    Ok(())
}

/// Databases of tests that died without dropping them: nobody holds their name any more.
async fn drop_leftovers(admin: &mut PgConnection) -> Result<()> {
    let names: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
        .bind(DATABASES)
        .fetch_all(&mut *admin)
        .await?;
    for name in names {
        let abandoned: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(&name)
            .fetch_one(&mut *admin)
            .await?;
        if abandoned {
            run(admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
            sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))")
                .bind(&name)
                .execute(&mut *admin)
                .await?;
        }
    }
    Ok(())
}

async fn clone_template(admin: &mut PgConnection, admin_url: &str, name: &str) -> Result<()> {
    let template = format!("{TEMPLATES}{}", migrations_hash()?);
    for _ in 0..3 {
        sqlx::query("SELECT pg_advisory_lock_shared($1)")
            .bind(TEMPLATE_LOCK)
            .execute(&mut *admin)
            .await?;
        let cloned = match exists(admin, &template).await {
            Ok(true) => run(admin, format!("CREATE DATABASE {name} TEMPLATE {template}"))
                .await
                .map(|()| true),
            other => other,
        };
        sqlx::query("SELECT pg_advisory_unlock_shared($1)")
            .bind(TEMPLATE_LOCK)
            .execute(&mut *admin)
            .await?;
        if cloned? {
            return Ok(());
        }
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(TEMPLATE_LOCK)
            .execute(&mut *admin)
            .await?;
        let built = build_template(admin, admin_url, &template).await;
        sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(TEMPLATE_LOCK)
            .execute(&mut *admin)
            .await?;
        built.context("building the template database")?;
    }
    bail!("the template database {template} is taken away as soon as it is built: is another version being tested?")
}

/// Migrated under another name first: a template that has its name is complete.
async fn build_template(admin: &mut PgConnection, admin_url: &str, template: &str) -> Result<()> {
    if exists(admin, template).await? {
        return Ok(());
    }
    // Of other migrations, or half built by a run that died.
    let old: Vec<String> = sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
        .bind(TEMPLATES)
        .fetch_all(&mut *admin)
        .await?;
    for old in old {
        run(admin, format!("DROP DATABASE IF EXISTS {old} WITH (FORCE)")).await?;
    }
    let building = format!("{template}_building");
    run(admin, format!("CREATE DATABASE {building} TEMPLATE template0")).await?;
    let store = connect(&with_database(admin_url, &building), 1).await?;
    let migrated = store.migrate().await;
    store.close().await;
    migrated?;
    let mut built = PgConnection::connect(&with_database(admin_url, &building)).await?;
    let as_on_disk = applied_as_on_disk(&mut built).await;
    built.close().await?;
    as_on_disk?;
    // The server may take a moment to see that our connection is gone.
    let mut renamed = Ok(());
    for _ in 0..50 {
        renamed = run(admin, format!("ALTER DATABASE {building} RENAME TO {template}")).await;
        if renamed.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    renamed
}

/// The migrations are compiled in: tests that were built before the last edit of one would leave a template of old
/// content under the name of the new.
async fn applied_as_on_disk(built: &mut PgConnection) -> Result<()> {
    let mut applied: Vec<Vec<u8>> = sqlx::query_scalar("SELECT checksum FROM _sqlx_migrations")
        .fetch_all(built)
        .await?;
    let mut on_disk = Vec::new();
    for file in migrations()? {
        on_disk.push(Sha384::digest(std::fs::read(&file)?).to_vec());
    }
    applied.sort();
    on_disk.sort();
    anyhow::ensure!(
        applied == on_disk,
        "these tests were built from other migrations than lie in the folder: build them again"
    );
    Ok(())
}

async fn exists(admin: &mut PgConnection, name: &str) -> Result<bool> {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)");
    Ok(query.bind(name).fetch_one(admin).await?)
}

/// Statements about databases take no parameters. The names are all our own.
async fn run(admin: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(admin)
        .await
        .with_context(|| sql)?;
    Ok(())
}

fn migrations() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("no migrations in {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    Ok(files)
}

/// Names and contents of the migrations: other migrations, another template.
fn migrations_hash() -> Result<String> {
    let mut hash = Sha256::new();
    for file in migrations()? {
        hash.update(
            file.file_name()
                .map(|name| name.as_encoded_bytes().to_vec())
                .unwrap_or_default(),
        );
        hash.update(std::fs::read(&file)?);
    }
    Ok(hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(base, query)| (base, format!("?{query}")));
    let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
    let authority = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{database}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        for (url, expected) in [
            (
                "postgres://postgres@127.0.0.1:5432/postgres",
                "postgres://postgres@127.0.0.1:5432/x",
            ),
            ("postgresql://u:p@h", "postgresql://u:p@h/x"),
            ("postgres://h/a?sslmode=disable", "postgres://h/x?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
