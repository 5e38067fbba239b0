//! Which vehicle a device is in, and when: in one at a time. Pairings are judged by event time, so one may be filed afterwards.

use chrono::{DateTime, SubsecRound, Utc};
use odograph_domain::{
    correction::Why,
    device::{PairedDevice, Pairing},
    id::{DeviceId, IdOrRef, PairingId, TenantId, VehicleId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    devices::{DeviceRecord, DeviceRow},
    dirty::mark_dirty,
    error::{Result, StoreError},
    session::Caller,
    tenant::{TenantStore, given},
    vehicles::lock_vehicle,
};

#[derive(Debug, Clone, PartialEq)]
pub struct NewPairing {
    pub device: IdOrRef<DeviceId>,
    pub vehicle: IdOrRef<VehicleId>,
    /// `None`: that of the device it replaces, else 0.
    pub rank: Option<u8>,
    /// `None`: as long as anybody knows; only of a device that was in no vehicle yet.
    pub from: Option<DateTime<Utc>>,
    /// The device whose place it takes: that is removed at the same instant.
    pub replaces: Option<IdOrRef<DeviceId>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PairingRecord {
    pub id: PairingId,
    pub device: DeviceId,
    pub pairing: Pairing,
    /// When it was filed.
    pub paired_at: DateTime<Utc>,
}

/// What pairing a device came to.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedAs {
    pub record: PairingRecord,
    /// The vehicle it was in until then.
    pub moved_from: Option<VehicleId>,
    pub replaced: Option<DeviceId>,
}

struct PairingRow {
    id: Uuid,
    device_id: Uuid,
    vehicle_id: Uuid,
    device_rank: i16,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    paired_at: DateTime<Utc>,
}

impl PairingRow {
    fn read(self) -> Result<PairingRecord> {
        Ok(PairingRecord {
            id: self.id.into(),
            device: self.device_id.into(),
            pairing: Pairing {
                vehicle: self.vehicle_id.into(),
                rank: u8::try_from(self.device_rank).map_err(StoreError::corrupt)?,
                from: self.starts_at,
                to: self.ends_at,
            },
            paired_at: self.paired_at,
        })
    }
}

impl TenantStore {
    /// Puts a device into a vehicle from an instant on. One that is in another vehicle then leaves that; one that is in this
    /// vehicle already only changes its rank. It stays until the next thing known of it. Raw data of the time that came under
    /// the other vehicle follows.
    pub async fn pair_device(&self, new: NewPairing) -> Result<PairedAs> {
        let caller = self.caller();
        let from = new.from.map(|from| from.trunc_subsecs(6));
        let mut tx = self.begin().await?;
        let vehicle = lock_vehicle(&mut tx, caller.tenant, &new.vehicle).await?;
        let device = find_device(&mut tx, caller.tenant, &new.device).await?.id;
        let known = lock_pairings(&mut tx, caller.tenant, device).await?;
        let replaced = match (&new.replaces, from) {
            (None, _) => None,
            (Some(other), Some(from)) => {
                let other = find_device(&mut tx, caller.tenant, other).await?.id;
                if other == device {
                    return Err(invalid("wanted another device, got the same".into()));
                }
                Some(end_pairing(&mut tx, &caller, other, Some(vehicle), from).await?)
            }
            (Some(_), None) => return Err(invalid("from: wanted the instant of the swap, got nothing".into())),
        };
        let Stay { until, before } = stay(&known, from)?;
        let as_before = before.filter(|before| before.pairing.vehicle == vehicle);
        let as_before = as_before.map(|before| before.pairing.rank);
        let rank = new.rank.or(replaced.map(|old| old.1.rank)).or(as_before).unwrap_or(0);
        let record = match before {
            Some(before) if before.pairing.vehicle == vehicle => rerank(&mut tx, &caller, before, rank).await?,
            _ => {
                if let (Some(before), Some(from)) = (before, from) {
                    cut(&mut tx, &caller, before, from).await?;
                }
                let pairing = Pairing {
                    vehicle,
                    rank,
                    from,
                    to: until,
                };
                insert(&mut tx, &caller, device, pairing).await?
            }
        };
        let moved_from = before
            .map(|before| before.pairing.vehicle)
            .filter(|other| *other != vehicle);
        mark(&mut tx, &caller, vehicle, from).await?;
        caller.audit(&mut tx, "pair", "device", device.uuid()).await?;
        tx.commit().await?;
        Ok(PairedAs {
            record,
            moved_from,
            replaced: replaced.map(|(other, _)| other),
        })
    }

    /// Takes a device out of the vehicle it is in at an instant; what it sends of later times is of no vehicle. One that is in
    /// none then stays as it is.
    pub async fn remove_device(&self, device: &IdOrRef<DeviceId>, at: DateTime<Utc>) -> Result<Vec<PairingRecord>> {
        let caller = self.caller();
        let mut tx = self.begin().await?;
        let device = find_device(&mut tx, caller.tenant, device).await?.id;
        let at = at.trunc_subsecs(6);
        let before = lock_pairings(&mut tx, caller.tenant, device).await?;
        if before.iter().any(|record| record.pairing.holds_at(at)) {
            end_pairing(&mut tx, &caller, device, None, at).await?;
        }
        let known = pairings_of(&mut tx, caller.tenant, &[device]).await?;
        tx.commit().await?;
        Ok(known)
    }

    /// Everywhere these devices ever were, by their beginnings.
    pub async fn device_pairings(&self, devices: &[DeviceId]) -> Result<Vec<PairingRecord>> {
        let mut tx = self.begin().await?;
        let known = pairings_of(&mut tx, self.tenant_id(), devices).await?;
        tx.commit().await?;
        Ok(known)
    }

    /// The devices in a vehicle at an instant, or all that ever were; the most trusted first.
    pub async fn vehicle_pairings(
        &self,
        vehicle: &IdOrRef<VehicleId>,
        at: Option<DateTime<Utc>>,
    ) -> Result<Vec<(DeviceRecord, PairingRecord)>> {
        let vehicle = self.vehicle(vehicle).await?.id;
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            "SELECT p.id, p.device_id, p.device_rank, p.starts_at, p.ends_at, p.paired_at, d.external_ref, d.kind, d.created_at
             FROM device_pairing p JOIN device d ON d.tenant_id = p.tenant_id AND d.id = p.device_id
             WHERE p.tenant_id = $1 AND p.vehicle_id = $2
               AND ($3::timestamptz IS NULL OR (p.starts_at IS NULL OR p.starts_at <= $3) AND (p.ends_at IS NULL OR p.ends_at > $3))
             ORDER BY p.device_rank, p.device_id, p.starts_at NULLS FIRST",
            self.tenant_id().uuid(),
            vehicle.uuid(),
            at,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|row| {
                let device = DeviceRow {
                    id: row.device_id,
                    external_ref: row.external_ref,
                    kind: row.kind,
                    created_at: row.created_at,
                };
                let pairing = PairingRow {
                    id: row.id,
                    device_id: row.device_id,
                    vehicle_id: vehicle.uuid(),
                    device_rank: row.device_rank,
                    starts_at: row.starts_at,
                    ends_at: row.ends_at,
                    paired_at: row.paired_at,
                };
                Ok((device.read()?, pairing.read()?))
            })
            .collect()
    }
}

/// How long a device that is put into a vehicle stays there, and what held until then.
#[derive(Clone, Copy)]
struct Stay<'a> {
    until: Option<DateTime<Utc>>,
    before: Option<&'a PairingRecord>,
}

fn stay(known: &[PairingRecord], from: Option<DateTime<Utc>>) -> Result<Stay<'_>> {
    let Some(from) = from else {
        return match known.first() {
            None => Ok(Stay {
                until: None,
                before: None,
            }),
            Some(first) => {
                let detail = format!(
                    "it was put into vehicle {} before; say from when on it is in this one",
                    first.pairing.vehicle
                );
                Err(StoreError::Conflict { kind: "device", detail })
            }
        };
    };
    let before = known.iter().find(|record| record.pairing.holds_at(from));
    let next = known
        .iter()
        .filter_map(|record| record.pairing.from)
        .filter(|starts| *starts > from)
        .min();
    let until = [before.and_then(|before| before.pairing.to), next]
        .into_iter()
        .flatten()
        .min();
    Ok(Stay { until, before })
}

/// The device of this name.
pub(crate) async fn find_device(
    conn: &mut PgConnection,
    tenant: TenantId,
    device: &IdOrRef<DeviceId>,
) -> Result<DeviceRecord> {
    let (id, external_ref) = given(device);
    let row = sqlx::query_as!(
        DeviceRow,
        "SELECT id, external_ref, kind, created_at FROM device WHERE tenant_id = $1 AND (id = $2 OR external_ref = $3)",
        tenant.uuid(),
        id,
        external_ref,
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or(StoreError::NotFound { kind: "device" })?.read()
}

/// Ends the pairing that holds at an instant, with a vehicle or with whichever it is; returns it as it was.
pub(crate) async fn end_pairing(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    device: DeviceId,
    vehicle: Option<VehicleId>,
    at: DateTime<Utc>,
) -> Result<(DeviceId, Pairing)> {
    let known = lock_pairings(conn, caller.tenant, device).await?;
    let held = known
        .iter()
        .find(|record| record.pairing.holds_at(at) && vehicle.is_none_or(|vehicle| record.pairing.vehicle == vehicle));
    let Some(held) = held else {
        let place = vehicle.map_or_else(
            || "in no vehicle".to_owned(),
            |vehicle| format!("not in vehicle {vehicle}"),
        );
        let detail = format!("device {device} is {place} at {}", at.to_rfc3339());
        return Err(StoreError::Conflict { kind: "device", detail });
    };
    cut(conn, caller, held, at).await?;
    caller.audit(conn, "remove", "device", device.uuid()).await?;
    Ok((device, held.pairing))
}

async fn cut(conn: &mut PgConnection, caller: &Caller<'_>, held: &PairingRecord, at: DateTime<Utc>) -> Result<()> {
    // One that ends as it begins stays, empty: the device is still one of which it is known where it was.
    sqlx::query!(
        "UPDATE device_pairing SET ends_at = $3 WHERE tenant_id = $1 AND id = $2",
        caller.tenant.uuid(),
        held.id.uuid(),
        at,
    )
    .execute(&mut *conn)
    .await?;
    mark(conn, caller, held.pairing.vehicle, Some(at)).await
}

async fn rerank(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    known: &PairingRecord,
    rank: u8,
) -> Result<PairingRecord> {
    sqlx::query!(
        "UPDATE device_pairing SET device_rank = $3 WHERE tenant_id = $1 AND id = $2",
        caller.tenant.uuid(),
        known.id.uuid(),
        i16::from(rank),
    )
    .execute(conn)
    .await?;
    let mut record = known.clone();
    record.pairing.rank = rank;
    Ok(record)
}

async fn insert(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    device: DeviceId,
    pairing: Pairing,
) -> Result<PairingRecord> {
    let record = PairingRecord {
        id: caller.id(),
        device,
        pairing,
        paired_at: caller.now,
    };
    sqlx::query!(
        "INSERT INTO device_pairing (tenant_id, id, device_id, vehicle_id, device_rank, starts_at, ends_at, paired_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        caller.tenant.uuid(),
        record.id.uuid(),
        device.uuid(),
        pairing.vehicle.uuid(),
        i16::from(pairing.rank),
        pairing.from,
        pairing.to,
        record.paired_at,
    )
    .execute(conn)
    .await?;
    Ok(record)
}

/// Marks what came since for deriving anew: data of the device may be another vehicle's now.
async fn mark(
    conn: &mut PgConnection,
    caller: &Caller<'_>,
    vehicle: VehicleId,
    from: Option<DateTime<Utc>>,
) -> Result<()> {
    match from {
        Some(from) => mark_dirty(conn, caller, vehicle, from, None, Why::DeviceChanged).await,
        // A device that was in no vehicle yet: nothing of it has come under another.
        None => Ok(()),
    }
}

/// Everywhere a device ever was, by the beginnings, with the device locked against other changes of it.
async fn lock_pairings(conn: &mut PgConnection, tenant: TenantId, device: DeviceId) -> Result<Vec<PairingRecord>> {
    sqlx::query!(
        "SELECT id FROM device WHERE tenant_id = $1 AND id = $2 FOR UPDATE",
        tenant.uuid(),
        device.uuid(),
    )
    .fetch_one(&mut *conn)
    .await?;
    pairings_of(conn, tenant, &[device]).await
}

async fn pairings_of(conn: &mut PgConnection, tenant: TenantId, devices: &[DeviceId]) -> Result<Vec<PairingRecord>> {
    let devices: Vec<Uuid> = devices.iter().map(|device| device.uuid()).collect();
    let rows = sqlx::query_as!(
        PairingRow,
        "SELECT id, device_id, vehicle_id, device_rank, starts_at, ends_at, paired_at FROM device_pairing
         WHERE tenant_id = $1 AND device_id = ANY ($2) ORDER BY device_id, starts_at NULLS FIRST",
        tenant.uuid(),
        &devices,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(PairingRow::read).collect()
}

/// Keeps the pairings of these devices from changing until the transaction ends. Before they are read: whoever waits for a
/// change to be done must see it.
pub(crate) async fn share_devices(
    conn: &mut PgConnection,
    tenants: &[Uuid],
    ids: &[Option<Uuid>],
    references: &[Option<&str>],
) -> Result<()> {
    sqlx::query!(
        "SELECT d.id FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS w (tenant_id, id, external_ref)
         JOIN device d ON d.tenant_id = w.tenant_id AND (d.id = w.id OR d.external_ref = w.external_ref)
         ORDER BY d.id FOR KEY SHARE OF d",
        tenants,
        ids as &[Option<Uuid>],
        references as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// The devices of these names with everywhere they ever were, each where its name stands.
pub(crate) async fn paired_devices(
    conn: &mut PgConnection,
    tenants: &[Uuid],
    ids: &[Option<Uuid>],
    references: &[Option<&str>],
) -> Result<Vec<Option<PairedDevice>>> {
    let rows = sqlx::query!(
        r#"SELECT w.place AS "place!", d.id AS "device_id!", p.vehicle_id AS "vehicle_id?", p.device_rank AS "device_rank?",
                  p.starts_at, p.ends_at
           FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS w (tenant_id, id, external_ref, place)
           JOIN device d ON d.tenant_id = w.tenant_id AND (d.id = w.id OR d.external_ref = w.external_ref)
           LEFT JOIN device_pairing p ON p.tenant_id = d.tenant_id AND p.device_id = d.id
           ORDER BY w.place, p.starts_at NULLS FIRST"#,
        tenants,
        ids as &[Option<Uuid>],
        references as &[Option<&str>],
    )
    .fetch_all(conn)
    .await?;
    let mut found: Vec<Option<PairedDevice>> = vec![None; tenants.len()];
    for row in rows {
        let place = usize::try_from(row.place - 1)
            .ok()
            .and_then(|place| found.get_mut(place));
        let place = place.ok_or_else(|| StoreError::corrupt("the devices' answer"))?;
        let device = place.get_or_insert_with(|| PairedDevice {
            id: row.device_id.into(),
            pairings: vec![],
        });
        if let (Some(vehicle), Some(rank)) = (row.vehicle_id, row.device_rank) {
            device.pairings.push(Pairing {
                vehicle: vehicle.into(),
                rank: u8::try_from(rank).map_err(StoreError::corrupt)?,
                from: row.starts_at,
                to: row.ends_at,
            });
        }
    }
    Ok(found)
}

fn invalid(detail: String) -> StoreError {
    StoreError::Invalid { kind: "device", detail }
}
