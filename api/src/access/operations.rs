//! The table itself: every operation of the API, one entry each.

use super::{Access, Operation, Scope, Verb};

const fn operation_of(method: Verb, path: &'static str, id: &'static str, access: Access) -> Operation {
    Operation {
        method,
        path,
        id,
        access,
    }
}

const fn get(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Get, path, id, access)
}

const fn post(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Post, path, id, access)
}

const fn put(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Put, path, id, access)
}

const fn patch(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Patch, path, id, access)
}

const fn delete(path: &'static str, id: &'static str, access: Access) -> Operation {
    operation_of(Verb::Delete, path, id, access)
}

use Access::{Public, Widened, WidenedBy};

const fn needs(scope: Scope) -> Access {
    Access::Scope(scope)
}

/// A correction of scores or of a premium shows its figures to whoever may see scores or premiums.
const CORRECTED: &[Scope] = &[Scope::ScoresRead, Scope::PremiumsRead];

/// Every operation of the API.
pub(crate) const OPERATIONS: &[Operation] = &[
    post("/v1/oauth/token", "issue_token", Public),
    get("/.well-known/jwks.json", "get_jwks", Public),
    get("/healthz", "get_liveness", Public),
    get("/readyz", "get_readiness", Public),
    get("/openapi.json", "get_openapi", Public),
    post("/v1/telemetry/batches", "send_batch", needs(Scope::TelemetryWrite)),
    post("/v1/telemetry/bulk", "send_batches", needs(Scope::TelemetryWrite)),
    post("/v1/telemetry/traccar", "forward_traccar", needs(Scope::TelemetryWrite)),
    post("/v1/telemetry/flespi", "forward_flespi", needs(Scope::TelemetryWrite)),
    get(
        "/v1/telemetry/messages/{message_id}",
        "get_message",
        needs(Scope::TelemetryWrite),
    ),
    post("/v1/vehicles", "create_vehicle", needs(Scope::VehiclesWrite)),
    get("/v1/vehicles", "list_vehicles", needs(Scope::VehiclesRead)),
    get("/v1/vehicles/{vehicle}", "get_vehicle", needs(Scope::VehiclesRead)),
    patch("/v1/vehicles/{vehicle}", "update_vehicle", needs(Scope::VehiclesWrite)),
    post(
        "/v1/vehicles/{vehicle}/assignments",
        "create_assignment",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/assignments",
        "list_assignments",
        needs(Scope::VehiclesRead),
    ),
    post(
        "/v1/vehicles/{vehicle}/devices",
        "create_device",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/devices",
        "list_devices",
        needs(Scope::VehiclesRead),
    ),
    post(
        "/v1/vehicles/{vehicle}/assignments/{assignment}/end",
        "end_assignment",
        needs(Scope::VehiclesWrite),
    ),
    get("/v1/devices", "list_all_devices", needs(Scope::VehiclesRead)),
    get("/v1/devices/{device}", "get_device", needs(Scope::VehiclesRead)),
    post(
        "/v1/devices/{device}/pairings",
        "pair_device",
        needs(Scope::VehiclesWrite),
    ),
    post(
        "/v1/devices/{device}/removal",
        "remove_device",
        needs(Scope::VehiclesWrite),
    ),
    post(
        "/v1/devices/{device}/credentials",
        "create_device_credential",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/devices/{device}/credentials",
        "list_device_credentials",
        needs(Scope::VehiclesRead),
    ),
    delete(
        "/v1/devices/{device}/credentials/{credential}",
        "revoke_device_credential",
        needs(Scope::VehiclesWrite),
    ),
    post(
        "/v1/vehicles/{vehicle}/transfers",
        "transfer_vehicle",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/transfers",
        "list_transfers",
        needs(Scope::VehiclesRead),
    ),
    post(
        "/v1/vehicles/{vehicle}/odometer-changes",
        "change_odometer",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/odometer-changes",
        "list_odometer_changes",
        needs(Scope::VehiclesRead),
    ),
    delete(
        "/v1/vehicles/{vehicle}/transfers/{transfer}",
        "withdraw_transfer",
        needs(Scope::VehiclesWrite),
    ),
    delete(
        "/v1/vehicles/{vehicle}/odometer-changes/{change}",
        "withdraw_odometer_change",
        needs(Scope::VehiclesWrite),
    ),
    get(
        "/v1/vehicles/{vehicle}/events",
        "list_vehicle_events",
        needs(Scope::TripsRead),
    ),
    get(
        "/v1/vehicles/{vehicle}/events/{event_id}",
        "get_vehicle_event",
        Widened(Scope::TripsRead, Scope::TracksRead),
    ),
    post("/v1/fleets", "create_fleet", needs(Scope::FleetsWrite)),
    get("/v1/fleets", "list_fleets", needs(Scope::FleetsRead)),
    get("/v1/fleets/{fleet}", "get_fleet", needs(Scope::FleetsRead)),
    patch("/v1/fleets/{fleet}", "update_fleet", needs(Scope::FleetsWrite)),
    delete("/v1/fleets/{fleet}", "delete_fleet", needs(Scope::FleetsWrite)),
    get(
        "/v1/fleets/{fleet}/summary",
        "get_fleet_summary",
        needs(Scope::FleetsRead),
    ),
    get(
        "/v1/fleets/{fleet}/vehicles",
        "list_fleet_vehicles",
        needs(Scope::FleetsRead),
    ),
    put(
        "/v1/fleets/{fleet}/vehicles/{vehicle}",
        "add_fleet_vehicle",
        needs(Scope::FleetsWrite),
    ),
    delete(
        "/v1/fleets/{fleet}/vehicles/{vehicle}",
        "remove_fleet_vehicle",
        needs(Scope::FleetsWrite),
    ),
    post("/v1/fleets/{fleet}/groups", "create_group", needs(Scope::FleetsWrite)),
    get("/v1/fleets/{fleet}/groups", "list_groups", needs(Scope::FleetsRead)),
    get(
        "/v1/fleets/{fleet}/groups/{group}",
        "get_group",
        needs(Scope::FleetsRead),
    ),
    patch(
        "/v1/fleets/{fleet}/groups/{group}",
        "update_group",
        needs(Scope::FleetsWrite),
    ),
    delete(
        "/v1/fleets/{fleet}/groups/{group}",
        "delete_group",
        needs(Scope::FleetsWrite),
    ),
    get(
        "/v1/fleets/{fleet}/groups/{group}/vehicles",
        "list_group_vehicles",
        needs(Scope::FleetsRead),
    ),
    put(
        "/v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}",
        "add_group_vehicle",
        needs(Scope::FleetsWrite),
    ),
    delete(
        "/v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}",
        "remove_group_vehicle",
        needs(Scope::FleetsWrite),
    ),
    post(
        "/v1/drivers",
        "create_driver",
        Widened(Scope::DriversWrite, Scope::DriversIdentity),
    ),
    get("/v1/drivers", "list_drivers", needs(Scope::DriversRead)),
    get(
        "/v1/drivers/{driver}",
        "get_driver",
        Widened(Scope::DriversRead, Scope::DriversIdentity),
    ),
    patch(
        "/v1/drivers/{driver}",
        "update_driver",
        Widened(Scope::DriversWrite, Scope::DriversIdentity),
    ),
    post(
        "/v1/drivers/{driver}/departure",
        "driver_leaves",
        needs(Scope::DriversWrite),
    ),
    delete(
        "/v1/drivers/{driver}/departure",
        "driver_stays",
        needs(Scope::DriversWrite),
    ),
    get("/v1/drivers/{driver}/score", "get_score", needs(Scope::ScoresRead)),
    get("/v1/drivers/{driver}/scores", "list_scores", needs(Scope::ScoresRead)),
    get(
        "/v1/drivers/{driver}/report",
        "get_driver_report",
        Widened(Scope::ReportsRead, Scope::TracksRead),
    ),
    get(
        "/v1/fleets/{fleet}/report",
        "get_fleet_report",
        needs(Scope::ReportsRead),
    ),
    post("/v1/policies", "create_policy", needs(Scope::PoliciesWrite)),
    get("/v1/policies", "list_policies", needs(Scope::PoliciesRead)),
    get("/v1/policies/{policy}", "get_policy", needs(Scope::PoliciesRead)),
    patch("/v1/policies/{policy}", "update_policy", needs(Scope::PoliciesWrite)),
    post(
        "/v1/policies/{policy}/changes",
        "change_policy",
        needs(Scope::PoliciesWrite),
    ),
    get(
        "/v1/policies/{policy}/changes",
        "list_policy_changes",
        needs(Scope::PoliciesRead),
    ),
    post(
        "/v1/policies/{policy}/cancellation",
        "cancel_policy",
        needs(Scope::PoliciesWrite),
    ),
    get("/v1/policies/{policy}/usage", "list_usage", needs(Scope::PremiumsRead)),
    get(
        "/v1/policies/{policy}/premiums",
        "list_premiums",
        needs(Scope::PremiumsRead),
    ),
    post(
        "/v1/policies/{policy}/premiums",
        "rate_premium",
        needs(Scope::PremiumsWrite),
    ),
    get(
        "/v1/policies/{policy}/score",
        "get_policy_score",
        needs(Scope::ScoresRead),
    ),
    post(
        "/v1/policies/{policy}/quotes",
        "quote_policy_change",
        needs(Scope::PremiumsWrite),
    ),
    post("/v1/quotes", "create_quote", needs(Scope::PremiumsWrite)),
    get("/v1/quotes", "list_quotes", needs(Scope::PremiumsRead)),
    get("/v1/quotes/{quote}", "get_quote", needs(Scope::PremiumsRead)),
    get("/v1/usage", "list_all_usage", needs(Scope::PremiumsRead)),
    get("/v1/premiums", "list_all_premiums", needs(Scope::PremiumsRead)),
    get("/v1/premiums/{premium}", "get_premium", needs(Scope::PremiumsRead)),
    post("/v1/rating-plans", "create_rating_plan", needs(Scope::PlansWrite)),
    get("/v1/rating-plans", "list_rating_plans", needs(Scope::PlansRead)),
    get("/v1/rating-plans/{plan}", "get_rating_plan", needs(Scope::PlansRead)),
    post(
        "/v1/rating-plans/{plan}/versions",
        "add_rating_plan_version",
        needs(Scope::PlansWrite),
    ),
    get("/v1/trips", "list_trips", needs(Scope::TripsRead)),
    get("/v1/trips/{trip}", "get_trip", needs(Scope::TripsRead)),
    get("/v1/trips/{trip}/track", "get_track", needs(Scope::TracksRead)),
    get(
        "/v1/trips/{trip}/events",
        "list_trip_events",
        Widened(Scope::TripsRead, Scope::TracksRead),
    ),
    get("/v1/events", "list_events", needs(Scope::TripsRead)),
    get(
        "/v1/trips/{trip}/versions",
        "list_trip_versions",
        needs(Scope::TripsRead),
    ),
    get(
        "/v1/corrections",
        "list_corrections",
        WidenedBy(Scope::TripsRead, CORRECTED),
    ),
    get(
        "/v1/corrections/{correction}",
        "get_correction",
        WidenedBy(Scope::TripsRead, CORRECTED),
    ),
    get("/v1/dead-letters", "list_dead_letters", needs(Scope::DeadLettersRead)),
    get(
        "/v1/dead-letters/{dead_letter}",
        "get_dead_letter",
        // The payload can hold positions.
        Widened(Scope::DeadLettersRead, Scope::TracksRead),
    ),
    post(
        "/v1/dead-letters/resubmissions",
        "resubmit_dead_letters",
        needs(Scope::DeadLettersWrite),
    ),
    post(
        "/v1/dead-letters/discards",
        "discard_dead_letters",
        needs(Scope::DeadLettersWrite),
    ),
    post(
        "/v1/dead-letters/{dead_letter}/resubmission",
        "resubmit_dead_letter",
        needs(Scope::DeadLettersWrite),
    ),
    post(
        "/v1/dead-letters/{dead_letter}/discard",
        "discard_dead_letter",
        needs(Scope::DeadLettersWrite),
    ),
    get("/v1/outcomes", "get_outcomes", needs(Scope::DeadLettersRead)),
    get("/v1/settings", "get_settings", needs(Scope::SettingsRead)),
    patch("/v1/settings", "update_settings", needs(Scope::SettingsWrite)),
    post("/v1/tenants", "create_tenant", needs(Scope::TenantsWrite)),
    get("/v1/tenants", "list_tenants", needs(Scope::TenantsRead)),
    get("/v1/tenants/{tenant}", "get_tenant", needs(Scope::TenantsRead)),
    patch("/v1/tenants/{tenant}", "update_tenant", needs(Scope::TenantsWrite)),
    post(
        "/v1/tenants/{tenant}/clients",
        "create_client",
        needs(Scope::TenantsWrite),
    ),
    get(
        "/v1/tenants/{tenant}/clients",
        "list_clients",
        needs(Scope::TenantsRead),
    ),
    patch(
        "/v1/tenants/{tenant}/clients/{client}",
        "update_client",
        needs(Scope::TenantsWrite),
    ),
    post(
        "/v1/tenants/{tenant}/clients/{client}/secret",
        "rotate_client_secret",
        needs(Scope::TenantsWrite),
    ),
];
