//! What every table says of itself (migrations/0002), as the database has it.

use crate::{
    error::{Result, StoreError},
    operator::OperatorStore,
};

/// A table and its answers: row-level security, class, purpose, retention, export, erasure, rebuild, roles, audit.
#[derive(Debug, Clone, PartialEq)]
pub struct TableAnswers {
    pub name: String,
    pub about: serde_json::Value,
}

impl OperatorStore {
    /// Every table, in the order of their names. A partition's answers are those of its whole, and are left out.
    pub async fn table_answers(&self) -> Result<Vec<TableAnswers>> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT relname::text AS "name!", obj_description(oid, 'pg_class') AS about
               FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                 AND relname <> '_sqlx_migrations'
               ORDER BY relname::text COLLATE "C""#,
        )
        .fetch_all(&mut *tx)
        .await?;
        let read = |name: String, about: Option<String>| {
            let about = serde_json::from_str(about.as_deref().unwrap_or("null"))
                .map_err(|cause| StoreError::corrupt(format!("the comment of table {name}: {cause}")))?;
            Ok(TableAnswers { name, about })
        };
        rows.into_iter().map(|row| read(row.name, row.about)).collect()
    }
}
