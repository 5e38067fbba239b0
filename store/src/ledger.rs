//! The dedup ledger: what was accepted under which batch id.

use std::collections::{HashMap, HashSet};

use odograph_domain::{
    intake::{LedgerEntry, LedgerKey, NewBatch},
    time::EventTime,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::{Result, StoreError},
    writes::source_name,
};

/// Enters batches, of several under one key the first; returns what was there before under the keys of the others. Most are
/// new, so the database is not asked first.
pub(crate) async fn enter(conn: &mut PgConnection, batches: &[&NewBatch]) -> Result<HashMap<LedgerKey, LedgerEntry>> {
    let mut seen = HashSet::with_capacity(batches.len());
    let first: Vec<&NewBatch> = batches
        .iter()
        .copied()
        .filter(|batch| seen.insert(&batch.key))
        .collect();
    if first.is_empty() {
        return Ok(HashMap::new());
    }
    let entered: HashSet<(Uuid, String)> = insert(conn, &first).await?;
    if entered.len() == first.len() {
        return Ok(HashMap::new());
    }
    // The hash set holds owned keys; comparing needs one allocation for each batch that is not new, and those are few.
    let known: Vec<&LedgerKey> = first
        .iter()
        .map(|batch| &batch.key)
        .filter(|key| !entered.contains(&(key.vehicle.uuid(), key.batch_id.as_str().to_owned())))
        .collect();
    entries(conn, &known).await
}

/// Returns the vehicle and batch id of those that were not there.
async fn insert(conn: &mut PgConnection, batches: &[&NewBatch]) -> Result<HashSet<(Uuid, String)>> {
    let (mut tenants, mut vehicles, mut ids, mut messages, mut hashes) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut sources, mut samples, mut from, mut to, mut received) = (vec![], vec![], vec![], vec![], vec![]);
    for batch in batches {
        let times = batch
            .samples
            .iter()
            .flat_map(|(_, samples)| samples)
            .map(|raw| raw.sample.ts);
        tenants.push(batch.key.tenant.uuid());
        vehicles.push(batch.key.vehicle.uuid());
        ids.push(batch.key.batch_id.as_str());
        messages.push(batch.message.uuid());
        hashes.push(batch.content_hash.to_vec());
        sources.push(source_name(batch.source));
        samples.push(i32::try_from(times.clone().count()).unwrap_or(i32::MAX));
        from.push(times.clone().min().map(EventTime::utc));
        to.push(times.max().map(EventTime::utc));
        received.push(batch.received_at.utc());
    }
    let rows = sqlx::query!(
        "INSERT INTO batch_ledger (tenant_id, vehicle_id, batch_id, message_id, content_hash, source, samples, min_ts, max_ts,
                                   received_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bytea[], $6::text[], $7::int[],
                              $8::timestamptz[], $9::timestamptz[], $10::timestamptz[])
         ON CONFLICT (tenant_id, vehicle_id, batch_id) DO NOTHING
         RETURNING vehicle_id, batch_id",
        &tenants,
        &vehicles,
        &ids as &[&str],
        &messages,
        &hashes,
        &sources as &[&str],
        &samples,
        &from as &[Option<chrono::DateTime<chrono::Utc>>],
        &to as &[Option<chrono::DateTime<chrono::Utc>>],
        &received,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.vehicle_id, row.batch_id)).collect())
}

async fn entries(conn: &mut PgConnection, keys: &[&LedgerKey]) -> Result<HashMap<LedgerKey, LedgerEntry>> {
    let tenants: Vec<Uuid> = keys.iter().map(|key| key.tenant.uuid()).collect();
    let vehicles: Vec<Uuid> = keys.iter().map(|key| key.vehicle.uuid()).collect();
    let batches: Vec<&str> = keys.iter().map(|key| key.batch_id.as_str()).collect();
    let rows = sqlx::query!(
        r#"SELECT w.place AS "place!", l.content_hash, l.message_id
           FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS w (tenant_id, vehicle_id, batch_id, place)
           JOIN batch_ledger l
             ON l.tenant_id = w.tenant_id AND l.vehicle_id = w.vehicle_id AND l.batch_id = w.batch_id"#,
        &tenants,
        &vehicles,
        &batches as &[&str],
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let key = usize::try_from(row.place - 1).ok().and_then(|place| keys.get(place));
            let key = *key.ok_or_else(|| StoreError::corrupt("the ledger's answer"))?;
            let content_hash = row
                .content_hash
                .try_into()
                .map_err(|_| StoreError::corrupt("a hash in the ledger"))?;
            let message = row.message_id.into();
            Ok((key.clone(), LedgerEntry { content_hash, message }))
        })
        .collect()
}
