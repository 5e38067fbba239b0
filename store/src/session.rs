//! Every operation is a transaction under one of three roles, bound to its tenants by settings that row-level security
//! reads. Both last for the transaction only, so a pooled connection carries nothing over.

use chrono::{DateTime, SubsecRound, Utc};
use odograph_domain::{
    clock::Clock,
    id::{ClientId, IdSource, TenantId},
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{crypto::MasterKey, error::Result, idempotency::Attempt, lake::Lake, raw::RawSource};

pub(crate) type Tx = Transaction<'static, Postgres>;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// One tenant; raw tracks only if so said.
    Api {
        tenant: Option<TenantId>,
        tracks: bool,
    },
    /// The tenants of a micro-batch.
    Worker(&'a [TenantId]),
    /// Tenants, their clients and the audit log.
    Operator,
    Maintenance,
}

/// One round trip: a request has few others.
pub(crate) async fn begin(pool: &PgPool, scope: Scope<'_>) -> Result<Tx> {
    let statement = format!("BEGIN; {}", entering(scope));
    Ok(pool.begin_with(AssertSqlSafe(statement)).await?)
}

/// Switches a transaction that is already open.
pub(crate) async fn enter(conn: &mut PgConnection, scope: Scope<'_>) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(entering(scope))).execute(conn).await?;
    Ok(())
}

/// Names of ours and ids only: nothing in it needs quoting.
fn entering(scope: Scope<'_>) -> String {
    let (role, tenant, tenants, tracks) = match scope {
        Scope::Api { tenant, tracks } => {
            let tenant = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
            ("odograph_api", tenant, String::new(), if tracks { "on" } else { "" })
        }
        Scope::Worker(tenants) => ("odograph_worker", String::new(), array(tenants), ""),
        Scope::Operator => ("odograph_operator", String::new(), String::new(), ""),
        Scope::Maintenance => ("odograph_maintenance", String::new(), String::new(), ""),
    };
    let planned = match scope {
        Scope::Worker(_) => BY_KEY,
        _ => "",
    };
    format!(
        "SELECT set_config('role', '{role}', true), set_config('app.tenant', '{tenant}', true), \
         set_config('app.tenants', '{tenants}', true), set_config('app.tracks', '{tracks}', true){planned}"
    )
}

/// A worker asks for rows by their keys (or, of the queue in the database and of what is due, by an index's order). Left to itself the planner reads all rows of a tenant, which is
/// quick while there are few and the statistics say so, and ruin when a tenant has grown and the plan has not.
const BY_KEY: &str = ", set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
                      set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true), \
                      set_config('jit', 'off', true)";

/// An array literal; empty for none, which the policies read as no tenant at all.
fn array(tenants: &[TenantId]) -> String {
    if tenants.is_empty() {
        return String::new();
    }
    let list: Vec<String> = tenants.iter().map(TenantId::to_string).collect();
    format!("{{{}}}", list.join(","))
}

/// Now, at the precision the database keeps, so that what is returned equals what is read again.
pub(crate) fn now(clock: &dyn Clock) -> DateTime<Utc> {
    clock.now().trunc_subsecs(6)
}

/// Who asks, and what it takes to serve them: passed to the queries that both a tenant's and a worker's transaction run.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Option<ClientId>,
    pub(crate) master: &'a MasterKey,
    pub(crate) lake: Option<&'a Lake>,
    pub(crate) ids: &'a dyn IdSource,
    pub(crate) now: DateTime<Utc>,
    /// The attempt that this is part of, where the request has a key of its client's.
    pub(crate) attempt: Option<&'a Attempt>,
}

impl Caller<'_> {
    pub(crate) fn raw_source(&self) -> RawSource<'_> {
        RawSource {
            tenant: self.tenant,
            master: self.master,
            lake: self.lake,
        }
    }

    pub(crate) fn id<T: From<Uuid>>(&self) -> T {
        T::from(self.ids.uuid())
    }

    /// Writes who did what into the audit log, in the transaction that does it; what is done under a key is marked as done.
    pub(crate) async fn audit(&self, conn: &mut PgConnection, action: &str, kind: &str, object: Uuid) -> Result<()> {
        sqlx::query!(
            "INSERT INTO audit (tenant_id, id, at, actor_id, action, object_kind, object_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            self.tenant.uuid(),
            self.ids.uuid(),
            self.now,
            self.actor.map(ClientId::uuid),
            action,
            kind,
            object,
        )
        .execute(&mut *conn)
        .await?;
        match self.attempt {
            Some(attempt) => attempt.took_effect(conn, self.tenant, kind, object).await,
            None => Ok(()),
        }
    }
}
