//! What was driven under a policy: the metres that premiums are made of.

pub(crate) mod across;
pub(crate) mod list;

use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::value::choice;

choice! {
    /// What usage is added up by.
    Granularity, "day or month" {
        Day = "day",
        Month = "month",
    }
}
