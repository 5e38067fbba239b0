//! Everything that touches the database: the only crate that knows SQL.
//!
//! What a caller may see hangs off a value: [`Store::tenant`] for one tenant, [`Store::worker`] for the tenants of a
//! micro-batch, [`Store::operator`] for the platform. Each runs its transactions under its own role, and row-level security
//! bounds them a second time. A row of another tenant is [`StoreError::NotFound`], like one that is not there.

mod assignments;
mod audit;
mod checklist;
mod contexts;
mod crypto;
mod dead_letters;
mod derive;
mod devices;
mod dirty;
mod drivers;
mod error;
mod fleets;
mod import_runs;
mod leases;
mod operator;
mod outcomes;
mod page;
mod policies;
mod policy_changes;
mod premiums;
mod queue;
mod quotes;
mod rating_inputs;
mod rating_plans;
mod raw;
mod resolve;
mod scores;
mod scratch;
mod session;
mod store;
mod tenant;
mod trip_writes;
mod trips;
mod usage;
mod vehicles;
mod worker;
mod writes;

pub use assignments::{AssignmentRecord, NewAssignment};
pub use audit::AuditRow;
pub use checklist::TableAnswers;
pub use crypto::MasterKey;
pub use dead_letters::{DeadLetterFilter, DeadLetterRow};
pub use derive::DeriveTx;
pub use devices::{DeviceRecord, NewDevice, PairingRecord};
pub use drivers::{DriverRecord, Identity, NewDriver};
pub use error::{Result, StoreError};
pub use fleets::{FleetRecord, GroupRecord, NewFleet};
pub use leases::Leases;
pub use operator::{ClientRecord, NewClient, NewTenant, OperatorCounts, OperatorStore, QuarantineRow, TenantRecord};
pub use outcomes::OutcomeCount;
pub use page::{Cursor, CursorError, Key, Listed, Order, Page};
pub use policies::{Cancellation, NewPolicy, PolicyFilter, PolicyRecord};
pub use policy_changes::{NewPolicyChange, PolicyAmendment, PolicyChange};
pub use premiums::{PremiumFilter, PremiumRow};
pub use queue::PgQueue;
pub use quotes::{Alternatives, NewQuote, QuoteRecord};
pub use scores::ScorePeriod;
pub use scratch::{Census, PayloadTable, Scratch};
pub use store::{ClientCredentials, Store, StoreOptions};
pub use tenant::TenantStore;
pub use trips::{StoredTrip, TripFilter, TripRow, content_hash};
pub use usage::{UsageDay, UsageFilter, UsageMonth};
pub use vehicles::{NewVehicle, VehicleKey, VehicleRecord};
pub use worker::{WorkerStore, WorkerTx};
pub use writes::Writes;
