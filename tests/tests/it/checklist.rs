//! Operations and tables answer what they are asked, the answers fit each other, and the page that lists them is current.

use std::collections::{BTreeMap, BTreeSet};

use odograph::checklist::{self, Scope, audited_as};
use odograph_domain::id::TenantId;
use odograph_store::{AuditRow, Page};
use odograph_tests::platform::Platform;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_operations_and_tables_is_current_and_without_contradictions() {
    let platform = Platform::start().await;
    let page = checklist::page(&platform.parts)
        .await
        .unwrap_or_else(|wrong| panic!("{wrong:#}"));
    platform.end().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations-matrix.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/operations-matrix.md is not what operations and tables answer; run `cargo run -- checklist`"
    );
}

/// What the audit log has gained since `known` entries, as the checklist writes it.
async fn gained(platform: &Platform, tenant: TenantId, known: &mut BTreeSet<uuid::Uuid>) -> BTreeSet<String> {
    let page = Page {
        after: None,
        limit: 200,
    };
    let log = platform
        .store(tenant)
        .audit_log(page)
        .await
        .expect("the audit log")
        .items;
    let new = |row: &AuditRow| {
        known
            .insert(row.id)
            .then(|| format!("{} {}", row.action, row.object_kind))
    };
    log.iter().filter_map(new).collect()
}

/// Every entry an operation says is left by one call or another, and no other is.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_audited_as_the_checklist_says() {
    let mut platform = Platform::start().await;
    let tenant = platform.tenant("audited").await;
    let api = platform.serve().await;
    let scopes: Vec<&str> = Scope::of_tenants().map(Scope::as_str).collect();
    let token = api.token(&platform.client(tenant, &scopes).await).await;
    let mut known = BTreeSet::new();
    gained(&platform, tenant, &mut known).await;
    let mut left: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (operation, method, path, body) in calls() {
        let body = (!body.is_null()).then_some(&body);
        let answer = api.send(method, &token, path, body).await;
        assert!(answer.status.is_success(), "{operation}: {answer:?}");
        left.entry(operation)
            .or_default()
            .extend(gained(&platform, tenant, &mut known).await);
    }
    let said = |operation: &str| audited_as(operation).iter().map(|entry| (*entry).to_owned()).collect();
    let wrong: Vec<_> = left
        .iter()
        .filter(|(operation, left)| **left != said(operation))
        .map(|(operation, left)| format!("{operation} says {:?} and left {left:?}", audited_as(operation)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    platform.end().await;
}

/// A life of a tenant, from the first driver to a premium.
fn calls() -> Vec<(&'static str, Method, &'static str, Value)> {
    let none = Value::Null;
    let terms = json!({ "currency": "EUR", "base_per_month": "10", "rate_per_km": "0.1",
        "rounding": { "step": "0.01", "mode": "half_up" } });
    let plan = json!({ "name": "standard", "effective_from": "2026-01-01", "terms": terms });
    let next = json!({ "name": "standard", "effective_from": "2030-01-01", "terms": terms });
    let third = json!({ "effective_from": "2031-01-01", "terms": terms });
    let change = json!({ "effective_on": "2026-03-01", "product": "payd" });
    let driver = json!({ "external_ref": "ada", "identity": { "name": "Ada Lovelace" } });
    let assignment = json!({ "driver": "ada", "from": "2026-01-01T00:00:00Z" });
    let assigned_again = json!({ "driver": "ada", "from": "2026-06-02T00:00:00Z" });
    let policy = json!({ "external_ref": "p", "vehicle": "car", "main_driver": "ada", "rating_plan": "standard",
        "product": "phyd", "currency": "EUR", "time_zone": "UTC", "starts_on": "2026-01-01" });
    vec![
        ("create_driver", Method::POST, "/v1/drivers", driver),
        ("get_driver", Method::GET, "/v1/drivers/ada", none.clone()),
        ("list_drivers", Method::GET, "/v1/drivers", none.clone()),
        (
            "update_driver",
            Method::PATCH,
            "/v1/drivers/ada",
            json!({ "external_ref": "ada", "identity": { "email": "ada@example.com" } }),
        ),
        (
            "create_vehicle",
            Method::POST,
            "/v1/vehicles",
            json!({ "external_ref": "car" }),
        ),
        ("get_vehicle", Method::GET, "/v1/vehicles/car", none.clone()),
        (
            "update_vehicle",
            Method::PATCH,
            "/v1/vehicles/car",
            json!({ "make": "Wartburg" }),
        ),
        (
            "create_fleet",
            Method::POST,
            "/v1/fleets",
            json!({ "external_ref": "vans", "name": "Vans" }),
        ),
        (
            "get_fleet_summary",
            Method::GET,
            "/v1/fleets/vans/summary",
            none.clone(),
        ),
        (
            "update_fleet",
            Method::PATCH,
            "/v1/fleets/vans",
            json!({ "name": "Light vans" }),
        ),
        (
            "create_group",
            Method::POST,
            "/v1/fleets/vans/groups",
            json!({ "external_ref": "north", "name": "North" }),
        ),
        (
            "update_group",
            Method::PATCH,
            "/v1/fleets/vans/groups/north",
            json!({ "name": "Far north" }),
        ),
        (
            "add_fleet_vehicle",
            Method::PUT,
            "/v1/fleets/vans/vehicles/car",
            none.clone(),
        ),
        (
            "add_group_vehicle",
            Method::PUT,
            "/v1/fleets/vans/groups/north/vehicles/car",
            none.clone(),
        ),
        (
            "remove_group_vehicle",
            Method::DELETE,
            "/v1/fleets/vans/groups/north/vehicles/car",
            none.clone(),
        ),
        (
            "remove_fleet_vehicle",
            Method::DELETE,
            "/v1/fleets/vans/vehicles/car",
            none.clone(),
        ),
        (
            "delete_group",
            Method::DELETE,
            "/v1/fleets/vans/groups/north",
            none.clone(),
        ),
        ("delete_fleet", Method::DELETE, "/v1/fleets/vans", none.clone()),
        (
            "update_settings",
            Method::PATCH,
            "/v1/settings",
            json!({ "trip": { "rest_s": 200 } }),
        ),
        (
            "create_device",
            Method::POST,
            "/v1/vehicles/car/devices",
            json!({ "external_ref": "dongle", "kind": "obd" }),
        ),
        (
            "create_assignment",
            Method::POST,
            "/v1/vehicles/car/assignments",
            assignment,
        ),
        ("create_rating_plan", Method::POST, "/v1/rating-plans", plan),
        ("create_rating_plan", Method::POST, "/v1/rating-plans", next),
        (
            "add_rating_plan_version",
            Method::POST,
            "/v1/rating-plans/standard/versions",
            third,
        ),
        ("create_policy", Method::POST, "/v1/policies", policy),
        (
            "quote_policy_change",
            Method::POST,
            "/v1/policies/p/quotes",
            json!({ "change": change, "from": "2026-03", "to": "2026-04" }),
        ),
        (
            "create_quote",
            Method::POST,
            "/v1/quotes",
            json!({ "product": "payd", "rating_plan": "standard", "km_per_month": "800", "starts_on": "2026-07-01" }),
        ),
        ("change_policy", Method::POST, "/v1/policies/p/changes", change),
        (
            "cancel_policy",
            Method::POST,
            "/v1/policies/p/cancellation",
            json!({ "ends_on": "2029-01-01" }),
        ),
        (
            "update_policy",
            Method::PATCH,
            "/v1/policies/p",
            json!({ "ends_on": null }),
        ),
        (
            "rate_premium",
            Method::POST,
            "/v1/policies/p/premiums",
            json!({ "period": "2026-01" }),
        ),
        ("list_premiums", Method::GET, "/v1/policies/p/premiums", none.clone()),
        (
            "create_fleet",
            Method::POST,
            "/v1/fleets",
            json!({ "external_ref": "sellers", "name": "Sellers" }),
        ),
        (
            "create_fleet",
            Method::POST,
            "/v1/fleets",
            json!({ "external_ref": "buyers", "name": "Buyers" }),
        ),
        (
            "add_fleet_vehicle",
            Method::PUT,
            "/v1/fleets/sellers/vehicles/car",
            none.clone(),
        ),
        (
            "transfer_vehicle",
            Method::POST,
            "/v1/vehicles/car/transfers",
            json!({ "at": "2026-06-01T12:00:00Z", "fleet": "buyers", "removed_devices": ["dongle"] }),
        ),
        (
            "list_transfers",
            Method::GET,
            "/v1/vehicles/car/transfers",
            none.clone(),
        ),
        (
            "create_device",
            Method::POST,
            "/v1/vehicles/car/devices",
            json!({ "external_ref": "spare", "kind": "obd", "from": "2026-06-02T00:00:00Z" }),
        ),
        (
            "pair_device",
            Method::POST,
            "/v1/devices/dongle/pairings",
            json!({ "vehicle": "car", "from": "2026-07-01T00:00:00Z", "replaces": "spare" }),
        ),
        (
            "create_device_credential",
            Method::POST,
            "/v1/devices/dongle/credentials",
            none.clone(),
        ),
        (
            "list_device_credentials",
            Method::GET,
            "/v1/devices/dongle/credentials",
            none.clone(),
        ),
        ("get_device", Method::GET, "/v1/devices/dongle", none.clone()),
        (
            "remove_device",
            Method::POST,
            "/v1/devices/dongle/removal",
            json!({ "at": "2026-08-01T00:00:00Z" }),
        ),
        (
            "change_odometer",
            Method::POST,
            "/v1/vehicles/car/odometer-changes",
            json!({ "at": "2026-08-01T00:00:00Z" }),
        ),
        (
            "create_assignment",
            Method::POST,
            "/v1/vehicles/car/assignments",
            assigned_again,
        ),
        (
            "driver_leaves",
            Method::POST,
            "/v1/drivers/ada/departure",
            json!({ "at": "2026-09-01T00:00:00Z" }),
        ),
        (
            "driver_stays",
            Method::DELETE,
            "/v1/drivers/ada/departure",
            none.clone(),
        ),
        ("list_trips", Method::GET, "/v1/trips", none.clone()),
        ("get_outcomes", Method::GET, "/v1/outcomes", none),
    ]
}
