//! What a device logs in to the broker with, to send by MQTT.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;

use chrono::{DateTime, Utc};
use odograph_store::DeviceCredentialRecord;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a device logs in to the broker with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceCredential {
    /// The user name it logs in with, and the middle level of the topic it may publish to.
    id: Uuid,
    device: Uuid,
    created_at: DateTime<Utc>,
    /// Null while it holds.
    revoked_at: Option<DateTime<Utc>>,
}

impl From<DeviceCredentialRecord> for DeviceCredential {
    fn from(record: DeviceCredentialRecord) -> Self {
        Self {
            id: record.id.uuid(),
            device: record.device.uuid(),
            created_at: record.created_at,
            revoked_at: record.revoked_at,
        }
    }
}
