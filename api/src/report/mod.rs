//! Reports for people: figures in, one self-contained page out.
//!
//! [`gather`] reads what a report is about from the store into [`figures`], which is also what the API gives as JSON;
//! [`page`] turns figures into HTML with [`charts`] drawn as SVG. The pages load nothing, run nothing, and are the same for the
//! same figures.

pub(crate) mod charts;
pub mod figures;
pub mod gather;
mod outliers;
pub mod page;
pub mod period;
mod text;

pub use gather::Ask;
pub use page::{driver_page, fleet_page};
pub use period::Period;
