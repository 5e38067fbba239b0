//! Everything that touches the database: the only crate that knows SQL.
//!
//! What a caller may see hangs off a value: [`Store::tenant`] for one tenant, [`Store::worker`] for the tenants of a
//! micro-batch, [`Store::operator`] for the platform. Each runs its transactions under its own role, and row-level security
//! bounds them a second time. A row of another tenant is [`StoreError::NotFound`], like one that is not there.

mod assignments;
mod audit;
mod bridge;
mod checklist;
mod contexts;
mod corrections;
mod crypto;
mod dead_letters;
mod departures;
mod derive;
mod device_credentials;
mod devices;
mod dirty;
mod drivers;
mod error;
mod events;
mod fleet_summary;
mod fleets;
mod generations;
mod groups;
mod idempotency;
mod import_runs;
mod known_contexts;
mod lake;
mod leases;
mod ledger;
mod messages;
mod odometer_changes;
mod operator;
mod outcomes;
mod page;
mod pairings;
mod platform;
mod policies;
mod policy_changes;
mod premiums;
mod queue;
mod quotes;
mod rating_inputs;
mod rating_plans;
mod raw;
mod reports;
mod resolve;
mod resubmissions;
mod scores;
mod scratch;
mod session;
mod store;
mod tenant;
mod transfers;
mod trip_history;
mod trip_writes;
mod trips;
mod usage;
mod vehicles;
mod watching;
mod worker;
mod writes;

pub use assignments::{AssignmentRecord, NewAssignment};
pub use audit::AuditRow;
pub use checklist::TableAnswers;
pub use corrections::{CorrectionFilter, CorrectionRow};
pub use crypto::MasterKey;
pub use dead_letters::{DeadLetterFilter, DeadLetterRow, LetterStatus};
pub use departures::Departed;
pub use derive::{DeriveTx, TripTotals};
pub use device_credentials::{DeviceCredentialRecord, DeviceLogin};
pub use devices::{DeviceRecord, NewDevice};
pub use drivers::{DriverFilter, DriverRecord, Identity, NewDriver};
pub use error::{Result, StoreError};
pub use events::{EventFilter, EventOrder, EventRow, Position};
pub use fleet_summary::{FleetScore, FleetSummary};
pub use fleets::{FleetRecord, NewFleet};
pub use generations::{Attended, GenerationRow, Generations};
pub use groups::{GroupRecord, NewGroup};
pub use idempotency::{Attempt, KeptAnswer, KeyClaim, KeyTimes, KeyedRequest};
pub use lake::{
    Fault, LakeOptions, LakeStatus, LakeStore, RawCompacted, RawPut, RawSynced, Tidied, TripsPut, TripsSynced, Verified,
};
pub use leases::Leases;
pub use messages::{Admitted, Arrival, MessageRow, Settled, Settlement};
pub use odometer_changes::{NewOdometerChange, OdometerChangeRecord};
pub use operator::{ClientRecord, NewClient, NewTenant, OperatorCounts, OperatorStore, QuarantineRow, TenantRecord};
pub use outcomes::OutcomeCount;
pub use page::{Cursor, CursorError, Key, Listed, Order, Page};
pub use pairings::{NewPairing, PairedAs, PairingRecord};
pub use platform::OperatorClientRecord;
pub use policies::{Cancellation, NewPolicy, PolicyFilter, PolicyRecord};
pub use policy_changes::{NewPolicyChange, PolicyAmendment, PolicyChange};
pub use premiums::{PremiumFilter, PremiumRow, PutPremium};
pub use queue::PgQueue;
pub use quotes::{Alternatives, NewQuote, QuoteRecord};
pub use raw::{Dropped, EncodingFigures, Hold, NewHold, measure_encodings, samples_as_parquet};
pub use reports::{
    Driven, DrivenBehaviour, DrivenDay, DrivenFrom, DrivenHour, Member, MileageShare, Span, Thresholds, Whose,
};
pub use resubmissions::{Claim, Letters};
pub use scores::{ScoreChange, ScorePeriod, ScoreRow};
pub use scratch::{Census, PayloadTable, Scratch};
pub use store::{ClientCredentials, Realm, Store, StoreOptions};
pub use tenant::TenantStore;
pub use transfers::{NewTransfer, TransferRecord, Transferred};
pub use trip_history::TripVersion;
pub use trips::{StoredTrip, TripFilter, TripKey, TripRow, content_hash};
pub use usage::{UsageDay, UsageFilter, UsageMonth};
pub use vehicles::{NewVehicle, VehicleFilter, VehicleKey, VehicleRecord};
pub use watching::{Connections, Figures, OpenLetters};
pub use worker::{WorkerStore, WorkerTx};
pub use writes::Writes;
