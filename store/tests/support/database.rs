//! A fresh, migrated database for each test, cloned from a template. Shared by the tests of several crates (`#[path]`).
//!
//! The server is `ODOGRAPH_TEST_DATABASE_URL`, a superuser's, else the one on the usual port.

use std::sync::Arc;

use odograph_domain::clock::ManualClock;
use odograph_store::{MasterKey, Store, StoreOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Template names carry what the migrations hash to, so that each version of them has its own.
const MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Dropped with the value, at the end of the test.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    name: String,
}

fn server() -> String {
    std::env::var("ODOGRAPH_TEST_DATABASE_URL").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".into())
}

/// The server's URL with another database.
fn url_of(database: &str) -> String {
    let server = server();
    let (base, options) = server.split_once('?').unwrap_or((&server, ""));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let root = base[authority..].find('/').map_or(base, |at| &base[..authority + at]);
    let options = if options.is_empty() {
        String::new()
    } else {
        format!("?{options}")
    };
    format!("{root}/{database}{options}")
}

async fn administrate(conn: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(conn)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub(crate) async fn fresh() -> TestDatabase {
    let mut conn = PgConnection::connect(&server()).await.expect(
        "the tests need PostgreSQL 15 or newer: set ODOGRAPH_TEST_DATABASE_URL to a superuser's URL (scripts/test finds one)",
    );
    let template = template(&mut conn).await;
    let name: String = sqlx::query_scalar("SELECT 'odograph_storetest_' || replace(gen_random_uuid()::text, '-', '')")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    administrate(&mut conn, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    conn.close().await.unwrap();
    TestDatabase {
        url: url_of(&name),
        name,
    }
}

/// Makes the template where it is not there yet; other test processes wait meanwhile.
async fn template(conn: &mut PgConnection) -> String {
    let checksums: Vec<u8> = MIGRATIONS
        .iter()
        .flat_map(|migration| migration.checksum.iter().copied())
        .collect();
    let name: String = sqlx::query_scalar("SELECT 'odograph_storetemplate_' || left(encode(sha256($1), 'hex'), 16)")
        .bind(checksums)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7301936)")
        .execute(&mut *conn)
        .await
        .unwrap();
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    if !exists {
        // Under another name until it is whole: a test that is killed here must not leave half a template.
        let half = format!("{name}_half");
        administrate(conn, format!("DROP DATABASE IF EXISTS {half}")).await;
        administrate(conn, format!("CREATE DATABASE {half}")).await;
        let store = connect(
            &url_of(&half),
            1,
            Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH)),
        )
        .await;
        store.migrate().await.unwrap();
        store.close().await;
        administrate(conn, format!("ALTER DATABASE {half} RENAME TO {name}")).await;
    }
    sqlx::raw_sql("SELECT pg_advisory_unlock(7301936)")
        .execute(&mut *conn)
        .await
        .unwrap();
    name
}

/// A store with a fixed master key, its clock and ids those of `clock`.
pub(crate) async fn connect(url: &str, max_connections: u32, clock: Arc<ManualClock>) -> Store {
    let options = StoreOptions {
        url: url.to_owned(),
        max_connections,
    };
    Store::connect(&options, MasterKey::from_bytes([42; 32]), clock.clone(), clock)
        .await
        .unwrap()
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The test's own runtime may be gone already, or be blocked by this very drop.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut conn = PgConnection::connect(&server()).await.map_err(std::io::Error::other)?;
                sqlx::raw_sql(AssertSqlSafe(drop))
                    .execute(&mut conn)
                    .await
                    .map_err(std::io::Error::other)
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("could not drop {}: {error}", self.name);
        }
    }
}
