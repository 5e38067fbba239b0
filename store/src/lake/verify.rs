//! The lake held against the database: every object read, every hash computed, every day counted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use odograph_domain::id::TenantId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{LakeStore, container};
use crate::{error::Result, session::now};

/// Something in the lake that is not as the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// An object, or a day of trips.
    pub place: String,
    pub what: String,
}

/// What was found of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub objects: u64,
    pub bytes: u64,
    pub trips: i64,
    pub blocks: u64,
    pub faults: Vec<Fault>,
}

/// An object that nobody knows of may be one that is being written just now.
const YOUNG: TimeDelta = TimeDelta::hours(1);
/// Sums of metres are added in another order here and there.
const SAME: f64 = 1e-9;

struct FileRow {
    id: Uuid,
    data_set: String,
    path: String,
    state: String,
    bytes: i64,
    sha256: Option<Vec<u8>>,
}

impl LakeStore {
    /// Reads all objects of a tenant. With `repair`, a day of trips that is not as it should be is marked to be written anew, and
    /// objects that nobody knows of are deleted; what is wrong with raw data is said only.
    pub async fn verify(&self, tenant: TenantId, repair: bool) -> Result<Verified> {
        let mut verified = Verified::default();
        // Before it is known what there is: what is stored while hours of objects are read is younger.
        let before = now(self.store.clock()) - YOUNG;
        let files = self.files(tenant).await?;
        for file in files.iter().filter(|file| file.state == "live") {
            self.verify_object(tenant, file, repair, &mut verified).await?;
        }
        self.verify_days(tenant, repair, &mut verified).await?;
        self.verify_blocks(tenant, &mut verified).await?;
        let known = files.iter().map(|file| file.path.as_str()).collect();
        self.verify_folders(tenant, &known, (before, repair), &mut verified)
            .await?;
        Ok(verified)
    }

    async fn files(&self, tenant: TenantId) -> Result<Vec<FileRow>> {
        let mut tx = self.begin().await?;
        let files = sqlx::query_as!(
            FileRow,
            "SELECT id, data_set, path, state, bytes, sha256 FROM lake_file WHERE tenant_id = $1 ORDER BY path",
            tenant.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(files)
    }

    async fn verify_object(
        &self,
        tenant: TenantId,
        file: &FileRow,
        repair: bool,
        verified: &mut Verified,
    ) -> Result<()> {
        verified.objects += 1;
        let content = self.lake.get(&file.path).await?;
        let what = match &content {
            None => Some("is not there".to_owned()),
            Some(content) if content.len() as i64 != file.bytes => {
                Some(format!("has {} bytes, wanted {}", content.len(), file.bytes))
            }
            Some(content) if Some(&Sha256::digest(content)[..]) != file.sha256.as_deref() => {
                Some("has other content than its hash says".to_owned())
            }
            Some(content) => {
                verified.bytes += content.len() as u64;
                None
            }
        };
        let what = match (what, content) {
            (None, Some(content)) if file.data_set == "raw" => self.verify_container(tenant, file, &content).await?,
            (what, _) => what,
        };
        if let Some(what) = what {
            if repair && file.data_set == "trips" {
                self.mark_day_of(tenant, file.id).await?;
            }
            verified.fault(&file.path, what);
        }
        Ok(())
    }

    /// Whether a container holds every block that is said to lie in it, and where it is said to.
    async fn verify_container(&self, tenant: TenantId, file: &FileRow, content: &[u8]) -> Result<Option<String>> {
        let entries = match container::read(content) {
            Ok((owner, entries)) if owner == tenant => entries,
            Ok((owner, _)) => return Ok(Some(format!("is of tenant {owner}"))),
            Err(cause) => return Ok(Some(cause.to_string())),
        };
        let places: BTreeMap<Uuid, (u64, u64)> = entries
            .iter()
            .map(|entry| (entry.block, (entry.at, entry.bytes)))
            .collect();
        let mut tx = self.begin().await?;
        let blocks = sqlx::query!(
            "SELECT id, at_byte, bytes FROM lake_block WHERE tenant_id = $1 AND file_id = $2",
            tenant.uuid(),
            file.id,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let misplaced = blocks
            .iter()
            .filter(|block| {
                let said = (block.at_byte.unsigned_abs(), u64::from(block.bytes.unsigned_abs()));
                places.get(&block.id) != Some(&said)
            })
            .count();
        Ok((misplaced > 0).then(|| format!("lacks {misplaced} of {} blocks where they should be", blocks.len())))
    }

    async fn verify_days(&self, tenant: TenantId, repair: bool, verified: &mut Verified) -> Result<()> {
        let mut tx = self.begin().await?;
        // Days that wait to be written are not expected to agree.
        let days = sqlx::query!(
            r#"WITH stored AS (
                   SELECT t.start_day AS day, count(*) AS trips, sum(f.billable_m) AS metres, sum(f.samples) AS samples
                   FROM trip t JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id
                   WHERE t.tenant_id = $1 GROUP BY t.start_day
               ), filed AS (
                   SELECT day, sum(items) AS trips, sum(metres) AS metres, sum(samples)::bigint AS samples FROM lake_file
                   WHERE tenant_id = $1 AND data_set = 'trips' GROUP BY day
               )
               SELECT coalesce(s.day, f.day) AS "day!", coalesce(s.trips, 0) AS "trips!", coalesce(s.metres, 0) AS "metres!",
                      coalesce(s.samples, 0) AS "samples!", coalesce(f.trips, 0) AS "filed!",
                      coalesce(f.metres, 0) AS "filed_metres!", coalesce(f.samples, 0) AS "filed_samples!"
               FROM stored s FULL JOIN filed f ON f.day = s.day
               WHERE NOT EXISTS (SELECT FROM lake_trip_change c WHERE c.tenant_id = $1 AND c.day = coalesce(s.day, f.day))
               ORDER BY 1"#,
            tenant.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        for day in days {
            verified.trips += day.filed;
            let off = (day.metres - day.filed_metres).abs() > SAME * day.metres.abs().max(1.0);
            if day.trips != day.filed || day.samples != day.filed_samples || off {
                if repair {
                    self.mark_day(tenant, day.day).await?;
                }
                let what = format!(
                    "has {} trips of {} samples and {:.3} m, the database {} of {} and {:.3} m",
                    day.filed, day.filed_samples, day.filed_metres, day.trips, day.samples, day.metres
                );
                verified.fault(&super::folder("trips", tenant, day.day), what);
            }
        }
        Ok(())
    }

    async fn verify_blocks(&self, tenant: TenantId, verified: &mut Verified) -> Result<()> {
        let mut tx = self.begin().await?;
        let row = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM lake_block WHERE tenant_id = $1) AS "blocks!",
                      (SELECT count(*) FROM raw_block b WHERE b.tenant_id = $1 AND b.in_lake
                         AND NOT EXISTS (SELECT FROM lake_block l WHERE l.tenant_id = $1 AND l.vehicle_id = b.vehicle_id
                                                                    AND l.id = b.id)
                         AND EXISTS (SELECT FROM subject_key k WHERE k.tenant_id = $1 AND k.id = b.key_id
                                                                AND k.destroyed_at IS NULL)) AS "unfiled!",
                      (SELECT count(*) FROM lake_block l WHERE l.tenant_id = $1
                         AND (l.dropped_at IS NULL) <> EXISTS (SELECT FROM raw_block b WHERE b.tenant_id = $1
                             AND b.vehicle_id = l.vehicle_id AND b.id = l.id)) AS "misstated!""#,
            tenant.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        verified.blocks = row.blocks.unsigned_abs();
        if row.unfiled > 0 {
            let what = format!(
                "{} blocks of the database should be in the lake and are not",
                row.unfiled
            );
            verified.fault("raw", what);
        }
        if row.misstated > 0 {
            let what = format!(
                "of {} blocks it is not known rightly whether the database has them",
                row.misstated
            );
            verified.fault("raw", what);
        }
        Ok(())
    }

    async fn verify_folders(
        &self,
        tenant: TenantId,
        known: &BTreeSet<&str>,
        (before, repair): (DateTime<Utc>, bool),
        verified: &mut Verified,
    ) -> Result<()> {
        for data_set in ["raw", "trips"] {
            for object in self.lake.list(&format!("{data_set}/tenant={tenant}")).await? {
                if known.contains(object.path.as_str()) || object.changed_at > before {
                    continue;
                }
                if repair {
                    self.lake.delete(&object.path).await?;
                }
                verified.fault(&object.path, format!("nobody knows of it ({} bytes)", object.bytes));
            }
        }
        Ok(())
    }

    async fn mark_day_of(&self, tenant: TenantId, file: Uuid) -> Result<()> {
        let mut tx = self.begin().await?;
        let day = sqlx::query_scalar!(
            "SELECT day FROM lake_file WHERE tenant_id = $1 AND id = $2",
            tenant.uuid(),
            file,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        match day {
            Some(day) => self.mark_day(tenant, day).await,
            None => Ok(()),
        }
    }

    async fn mark_day(&self, tenant: TenantId, day: NaiveDate) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "INSERT INTO lake_trip_change (tenant_id, day) VALUES ($1, $2)",
            tenant.uuid(),
            day
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Verified {
    fn fault(&mut self, place: &str, what: String) {
        self.faults.push(Fault {
            place: place.to_owned(),
            what,
        });
    }
}
