//! `trips/`: a day of a tenant's trips as they are in the database, written anew as a whole whenever one of them is another.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use odograph_domain::id::TenantId;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    LakeStore, folder,
    trip_file::{LakeTrip, encode},
};
use crate::{
    error::{Result, StoreError},
    session::{Tx, now},
    trips::{StoredRow, select_trips},
};

/// What a trip takes in a file, about; measured on generated fleets (docs/lake.md).
const TRIP_BYTES: usize = 160;
/// A file is made in memory.
const MOST_TRIPS: usize = 500_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TripsSynced {
    pub days: u64,
    pub files: u64,
    pub trips: u64,
    pub bytes: u64,
}

/// A day's trips, in the lake but not yet known to be. Dropped without [`TripsPut::commit`], the day is still to be written.
#[derive(Debug)]
pub struct TripsPut {
    tx: Tx,
    synced: TripsSynced,
}

impl TripsPut {
    pub async fn commit(self) -> Result<TripsSynced> {
        self.tx.commit().await?;
        Ok(self.synced)
    }
}

impl LakeStore {
    /// Days of trips that are not in the lake as they are in the database, those that have waited longest first.
    pub async fn changed_days(&self) -> Result<Vec<(TenantId, NaiveDate)>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT tenant_id AS "tenant_id!", day AS "day!" FROM lake_trip_change GROUP BY tenant_id, day ORDER BY min(id)"#
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id.into(), row.day)).collect())
    }

    /// Writes a day of a tenant's trips as it is now; it counts once it is committed. `None` where somebody else is at it.
    ///
    /// The day's marks go in the same transaction that reads the trips: what is committed later leaves a mark of its own, and
    /// what fails leaves the marks. Objects are replaced before the commit: a process that dies in between has written what
    /// is true, and it is written again.
    pub async fn put_trips(&self, tenant: TenantId, day: NaiveDate) -> Result<Option<TripsPut>> {
        let mut tx = self.begin().await?;
        let synced = self.put_trips_in(&mut tx, tenant, day).await?;
        Ok(synced.map(|synced| TripsPut { tx, synced }))
    }

    async fn put_trips_in(&self, tx: &mut Tx, tenant: TenantId, day: NaiveDate) -> Result<Option<TripsSynced>> {
        if !lock(tx, tenant, day).await? {
            return Ok(None);
        }
        sqlx::query!(
            "DELETE FROM lake_trip_change WHERE tenant_id = $1 AND day = $2",
            tenant.uuid(),
            day
        )
        .execute(&mut **tx)
        .await?;
        let buckets = self.buckets(tx, tenant, day).await?;
        let wanted: Vec<String> = (0..buckets).map(|bucket| path(tenant, day, bucket)).collect();
        self.clear(tx, (tenant, day), &wanted).await?;
        let mut synced = TripsSynced {
            days: 1,
            ..TripsSynced::default()
        };
        for (bucket, path) in (0..buckets).zip(&wanted) {
            let trips = read(tx, tenant, day, (buckets, bucket)).await?;
            let file = encode(&trips)?;
            let sha256: [u8; 32] = Sha256::digest(&file).into();
            synced.files += 1;
            synced.trips += trips.len() as u64;
            synced.bytes += file.len() as u64;
            let bytes = file.len() as i64;
            // Not spared where it is what is known to be there: a process that died may have left another.
            self.lake.put(path, file).await?;
            self.put_file(tx, (tenant, day), path, (bytes, sha256), &trips).await?;
        }
        Ok(Some(synced))
    }

    /// Deletes what is not wanted of a day; all of it where the vehicles are distributed over another number of files, so that a
    /// reader in between misses trips rather than counting them twice. By what lies there and not by what is known: a process
    /// that died may have left files that no row names.
    async fn clear(&self, tx: &mut Tx, (tenant, day): (TenantId, NaiveDate), wanted: &[String]) -> Result<()> {
        let there = self.lake.list(&folder("trips", tenant, day)).await?;
        let keep: &[String] = if there.len() == wanted.len() { wanted } else { &[] };
        for object in there.iter().filter(|object| !keep.contains(&object.path)) {
            self.lake.delete(&object.path).await?;
        }
        sqlx::query!(
            "DELETE FROM lake_file WHERE tenant_id = $1 AND data_set = 'trips' AND day = $2 AND path <> ALL ($3)",
            tenant.uuid(),
            day,
            wanted,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    async fn buckets(&self, tx: &mut Tx, tenant: TenantId, day: NaiveDate) -> Result<i64> {
        let trips = sqlx::query_scalar!(
            r#"SELECT count(*) AS "trips!" FROM trip WHERE tenant_id = $1 AND start_day = $2"#,
            tenant.uuid(),
            day,
        )
        .fetch_one(&mut **tx)
        .await?;
        let of_file = (self.lake.file_bytes / TRIP_BYTES).clamp(1, MOST_TRIPS);
        Ok((trips as usize).div_ceil(of_file) as i64)
    }

    async fn put_file(
        &self,
        tx: &mut Tx,
        (tenant, day): (TenantId, NaiveDate),
        path: &str,
        (bytes, sha256): (i64, [u8; 32]),
        trips: &[LakeTrip],
    ) -> Result<()> {
        let metres: f64 = trips.iter().map(|trip| trip.row.billable_m).sum();
        let samples: i64 = trips.iter().map(|trip| i64::from(trip.row.samples)).sum();
        sqlx::query!(
            "INSERT INTO lake_file (tenant_id, id, data_set, day, path, state, bytes, sha256, items, samples, metres, changed_at)
             VALUES ($1, $2, 'trips', $3, $4, 'live', $5, $6, $7, $8, $9, $10)
             ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256, items = excluded.items,
                 samples = excluded.samples, metres = excluded.metres, changed_at = excluded.changed_at",
            tenant.uuid(),
            self.store.ids().uuid(),
            day,
            path,
            bytes,
            &sha256[..],
            i32::try_from(trips.len()).map_err(StoreError::corrupt)?,
            samples,
            metres,
            now(self.store.clock()),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

fn path(tenant: TenantId, day: NaiveDate, bucket: i64) -> String {
    format!("{}/part-{bucket:05}.parquet", folder("trips", tenant, day))
}

/// Makes others leave the day alone until the end of the transaction, which may last as long as a slow upload.
async fn lock(conn: &mut PgConnection, tenant: TenantId, day: NaiveDate) -> Result<bool> {
    let locked = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('lake/trips/' || $1::text || '/' || $2::text, 0)) AS "locked!"
           FROM set_config('idle_in_transaction_session_timeout', '15min', true)"#,
        tenant.to_string(),
        day.to_string(),
    )
    .fetch_one(conn)
    .await?;
    Ok(locked)
}

/// Trips of the vehicles of one bucket of so many, by vehicle and start.
async fn read(
    conn: &mut PgConnection,
    tenant: TenantId,
    day: NaiveDate,
    (buckets, bucket): (i64, i64),
) -> Result<Vec<LakeTrip>> {
    let rows: Vec<StoredRow> = select_trips!(
        ["WHERE t.tenant_id = $1 AND t.start_day = $2
               AND (hashtextextended(t.vehicle_id::text, 0) & 9223372036854775807) % $3 = $4
             ORDER BY t.vehicle_id, t.started_at, t.id"],
        tenant.uuid(),
        day,
        buckets,
        bucket,
    )
    .fetch_all(&mut *conn)
    .await?;
    let counts = sqlx::query!(
        r#"SELECT e.trip_id, e.kind, count(*)::int AS "events!"
           FROM trip t JOIN behaviour_event e ON e.tenant_id = t.tenant_id AND e.trip_id = t.id
           WHERE t.tenant_id = $1 AND t.start_day = $2
             AND (hashtextextended(t.vehicle_id::text, 0) & 9223372036854775807) % $3 = $4
           GROUP BY e.trip_id, e.kind"#,
        tenant.uuid(),
        day,
        buckets,
        bucket,
    )
    .fetch_all(conn)
    .await?;
    let mut events: BTreeMap<Uuid, BTreeMap<String, i32>> = BTreeMap::new();
    for count in counts {
        events
            .entry(count.trip_id)
            .or_default()
            .insert(count.kind, count.events);
    }
    let trips = rows.into_iter().map(|row| LakeTrip {
        events: events.remove(&row.id).unwrap_or_default(),
        row,
    });
    Ok(trips.collect())
}
