//! The keys of the subjects: made when first needed, found again by id.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use odograph_domain::{
    id::{IdSource, TenantId},
    intake::Subject,
};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Key, MasterKey};
use crate::error::{Result, StoreError};

/// A subject as it is stored: the tenant it belongs to, its kind and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubjectRef {
    pub(crate) tenant: TenantId,
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
}

impl SubjectRef {
    pub(crate) fn new(tenant: TenantId, subject: Subject) -> Self {
        match subject {
            Subject::Driver(driver) => Self {
                tenant,
                kind: "driver",
                id: driver.uuid(),
            },
            Subject::Vehicle(vehicle) => Self {
                tenant,
                kind: "vehicle",
                id: vehicle.uuid(),
            },
            Subject::Tenant => Self {
                tenant,
                kind: "tenant",
                id: tenant.uuid(),
            },
        }
    }

    fn parse(tenant: Uuid, kind: &str, id: Uuid) -> Result<Self> {
        let kind = ["driver", "vehicle", "tenant"].into_iter().find(|known| *known == kind);
        let kind = kind.ok_or_else(|| StoreError::corrupt("a subject key of an unknown kind"))?;
        Ok(Self {
            tenant: TenantId::from_uuid(tenant),
            kind,
            id,
        })
    }

    /// Binds a wrapped key to its row: one moved to another subject does not unwrap.
    fn context(&self, key_id: Uuid) -> Vec<u8> {
        let mut context = b"odograph subject key 1".to_vec();
        context.extend_from_slice(self.tenant.uuid().as_bytes());
        context.extend_from_slice(self.kind.as_bytes());
        context.extend_from_slice(self.id.as_bytes());
        context.extend_from_slice(key_id.as_bytes());
        context
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SubjectKey {
    pub(crate) id: Uuid,
    pub(crate) key: Key,
}

/// The living keys of these subjects, made where there are none yet.
pub(crate) async fn subject_keys(
    conn: &mut PgConnection,
    master: &MasterKey,
    ids: &dyn IdSource,
    now: DateTime<Utc>,
    subjects: &BTreeSet<SubjectRef>,
) -> Result<HashMap<SubjectRef, SubjectKey>> {
    let mut keys = living(conn, master, subjects).await?;
    // In order, so that two transactions that make the same keys cannot wait for each other in a circle.
    let missing: BTreeSet<SubjectRef> = subjects.iter().filter(|s| !keys.contains_key(s)).copied().collect();
    if !missing.is_empty() {
        create(conn, master, ids, now, &missing).await?;
        keys.extend(living(conn, master, &missing).await?);
    }
    match subjects.iter().find(|subject| !keys.contains_key(subject)) {
        None => Ok(keys),
        Some(_) => Err(StoreError::Crypto(
            "a subject's key was destroyed while it was asked for".into(),
        )),
    }
}

async fn living(
    conn: &mut PgConnection,
    master: &MasterKey,
    subjects: &BTreeSet<SubjectRef>,
) -> Result<HashMap<SubjectRef, SubjectKey>> {
    if subjects.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, kinds, ids) = columns(subjects);
    // A look-up for each, whatever the planner thinks of how many keys the tenant has.
    let rows = sqlx::query!(
        "SELECT k.tenant_id, k.id, k.subject_kind, k.subject_id, k.wrapped
         FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS w (tenant_id, kind, subject_id)
         CROSS JOIN LATERAL (
             SELECT * FROM subject_key k
             WHERE k.tenant_id = w.tenant_id AND k.subject_kind = w.kind AND k.subject_id = w.subject_id
               AND k.destroyed_at IS NULL
             OFFSET 0) AS k",
        &tenants,
        &kinds as &[&str],
        &ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let subject = SubjectRef::parse(row.tenant_id, &row.subject_kind, row.subject_id)?;
            let wrapped = row
                .wrapped
                .ok_or_else(|| StoreError::corrupt("a living subject key without its bytes"))?;
            let key = master.unwrap(&subject.context(row.id), &wrapped)?;
            Ok((subject, SubjectKey { id: row.id, key }))
        })
        .collect()
}

async fn create(
    conn: &mut PgConnection,
    master: &MasterKey,
    ids: &dyn IdSource,
    now: DateTime<Utc>,
    subjects: &BTreeSet<SubjectRef>,
) -> Result<()> {
    // 122 random bits each from the database's own strong source, next to at least 62 in each of our ids: a poor id
    // source, as tests have, must not make keys that can be guessed.
    let salt = sqlx::query_scalar!(
        r#"SELECT gen_random_uuid() AS "salt!" FROM generate_series(1, $1)"#,
        2 * subjects.len() as i32
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut key_ids = Vec::with_capacity(subjects.len());
    let mut wrapped = Vec::with_capacity(subjects.len());
    for (subject, salt) in subjects.iter().zip(salt.chunks(2)) {
        let id = ids.uuid();
        let mut digest = Sha256::new_with_prefix(b"odograph subject key");
        salt.iter().for_each(|salt| digest.update(salt.as_bytes()));
        (0..8).for_each(|_| digest.update(ids.uuid().as_bytes()));
        wrapped.push(master.wrap(&subject.context(id), &Key::new(digest.finalize().into()))?);
        key_ids.push(id);
    }
    let (tenants, kinds, subject_ids) = columns(subjects);
    sqlx::query!(
        "INSERT INTO subject_key (tenant_id, id, subject_kind, subject_id, wrapped, created_at)
         SELECT *, $6::timestamptz FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bytea[])
         ON CONFLICT (tenant_id, subject_kind, subject_id) WHERE destroyed_at IS NULL DO NOTHING",
        &tenants,
        &key_ids,
        &kinds as &[&str],
        &subject_ids,
        &wrapped,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keys by id; `None` for one that was destroyed: what it encrypted is erased.
pub(crate) async fn existing_keys(
    conn: &mut PgConnection,
    master: &MasterKey,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Option<Key>>> {
    let rows = sqlx::query!(
        "SELECT id, subject_kind, subject_id, wrapped FROM subject_key WHERE tenant_id = $1 AND id = ANY ($2)",
        tenant.uuid(),
        ids,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let subject = SubjectRef::parse(tenant.uuid(), &row.subject_kind, row.subject_id)?;
            let key = row
                .wrapped
                .map(|wrapped| master.unwrap(&subject.context(row.id), &wrapped))
                .transpose()?;
            Ok((row.id, key))
        })
        .collect()
}

fn columns(subjects: &BTreeSet<SubjectRef>) -> (Vec<Uuid>, Vec<&'static str>, Vec<Uuid>) {
    let tenants = subjects.iter().map(|s| s.tenant.uuid()).collect();
    (
        tenants,
        subjects.iter().map(|s| s.kind).collect(),
        subjects.iter().map(|s| s.id).collect(),
    )
}
