//! What every operation answers, beside what every table does (see migrations/0002): which class of data it shows, for which
//! purpose, whether the call is in the audit log, what a second call does, and which tables it rests on. How long something is
//! kept, whether a person's export holds it and what erasing a person does to it are answers of those tables.
//!
//! An operation whose answers are missing fails the tests; `odograph checklist` writes them into docs/operations-matrix.md.

/// What kind of data an answer can hold, as the tables have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Operational,
    Personal,
    Mileage,
    Behaviour,
    Track,
    Money,
    Secret,
}

impl Class {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Personal => "personal",
            Self::Mileage => "mileage",
            Self::Behaviour => "behaviour",
            Self::Track => "track",
            Self::Money => "money",
            Self::Secret => "secret",
        }
    }
}

/// What whoever is insured has the data used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the words an operation may choose from, in use yet or not")]
pub(crate) enum Purpose {
    /// Running the service; no person's consent is needed.
    Operation,
    /// The insurance contract: who, what, how far, how much.
    Contract,
    /// How somebody drives: only what product and consent allow is there to be shown.
    Behaviour,
    /// Managing vehicles of a fleet.
    Fleet,
    /// Clearing up what happened in an accident.
    Claims,
    /// Who did what.
    Accountability,
}

impl Purpose {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Contract => "insurance contract",
            Self::Behaviour => "pricing by behaviour, by product and consent",
            Self::Fleet => "fleet management",
            Self::Claims => "claims",
            Self::Accountability => "accountability",
        }
    }
}

/// What the audit log says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audit {
    No,
    /// Entries as `action kind`, such as `create vehicle`.
    As(&'static [&'static str]),
}

/// What the same call does when it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It only reads.
    Reads,
    /// Nothing more: the state is what the first left.
    Same,
    /// The first answer again under the same `Idempotency-Key`; without one, another thing or a conflict.
    Keyed,
    /// Refused, where `If-Match` names the state before the first.
    Guarded,
    /// Its own work once more.
    Anew,
}

impl Again {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Same => "changes nothing more",
            Self::Keyed => "`Idempotency-Key`",
            Self::Guarded => "`If-Match`",
            Self::Anew => "does it anew",
        }
    }
}

/// The answers of one operation. What it does not say is `None`, and the tests tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers {
    pub(crate) operation: &'static str,
    pub(crate) shows: Option<&'static [Class]>,
    pub(crate) purpose: Option<Purpose>,
    pub(crate) audit: Option<Audit>,
    pub(crate) again: Option<Again>,
    pub(crate) tables: Option<&'static [&'static str]>,
}

const fn of(operation: &'static str) -> Answers {
    Answers {
        operation,
        shows: None,
        purpose: None,
        audit: None,
        again: None,
        tables: None,
    }
}

impl Answers {
    /// The classes of data its answer can hold.
    const fn shows(mut self, classes: &'static [Class]) -> Self {
        self.shows = Some(classes);
        self
    }

    const fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// The call is in the audit log, as these entries (`action kind`).
    const fn audited(mut self, entries: &'static [&'static str]) -> Self {
        self.audit = Some(Audit::As(entries));
        self
    }

    const fn unaudited(mut self) -> Self {
        self.audit = Some(Audit::No);
        self
    }

    /// What a second call does; a GET only reads and need not say so.
    const fn again(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    /// The tables it reads or writes for the caller.
    const fn tables(mut self, tables: &'static [&'static str]) -> Self {
        self.tables = Some(tables);
        self
    }
}

use Again::{Anew, Guarded, Keyed, Same};
use Class::{Behaviour, Mileage, Money, Operational, Personal, Secret, Track};

/// The answers of every operation of [`super::OPERATIONS`]; one line each.
#[rustfmt::skip]
pub(crate) const ANSWERS: &[Answers] = &[
    of("issue_token").shows(&[Secret]).purpose(Purpose::Operation).unaudited().again(Anew).tables(&["client", "operator_client"]),
    of("get_jwks").shows(&[]).purpose(Purpose::Operation).unaudited().tables(&[]),
    of("get_liveness").shows(&[]).purpose(Purpose::Operation).unaudited().tables(&[]),
    of("get_readiness").shows(&[]).purpose(Purpose::Operation).unaudited().tables(&[]),
    of("get_openapi").shows(&[]).purpose(Purpose::Operation).unaudited().tables(&[]),
    // Sent again, a batch is dropped by the ledger.
    of("send_batch").shows(&[Operational]).purpose(Purpose::Contract).unaudited().again(Same).tables(&["vehicle", "message", "queue_message", "batch_ledger", "raw_journal", "dead_letter", "outcome_count"]),
    of("send_batches").shows(&[Operational]).purpose(Purpose::Contract).unaudited().again(Same).tables(&["vehicle", "message", "queue_message", "batch_ledger", "raw_journal", "dead_letter", "outcome_count"]),
    of("forward_traccar").shows(&[Operational]).purpose(Purpose::Contract).unaudited().again(Same).tables(&["vehicle", "message", "queue_message", "batch_ledger", "raw_journal", "dead_letter", "outcome_count"]),
    of("forward_flespi").shows(&[Operational]).purpose(Purpose::Contract).unaudited().again(Same).tables(&["vehicle", "message", "queue_message", "batch_ledger", "raw_journal", "dead_letter", "outcome_count"]),
    of("get_message").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["message", "dead_letter"]),
    of("create_vehicle").shows(&[Personal]).purpose(Purpose::Contract).audited(&["create vehicle"]).again(Keyed).tables(&["vehicle"]),
    of("list_vehicles").shows(&[Personal]).purpose(Purpose::Contract).unaudited().tables(&["vehicle"]),
    of("get_vehicle").shows(&[Personal]).purpose(Purpose::Contract).unaudited().tables(&["vehicle"]),
    of("update_vehicle").shows(&[Personal]).purpose(Purpose::Contract).audited(&["update vehicle"]).again(Guarded).tables(&["vehicle"]),
    of("create_assignment").shows(&[Personal]).purpose(Purpose::Contract).audited(&["create assignment"]).again(Keyed).tables(&["assignment"]),
    of("list_assignments").shows(&[Personal]).purpose(Purpose::Contract).unaudited().tables(&["assignment"]),
    of("create_device").shows(&[Operational]).purpose(Purpose::Contract).audited(&["create device", "pair device"]).again(Keyed).tables(&["device", "device_pairing"]),
    of("list_devices").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["device", "device_pairing"]),
    of("end_assignment").shows(&[Personal]).purpose(Purpose::Contract).audited(&["end assignment"]).again(Same).tables(&["assignment"]),
    of("list_all_devices").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["device", "device_pairing"]),
    of("get_device").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["device", "device_pairing"]),
    of("pair_device").shows(&[Operational]).purpose(Purpose::Contract).audited(&["pair device", "remove device"]).again(Keyed).tables(&["device", "device_pairing"]),
    of("remove_device").shows(&[Operational]).purpose(Purpose::Contract).audited(&["remove device"]).again(Same).tables(&["device", "device_pairing"]),
    of("create_device_credential").shows(&[Secret]).purpose(Purpose::Contract).audited(&["create device_credential"]).again(Keyed).tables(&["device_credential", "device"]),
    of("list_device_credentials").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["device_credential", "device"]),
    of("revoke_device_credential").shows(&[]).purpose(Purpose::Contract).audited(&["revoke device_credential"]).again(Same).tables(&["device_credential", "device"]),
    of("transfer_vehicle").shows(&[Operational]).purpose(Purpose::Contract).audited(&["transfer vehicle", "end assignment", "cancel policy", "remove device", "remove fleet", "add fleet"]).again(Keyed).tables(&["vehicle_transfer", "assignment", "policy", "device_pairing", "fleet_vehicle", "fleet_vehicle_past", "group_vehicle"]),
    of("list_transfers").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["vehicle_transfer"]),
    of("withdraw_transfer").shows(&[]).purpose(Purpose::Contract).audited(&["withdraw transfer"]).again(Same).tables(&["vehicle_transfer", "fleet_vehicle", "fleet_vehicle_past"]),
    of("withdraw_odometer_change").shows(&[]).purpose(Purpose::Contract).audited(&["withdraw odometer_change"]).again(Same).tables(&["odometer_change"]),
    of("change_odometer").shows(&[Mileage]).purpose(Purpose::Contract).audited(&["create odometer_change"]).again(Keyed).tables(&["odometer_change"]),
    of("list_odometer_changes").shows(&[Mileage]).purpose(Purpose::Contract).unaudited().tables(&["odometer_change"]),
    of("list_vehicle_events").shows(&[Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["behaviour_event", "trip"]),
    of("get_vehicle_event").shows(&[Behaviour, Track]).purpose(Purpose::Behaviour).audited(&["read track"]).tables(&["behaviour_event", "trip", "raw_journal", "raw_block", "lake_block", "lake_file"]),
    of("create_fleet").shows(&[Operational]).purpose(Purpose::Fleet).audited(&["create fleet"]).again(Keyed).tables(&["fleet"]),
    of("list_fleets").shows(&[Operational]).purpose(Purpose::Fleet).unaudited().tables(&["fleet"]),
    of("get_fleet").shows(&[Operational]).purpose(Purpose::Fleet).unaudited().tables(&["fleet"]),
    of("update_fleet").shows(&[Operational]).purpose(Purpose::Fleet).audited(&["update fleet"]).again(Guarded).tables(&["fleet"]),
    of("delete_fleet").shows(&[]).purpose(Purpose::Fleet).audited(&["delete fleet"]).again(Guarded).tables(&["fleet", "fleet_vehicle", "vehicle_group", "group_vehicle"]),
    of("get_fleet_summary").shows(&[Mileage, Behaviour]).purpose(Purpose::Fleet).unaudited().tables(&["fleet", "fleet_vehicle", "trip", "trip_features", "behaviour_event", "score"]),
    of("list_fleet_vehicles").shows(&[Personal]).purpose(Purpose::Fleet).unaudited().tables(&["fleet", "fleet_vehicle", "vehicle"]),
    of("add_fleet_vehicle").shows(&[]).purpose(Purpose::Fleet).audited(&["add fleet"]).again(Same).tables(&["fleet", "fleet_vehicle", "vehicle"]),
    of("remove_fleet_vehicle").shows(&[]).purpose(Purpose::Fleet).audited(&["remove fleet"]).again(Same).tables(&["fleet", "fleet_vehicle", "group_vehicle", "vehicle"]),
    of("create_group").shows(&[Operational]).purpose(Purpose::Fleet).audited(&["create group"]).again(Keyed).tables(&["fleet", "vehicle_group"]),
    of("list_groups").shows(&[Operational]).purpose(Purpose::Fleet).unaudited().tables(&["fleet", "vehicle_group"]),
    of("get_group").shows(&[Operational]).purpose(Purpose::Fleet).unaudited().tables(&["fleet", "vehicle_group"]),
    of("update_group").shows(&[Operational]).purpose(Purpose::Fleet).audited(&["update group"]).again(Guarded).tables(&["fleet", "vehicle_group"]),
    of("delete_group").shows(&[]).purpose(Purpose::Fleet).audited(&["delete group"]).again(Guarded).tables(&["vehicle_group", "group_vehicle"]),
    of("list_group_vehicles").shows(&[Personal]).purpose(Purpose::Fleet).unaudited().tables(&["vehicle_group", "group_vehicle", "vehicle"]),
    of("add_group_vehicle").shows(&[]).purpose(Purpose::Fleet).audited(&["add group"]).again(Same).tables(&["vehicle_group", "group_vehicle", "vehicle"]),
    of("remove_group_vehicle").shows(&[]).purpose(Purpose::Fleet).audited(&["remove group"]).again(Same).tables(&["vehicle_group", "group_vehicle", "vehicle"]),
    of("create_driver").shows(&[Personal]).purpose(Purpose::Contract).audited(&["create driver"]).again(Keyed).tables(&["driver", "driver_identity"]),
    of("list_drivers").shows(&[Personal]).purpose(Purpose::Contract).unaudited().tables(&["driver"]),
    of("get_driver").shows(&[Personal]).purpose(Purpose::Contract).audited(&["read driver_identity"]).tables(&["driver", "driver_identity"]),
    of("update_driver").shows(&[Personal]).purpose(Purpose::Contract).audited(&["update driver", "write driver_identity", "read driver_identity"]).again(Guarded).tables(&["driver", "driver_identity"]),
    of("driver_leaves").shows(&[Personal]).purpose(Purpose::Contract).audited(&["leave driver", "end assignment"]).again(Same).tables(&["driver", "assignment", "policy", "policy_change"]),
    of("driver_stays").shows(&[]).purpose(Purpose::Contract).audited(&["stay driver"]).again(Same).tables(&["driver"]),
    of("get_score").shows(&[Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["score"]),
    of("list_scores").shows(&[Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["score", "score_history"]),
    of("get_driver_report").shows(&[Mileage, Behaviour, Money, Personal, Track]).purpose(Purpose::Behaviour).audited(&["read track", "read driver_identity"]).tables(&["driver", "driver_identity", "trip", "trip_features", "behaviour_event", "score", "premium", "policy", "policy_change", "raw_journal", "raw_block", "lake_block", "lake_file"]),
    of("get_fleet_report").shows(&[Mileage, Behaviour]).purpose(Purpose::Fleet).unaudited().tables(&["fleet", "fleet_vehicle", "vehicle", "driver", "trip", "trip_features", "behaviour_event", "score"]),
    of("create_policy").shows(&[Money]).purpose(Purpose::Contract).audited(&["create policy"]).again(Keyed).tables(&["policy"]),
    of("list_policies").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["policy"]),
    of("get_policy").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["policy"]),
    of("update_policy").shows(&[Money]).purpose(Purpose::Contract).audited(&["update policy"]).again(Guarded).tables(&["policy", "dirty_window", "rating_due"]),
    of("change_policy").shows(&[Money]).purpose(Purpose::Contract).audited(&["change policy"]).again(Keyed).tables(&["policy", "policy_change", "rating_plan_version", "dirty_window", "rating_due"]),
    of("list_policy_changes").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["policy_change"]),
    of("cancel_policy").shows(&[Money]).purpose(Purpose::Contract).audited(&["cancel policy"]).again(Guarded).tables(&["policy", "dirty_window", "rating_due"]),
    of("get_policy_score").shows(&[Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["policy", "score"]),
    of("quote_policy_change").shows(&[Money]).purpose(Purpose::Contract).audited(&["quote quote"]).again(Keyed).tables(&["quote", "policy", "policy_change", "usage_day", "score", "rating_plan_version"]),
    of("create_quote").shows(&[Money]).purpose(Purpose::Contract).audited(&["quote quote"]).again(Keyed).tables(&["quote", "rating_plan_version", "score"]),
    of("list_quotes").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["quote"]),
    of("get_quote").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["quote"]),
    of("list_all_usage").shows(&[Mileage]).purpose(Purpose::Contract).unaudited().tables(&["usage_day", "policy", "premium"]),
    of("list_all_premiums").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["premium", "policy"]),
    of("list_usage").shows(&[Mileage]).purpose(Purpose::Contract).unaudited().tables(&["usage_day"]),
    of("list_premiums").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["premium"]),
    of("rate_premium").shows(&[Money]).purpose(Purpose::Contract).audited(&["rate premium"]).again(Same).tables(&["premium", "usage_day", "score", "rating_plan_version"]),
    of("get_premium").shows(&[Money]).purpose(Purpose::Contract).unaudited().tables(&["premium"]),
    of("create_rating_plan").shows(&[Operational]).purpose(Purpose::Contract).audited(&["create rating_plan", "create rating_plan_version"]).again(Keyed).tables(&["rating_plan", "rating_plan_version"]),
    of("add_rating_plan_version").shows(&[Operational]).purpose(Purpose::Contract).audited(&["create rating_plan_version"]).again(Same).tables(&["rating_plan", "rating_plan_version"]),
    of("list_rating_plans").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["rating_plan", "rating_plan_version"]),
    of("get_rating_plan").shows(&[Operational]).purpose(Purpose::Contract).unaudited().tables(&["rating_plan", "rating_plan_version"]),
    of("list_trips").shows(&[Mileage]).purpose(Purpose::Contract).unaudited().tables(&["trip"]),
    of("get_trip").shows(&[Mileage, Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["trip", "trip_features", "behaviour_event"]),
    of("get_track").shows(&[Track]).purpose(Purpose::Claims).audited(&["read track"]).tables(&["trip", "raw_journal", "raw_block", "lake_block", "lake_file"]),
    of("list_trip_events").shows(&[Behaviour, Track]).purpose(Purpose::Behaviour).audited(&["read track"]).tables(&["behaviour_event", "trip", "raw_journal", "raw_block", "lake_block", "lake_file"]),
    of("list_events").shows(&[Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["behaviour_event", "trip"]),
    of("list_trip_versions").shows(&[Mileage, Behaviour]).purpose(Purpose::Behaviour).unaudited().tables(&["trip", "trip_features", "behaviour_event", "trip_history"]),
    of("list_corrections").shows(&[Mileage, Behaviour, Money]).purpose(Purpose::Contract).unaudited().tables(&["correction", "trip", "premium"]),
    of("get_correction").shows(&[Mileage, Behaviour, Money]).purpose(Purpose::Contract).unaudited().tables(&["correction", "trip", "premium"]),
    of("list_dead_letters").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["dead_letter"]),
    // The payload can hold positions.
    of("get_dead_letter").shows(&[Operational, Track]).purpose(Purpose::Operation).audited(&["read dead_letter"]).tables(&["dead_letter"]),
    // To send a payload again it is read.
    of("resubmit_dead_letters").shows(&[Operational]).purpose(Purpose::Operation).audited(&["read dead_letter", "resubmit dead_letter"]).again(Same).tables(&["dead_letter", "message", "queue_message"]),
    of("discard_dead_letters").shows(&[Operational]).purpose(Purpose::Operation).audited(&["discard dead_letter"]).again(Same).tables(&["dead_letter"]),
    of("resubmit_dead_letter").shows(&[Operational]).purpose(Purpose::Operation).audited(&["read dead_letter", "resubmit dead_letter"]).again(Same).tables(&["dead_letter", "message", "queue_message"]),
    of("discard_dead_letter").shows(&[Operational]).purpose(Purpose::Operation).audited(&["discard dead_letter"]).again(Same).tables(&["dead_letter"]),
    of("get_outcomes").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["outcome_count"]),
    of("get_settings").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["tenant"]),
    of("update_settings").shows(&[Operational]).purpose(Purpose::Operation).audited(&["settings tenant"]).again(Guarded).tables(&["tenant"]),
    of("create_tenant").shows(&[Operational]).purpose(Purpose::Operation).audited(&["create tenant"]).again(Anew).tables(&["tenant"]),
    of("list_tenants").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["tenant"]),
    of("get_tenant").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["tenant"]),
    of("update_tenant").shows(&[Operational]).purpose(Purpose::Operation).audited(&["update tenant"]).again(Guarded).tables(&["tenant"]),
    of("create_client").shows(&[Secret]).purpose(Purpose::Operation).audited(&["create client"]).again(Anew).tables(&["client"]),
    of("list_clients").shows(&[Operational]).purpose(Purpose::Operation).unaudited().tables(&["client"]),
    of("update_client").shows(&[Operational]).purpose(Purpose::Operation).audited(&["update client"]).again(Same).tables(&["client"]),
    of("rotate_client_secret").shows(&[Secret]).purpose(Purpose::Operation).audited(&["rotate client"]).again(Anew).tables(&["client"]),
];

pub(crate) fn answers(operation: &str) -> Option<&'static Answers> {
    ANSWERS.iter().find(|answers| answers.operation == operation)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::{OPERATIONS, Verb};

    #[test]
    fn every_operation_answers_every_question() {
        let mut missing = Vec::new();
        for operation in OPERATIONS {
            let Some(answers) = answers(operation.id) else {
                missing.push(format!("{}: everything", operation.id));
                continue;
            };
            let questions = [
                ("shows", answers.shows.is_some()),
                ("purpose", answers.purpose.is_some()),
                ("audited or unaudited", answers.audit.is_some()),
                ("again", answers.again.is_some() || operation.method == Verb::Get),
                ("tables", answers.tables.is_some()),
            ];
            let unanswered = questions.iter().filter(|(_, answered)| !answered);
            missing.extend(unanswered.map(|(question, _)| format!("{}: {question}", operation.id)));
        }
        assert!(
            missing.is_empty(),
            "answer in api/src/access/checklist.rs:\n{}",
            missing.join("\n")
        );
    }

    #[test]
    fn every_answer_is_of_an_operation_and_given_once() {
        let known: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        let mut seen = BTreeSet::new();
        for answers in ANSWERS {
            assert!(
                known.contains(answers.operation),
                "there is no operation {}",
                answers.operation
            );
            assert!(seen.insert(answers.operation), "{} answers twice", answers.operation);
        }
    }

    #[test]
    fn what_needs_no_token_shows_nothing_of_a_tenant_and_what_reads_says_so() {
        for operation in OPERATIONS {
            let Some(answers) = answers(operation.id) else { continue };
            if operation.access.required().is_none() && operation.id != "issue_token" {
                assert_eq!(answers.shows, Some(&[][..]), "{}", operation.id);
            }
            if operation.method == Verb::Get {
                assert!(matches!(answers.again, None | Some(Again::Reads)), "{}", operation.id);
            } else {
                assert_ne!(answers.again, Some(Again::Reads), "{}", operation.id);
            }
        }
    }

    /// Where somebody was is shown to nobody without the scope for it, and never unseen.
    #[test]
    fn tracks_need_their_scope_and_are_audited() {
        for answers in ANSWERS
            .iter()
            .filter(|a| a.shows.is_some_and(|s| s.contains(&Class::Track)))
        {
            let operation = OPERATIONS.iter().find(|known| known.id == answers.operation);
            let scopes = operation.map(|known| known.access.scopes()).unwrap_or_default();
            assert!(
                scopes.contains(&super::super::Scope::TracksRead),
                "{}",
                answers.operation
            );
            assert!(matches!(answers.audit, Some(Audit::As(_))), "{}", answers.operation);
        }
    }
}
