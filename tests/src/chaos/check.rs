//! Whether everything that was taken in is there, once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use odograph_domain::{id::TenantId, outcome::Tally};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::load::Load;

/// How a tenant's data ended, told so that two runs can be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Vehicle and batch id, and how many samples of it were accepted.
    batches: BTreeMap<(String, String), i32>,
    /// Batch ids and reasons of what was refused, each once: a sender that did not get its answer is refused again.
    letters: BTreeSet<(String, String)>,
    pub raw_samples: i64,
}

impl Ledger {
    /// As a superuser, past every row-level security.
    pub async fn of(url: &str, tenant: TenantId) -> Result<Self> {
        let mut db = PgConnection::connect(url).await?;
        let batches: Vec<(String, String, i32)> = sqlx::query_as(
            "SELECT v.external_ref, l.batch_id, l.samples FROM batch_ledger l JOIN vehicle v
               ON v.tenant_id = l.tenant_id AND v.id = l.vehicle_id WHERE l.tenant_id = $1",
        )
        .bind(tenant.uuid())
        .fetch_all(&mut db)
        .await?;
        let letters: Vec<(Option<String>, String)> =
            sqlx::query_as("SELECT batch_id, reason FROM dead_letter WHERE tenant_id = $1")
                .bind(tenant.uuid())
                .fetch_all(&mut db)
                .await?;
        let raw_samples =
            sqlx::query_scalar("SELECT coalesce(sum(samples), 0)::bigint FROM batch_ledger WHERE tenant_id = $1")
                .bind(tenant.uuid())
                .fetch_one(&mut db)
                .await?;
        db.close().await?;
        Ok(Self {
            batches: batches
                .into_iter()
                .map(|(vehicle, id, samples)| ((vehicle, id), samples))
                .collect(),
            letters: letters
                .into_iter()
                .map(|(id, reason)| (id.unwrap_or_default(), reason))
                .collect(),
            raw_samples,
        })
    }

    /// Every batch that was to land has landed.
    pub fn check(&self, load: &Load) -> Result<()> {
        let wanted: BTreeSet<&(String, String)> =
            load.senders.iter().flatten().filter_map(|m| m.lands.as_ref()).collect();
        let lost: Vec<_> = wanted
            .iter()
            .filter(|key| !self.batches.contains_key(**key))
            .take(10)
            .collect();
        ensure!(
            lost.is_empty(),
            "batches that were taken and are not in the ledger: {lost:?}"
        );
        Ok(())
    }

    pub fn difference(&self, other: &Self) -> Option<String> {
        let keys: BTreeSet<_> = self.batches.keys().chain(other.batches.keys()).collect();
        let batches: Vec<_> = keys
            .into_iter()
            .filter(|key| self.batches.get(*key) != other.batches.get(*key))
            .take(10)
            .collect();
        let letters: Vec<_> = self.letters.symmetric_difference(&other.letters).take(10).collect();
        (!batches.is_empty() || !letters.is_empty())
            .then(|| format!("batches that differ: {batches:?}; refusals that differ: {letters:?}"))
    }

    pub fn letters(&self) -> usize {
        self.letters.len()
    }

    pub fn batches(&self) -> usize {
        self.batches.len()
    }
}

/// How the messages ended that were answered with 202.
#[derive(Debug, Default, Clone)]
pub(super) struct Settled {
    pub(super) settled: i64,
    pub(super) pending: i64,
    /// A server that is killed may forget that a message was on its way; the message itself is in the queue.
    pub(super) unnoted: i64,
    /// Over all of the tenant's messages that have a row.
    pub(super) tally: Tally,
}

impl Settled {
    pub(super) async fn of(url: &str, tenant: TenantId, accepted: &[Uuid]) -> Result<Self> {
        let mut db = PgConnection::connect(url).await?;
        let (settled, pending): (i64, i64) = sqlx::query_as(
            "SELECT count(outcome), count(*) - count(outcome) FROM message WHERE tenant_id = $1 AND id = ANY ($2)",
        )
        .bind(tenant.uuid())
        .bind(accepted)
        .fetch_one(&mut db)
        .await?;
        let tallies: Vec<serde_json::Value> =
            sqlx::query_scalar("SELECT tally FROM message WHERE tenant_id = $1 AND tally IS NOT NULL")
                .bind(tenant.uuid())
                .fetch_all(&mut db)
                .await?;
        db.close().await?;
        let mut tally = Tally::default();
        for one in tallies {
            let one: Tally = serde_json::from_value(one).context("a message's tally")?;
            ensure!(one.balances(), "a message's counts do not balance: {one:?}");
            tally.merge(&one);
        }
        Ok(Self {
            settled,
            pending,
            unnoted: accepted.len() as i64 - settled - pending,
            tally,
        })
    }
}
