//! Row-level security, and the questions every table must answer.

use odograph_store::Writes;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::world::{World, samples, tally};

async fn tables(conn: &mut PgConnection) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND relname <> '_sqlx_migrations' ORDER BY 1",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    assert!(tables.len() > 35, "{tables:?}");
    tables
}

/// A world with a row in most tables, and a connection of the login user.
async fn filled() -> (World, PgConnection) {
    let world = World::new().await;
    let insurer = world.insurer("a").await;
    let batch = insurer.batch(&world, "b", samples("2026-02-01T08:00:00Z", 10));
    let message = batch.message;
    let writes = Writes {
        batches: vec![batch],
        dirty: vec![insurer.dirty(
            "2026-02-01T08:00:00Z",
            "2026-02-01T08:00:10Z",
            "2026-02-01T08:00:00Z",
            true,
        )],
        dead_letters: vec![insurer.letter(message, b"{}")],
        outcomes: vec![(insurer.tenant, tally(11, 10, &[("ts_in_future", 1)]))],
        ..Writes::default()
    };
    world.write(&insurer, writes).await;
    world.store.worker().quarantine(b"junk", "no envelope").await.unwrap();
    let mut derive = world
        .store
        .worker()
        .next_due(odograph_domain::clock::Clock::now(&*world.clock), None, true)
        .await
        .unwrap()
        .unwrap();
    let trip = insurer.trip(world.id(), "2026-02-01T08:00:00Z", "2026-02-01T08:00:10Z");
    derive.put_trips(&[], &[trip]).await.unwrap();
    derive.outbox("trip.closed", "x", Value::Null);
    derive.commit(None).await.unwrap();
    let conn = PgConnection::connect(&world.database.url).await.unwrap();
    (world, conn)
}

/// How many rows a role sees; `None` where it may not look at all.
async fn rows_seen(conn: &mut PgConnection, role: &str, settings: &[(&str, &str)], table: &str) -> Option<i64> {
    let mut tx = conn.begin().await.unwrap();
    for (name, value) in settings.iter().chain(&[("role", role)]) {
        sqlx::query("SELECT set_config($1, $2, true)")
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let seen = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(&mut *tx)
        .await;
    tx.rollback().await.unwrap();
    match seen {
        Ok(rows) => Some(rows),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => None,
        Err(other) => panic!("{table} as {role}: {other}"),
    }
}

#[tokio::test]
async fn without_a_tenant_no_role_sees_a_row_of_any_table() {
    let (_world, mut conn) = filled().await;
    let mut tables = tables(&mut conn).await;
    tables.push("_sqlx_migrations".into());
    for table in &tables {
        for role in ["odograph_api", "odograph_worker"] {
            for settings in [
                &[][..],
                &[("app.tenant", ""), ("app.tenants", ""), ("app.tracks", "on")],
            ] {
                let seen = rows_seen(&mut conn, role, settings, table).await;
                assert!(matches!(seen, None | Some(0)), "{role} sees {seen:?} rows of {table}");
            }
        }
    }
    // And it is not for want of rows.
    for table in [
        "vehicle",
        "driver_identity",
        "batch_ledger",
        "raw_journal",
        "trip",
        "dead_letter",
        "quarantine",
        "audit",
    ] {
        let there = rows_seen(&mut conn, "odograph_maintenance", &[], table).await;
        assert!(there > Some(0), "{table} is empty");
    }
}

#[tokio::test]
async fn a_role_sees_its_tenant_and_no_other_and_tracks_only_when_it_says_so() {
    let (world, mut conn) = filled().await;
    let other = world.insurer("b").await;
    let tenants: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM tenant ORDER BY created_at, id")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let [a, b] = [tenants[0].to_string(), other.tenant.to_string()];
    let both = format!("{{{a},{b}}}");
    let mut seen = async |role, settings: &[(&str, &str)], table| rows_seen(&mut conn, role, settings, table).await;

    assert_eq!(seen("odograph_api", &[("app.tenant", &a)], "vehicle").await, Some(1));
    assert_eq!(seen("odograph_api", &[("app.tenant", &a)], "tenant").await, Some(1));
    assert_eq!(seen("odograph_api", &[("app.tenant", &b)], "trip").await, Some(0));
    assert_eq!(seen("odograph_api", &[("app.tenant", &a)], "trip").await, Some(1));
    assert_eq!(
        seen(
            "odograph_worker",
            &[("app.tenants", &format!("{{{b}}}"))],
            "raw_journal"
        )
        .await,
        Some(0)
    );
    assert_eq!(
        seen("odograph_worker", &[("app.tenants", &both)], "vehicle").await,
        Some(2)
    );
    assert_eq!(seen("odograph_worker", &[("app.tenants", &both)], "client").await, None);
    assert_eq!(
        seen("odograph_api", &[("app.tenant", &a)], "raw_journal").await,
        Some(0)
    );
    assert_eq!(
        seen(
            "odograph_api",
            &[("app.tenant", &a), ("app.tracks", "on")],
            "raw_journal"
        )
        .await,
        Some(1)
    );
    assert_eq!(
        seen(
            "odograph_api",
            &[("app.tenant", &b), ("app.tracks", "on")],
            "raw_journal"
        )
        .await,
        Some(0)
    );
}

#[tokio::test]
async fn every_table_is_protected_and_answers_every_question() {
    let world = World::new().await;
    let mut conn = PgConnection::connect(&world.database.url).await.unwrap();
    for table in tables(&mut conn).await {
        let row = sqlx::query(
            "SELECT relrowsecurity AND relforcerowsecurity AS protected, pg_get_userbyid(relowner)::text AS owner,
                    obj_description(oid, 'pg_class') AS about
             FROM pg_class WHERE oid = $1::text::regclass",
        )
        .bind(&table)
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert!(row.get::<bool, _>("protected"), "{table}");
        assert_eq!(row.get::<String, _>("owner"), "odograph_maintenance", "{table}");
        let about = row
            .get::<Option<String>, _>("about")
            .unwrap_or_else(|| panic!("{table} has no comment"));
        let about: Value = serde_json::from_str(&about).unwrap();
        for question in [
            "rls",
            "class",
            "purpose",
            "retention",
            "export",
            "erasure",
            "rebuild",
            "roles",
            "audit",
        ] {
            assert!(about.get(question).is_some(), "{table} does not say its {question}");
        }
        role_matrix_holds(&mut conn, &table, &about["roles"]).await;
    }
}

/// What the table says the roles may do is what they may do, no more and no less.
async fn role_matrix_holds(conn: &mut PgConnection, table: &str, roles: &Value) {
    for role in ["api", "worker", "operator"] {
        let said = roles[role].as_str().unwrap_or("");
        for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
            // A right to some columns only shows as one to any column.
            let check = match right {
                "DELETE" => "SELECT has_table_privilege('odograph_' || $1, $2::text, $3)",
                _ => "SELECT has_any_column_privilege('odograph_' || $1, $2::text, $3)",
            };
            let may: bool = sqlx::query_scalar(check)
                .bind(role)
                .bind(table)
                .bind(right)
                .fetch_one(&mut *conn)
                .await
                .unwrap();
            assert_eq!(
                may,
                said.contains(right),
                "{role} and {right} on {table}, said {said:?}"
            );
        }
        for never in ["TRUNCATE", "REFERENCES", "TRIGGER"] {
            let may: bool = sqlx::query_scalar("SELECT has_table_privilege('odograph_' || $1, $2::text, $3)")
                .bind(role)
                .bind(table)
                .bind(never)
                .fetch_one(&mut *conn)
                .await
                .unwrap();
            assert!(!may, "{role} and {never} on {table}");
        }
    }
}

#[tokio::test]
async fn functions_that_see_all_tenants_are_few_fixed_in_their_path_and_not_for_everybody() {
    let world = World::new().await;
    let mut conn = PgConnection::connect(&world.database.url).await.unwrap();
    let rows = sqlx::query(
        "SELECT proname::text AS name, prosecdef AS definer, proconfig AS config,
                has_function_privilege('public', oid, 'EXECUTE') AS everybody
         FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let mut definers = vec![];
    for row in rows {
        let name: String = row.get("name");
        assert!(!row.get::<bool, _>("everybody"), "anybody may call {name}");
        if row.get::<bool, _>("definer") {
            let config: Option<Vec<String>> = row.get("config");
            assert_eq!(
                config,
                Some(vec!["search_path=pg_catalog, public, pg_temp".into()]),
                "{name}"
            );
            definers.push(name);
        }
    }
    let known = "claim_due client_credentials context_changed context_of_driver_changed context_of_policy_changed \
                 context_of_vehicle_changed device_logins lease_acquire lease_fence lease_release lease_renew \
                 note_trips_written operator_credentials postpone_due quarantine_put queue_acknowledge queue_attend queue_begin \
                 queue_depth queue_fill queue_generation_moves queue_generations queue_has_strays queue_leave \
                 queue_publish queue_receive queue_rehome queue_repartition queue_strays queue_waiting \
                 watch_dead_letters watch_figures worker_attend worker_leave";
    assert_eq!(definers.join(" "), known);
}
