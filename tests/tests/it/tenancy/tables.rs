//! The same two tenants, seen from the database: no role sees a row without a tenant or of another.

use odograph_domain::id::TenantId;
use odograph_tests::platform::Platform;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::furnished;

#[tokio::test(flavor = "multi_thread")]
async fn no_role_sees_a_row_without_a_tenant_or_of_another() {
    let mut platform = Platform::start().await;
    platform.work();
    let api = platform.serve().await;
    let (ours, _) = furnished(&platform, &api, "ours").await;
    let (theirs, _) = furnished(&platform, &api, "theirs").await;
    platform.stop().await;
    platform
        .as_superuser(async |db| look_at_every_table(db, ours, theirs).await)
        .await;
    platform.end().await;
}

async fn look_at_every_table(db: &mut PgConnection, ours: TenantId, theirs: TenantId) {
    let tables = tables(db).await;
    let filled = tables.iter().filter(|table| table.rows > 0).count();
    assert!(
        filled >= 20,
        "only {filled} tables have rows: this shows little\n{tables:#?}"
    );
    for table in &tables {
        for role in ["odograph_api", "odograph_worker"] {
            if let Seen::Rows(rows) = seen(db, role, None, table).await {
                assert!(
                    rows.is_empty(),
                    "{role} without a tenant sees {} rows of {}",
                    rows.len(),
                    table.name
                );
            }
            if let Seen::Rows(rows) = seen(db, role, Some(theirs), table).await {
                let of_ours = rows.iter().filter(|row| row.contains(&ours.to_string())).count();
                assert_eq!(
                    of_ours, 0,
                    "{role} as the other tenant sees rows of ours in {}",
                    table.name
                );
                // Raw tables need one more setting of the api role; the worker needs none.
                let hidden = role == "odograph_api" && table.name.starts_with("raw_");
                let owns = table.of_theirs > 0 && !hidden;
                assert!(
                    !owns || !rows.is_empty(),
                    "{role} sees nothing of its own in {}",
                    table.name
                );
            }
        }
    }
}

#[derive(Debug)]
struct Table {
    name: String,
    rows: i64,
    /// Rows of the tenant `theirs`.
    of_theirs: i64,
}

async fn count(db: &mut PgConnection, sql: String) -> i64 {
    sqlx::query(AssertSqlSafe(sql))
        .fetch_one(db)
        .await
        .expect("a count")
        .get(0)
}

/// Every table there is, partitions as well, as the superuser sees them.
async fn tables(db: &mut PgConnection) -> Vec<Table> {
    let names = sqlx::query(
        "SELECT c.oid::regclass::text,
                EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'm', 'v') ORDER BY 1",
    );
    let mut tables = Vec::new();
    for row in names.fetch_all(&mut *db).await.expect("the tables") {
        let (name, by_tenant): (String, bool) = (row.get(0), row.get(1));
        if name == "_sqlx_migrations" {
            continue;
        }
        let rows = count(db, format!("SELECT count(*) FROM {name}")).await;
        let of_theirs = match by_tenant {
            true => {
                let theirs = "(SELECT id FROM tenant WHERE name = 'theirs')";
                count(db, format!("SELECT count(*) FROM {name} WHERE tenant_id = {theirs}")).await
            }
            false => 0,
        };
        tables.push(Table { name, rows, of_theirs });
    }
    tables
}

enum Seen {
    Denied,
    /// As text.
    Rows(Vec<String>),
}

/// What a role sees of a table, with a tenant set or none.
async fn seen(db: &mut PgConnection, role: &str, tenant: Option<TenantId>, table: &Table) -> Seen {
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query(AssertSqlSafe(format!("SET LOCAL ROLE {role}")))
        .execute(&mut *tx)
        .await
        .expect("a role");
    if let Some(tenant) = tenant {
        let set = "SELECT set_config('app.tenant', $1, true), set_config('app.tenants', '{' || $1 || '}', true)";
        sqlx::query(set)
            .bind(tenant.to_string())
            .execute(&mut *tx)
            .await
            .expect("settings");
    }
    let select = format!("SELECT t::text FROM {} t", table.name);
    let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut *tx).await;
    tx.rollback().await.expect("a rollback");
    match rows {
        Ok(rows) => Seen::Rows(rows.iter().map(|row| row.get(0)).collect()),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("42501") => Seen::Denied,
        Err(error) => panic!("{role} reading {}: {error}", table.name),
    }
}
