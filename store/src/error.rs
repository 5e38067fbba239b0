//! What can go wrong, in the words of the domain. Constraint violations become named conflicts here and nowhere else.

pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Absent, or another tenant's: the two cannot be told apart.
    #[error("there is no such {kind}")]
    NotFound { kind: &'static str },
    /// What was asked for contradicts what is stored.
    #[error("{kind}: {detail}")]
    Conflict { kind: &'static str, detail: String },
    /// It was changed since the caller last saw it.
    #[error("the {kind} has been changed since: it is at revision {revision}")]
    Stale { kind: &'static str, revision: i32 },
    /// A value that cannot be stored. Found here only when nothing before saw it.
    #[error("{kind}: {detail}")]
    Invalid { kind: &'static str, detail: String },
    /// A stored row does not read: a fault of ours or of the database, never of the caller.
    #[error("a stored row does not read: {what}")]
    Corrupt { what: String },
    /// The worker's lease has gone to another: nothing it does may be kept.
    #[error("the partition's lease has gone to another worker")]
    Fenced,
    /// Its key was destroyed with its subject, or it was given up.
    #[error("the {kind} has been erased")]
    Erased { kind: &'static str },
    #[error("encryption: {0}")]
    Crypto(String),
    /// Trying again may help: the connection, a deadlock, a full pool.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Object storage does not answer, or lacks what should be there.
    #[error("the lake: {0}")]
    Lake(String),
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.to_string() }
    }

    /// The kind of failure, for logs and dead letters: carries no value that was to be stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not found",
            Self::Conflict { .. } => "conflict",
            Self::Stale { .. } => "changed since",
            Self::Invalid { .. } => "a value that cannot be stored",
            Self::Corrupt { .. } => "a stored row that does not read",
            Self::Fenced => "lease lost",
            Self::Erased { .. } => "erased",
            Self::Crypto(_) => "encryption",
            Self::Unavailable(_) => "database unavailable",
            Self::Lake(_) => "lake unavailable",
            Self::Database(_) => "database refused a statement",
        }
    }

    /// Whether what was to be written is at fault, and not the database, the schema, a right or a key: only then can a
    /// message be called poison.
    pub fn blames_data(&self) -> bool {
        match self {
            Self::Invalid { .. } | Self::Conflict { .. } | Self::Database(sqlx::Error::Encode(_)) => true,
            // Data exceptions and exceeded limits.
            Self::Database(sqlx::Error::Database(refusal)) => refusal
                .code()
                .is_some_and(|code| code.starts_with("22") || code.starts_with("54")),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::corrupt(error),
            sqlx::Error::Database(refusal) => {
                let state = refusal.code().unwrap_or_default().into_owned();
                match state.as_str() {
                    "23505" | "23503" | "23P01" => conflict(refusal.constraint(), refusal.message()),
                    // Check violations and values that the type cannot hold, a NUL in a text among them.
                    "23514" | "22001" | "22003" | "22008" | "22021" | "22P05" => Self::Invalid {
                        kind: "value",
                        detail: refusal.message().to_owned(),
                    },
                    // Deadlock, serialisation, lock timeout, shutdown, and the classes of lost connections and lacking means.
                    "25P03" | "57P05" | "40P01" | "40001" | "55P03" | "57P01" | "57P02" | "57P03" => {
                        Self::Unavailable(refusal.message().to_owned())
                    }
                    code if code.starts_with("08") || code.starts_with("53") => {
                        Self::Unavailable(refusal.message().to_owned())
                    }
                    _ => Self::Database(error),
                }
            }
            _ => Self::Database(error),
        }
    }
}

/// The conflict a violated constraint stands for. Never the database's own words: they carry the values.
fn conflict(constraint: Option<&str>, message: &str) -> StoreError {
    let name = constraint.unwrap_or_default();
    let known = |kind, detail: &str| StoreError::Conflict {
        kind,
        detail: detail.to_owned(),
    };
    const TAKEN: &str = "the external_ref is taken";
    match name {
        "vehicle_tenant_id_external_ref_key" => known("vehicle", TAKEN),
        "driver_tenant_id_external_ref_key" => known("driver", TAKEN),
        "device_tenant_id_external_ref_key" => known("device", TAKEN),
        "policy_tenant_id_external_ref_key" => known("policy", TAKEN),
        "fleet_tenant_id_external_ref_key" => known("fleet", TAKEN),
        "vehicle_group_tenant_id_fleet_id_name_key" => known("group", "the fleet has a group of this name"),
        "vehicle_group_tenant_id_external_ref_key" => known("group", TAKEN),
        "group_vehicle_tenant_id_fleet_id_vehicle_id_fkey" => known("group", "the vehicle is not in the group's fleet"),
        "rating_plan_tenant_id_name_key" => known("rating_plan", "the name is taken"),
        "rating_plan_version_pkey" => known("rating_plan", "the version was made by another just now"),
        "vehicle_transfer_tenant_id_vehicle_id_at_key" => {
            known("transfer", "the vehicle changed hands at that instant already")
        }
        "odometer_change_tenant_id_vehicle_id_at_key" => {
            known("odometer_change", "one of that instant is there already")
        }
        "tenant_name_key" => known("tenant", "the name is taken"),
        "client_tenant_id_name_key" | "operator_client_name_key" => known("client", "the name is taken"),
        _ if name.is_empty() => StoreError::Conflict {
            kind: "row",
            detail: message.to_owned(),
        },
        other => StoreError::Conflict {
            kind: "row",
            detail: format!("violates {other}"),
        },
    }
}
