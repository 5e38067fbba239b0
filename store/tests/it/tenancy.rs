//! A tenant finds its own things, by id and by reference, and nothing of another's.

use odograph_domain::{
    id::{ClientId, IdOrRef},
    policy::{Month, Product},
};
use odograph_store::{
    DeadLetterFilter, NewAssignment, NewClient, NewPolicyChange, NewVehicle, Order, Page, PolicyFilter, Realm,
    StoreError, TripFilter, VehicleFilter, VehicleKey, Writes,
};

use crate::world::{Insurer, World, day, policy_of, tally, terms, utc};

fn missing<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound { .. })), "{result:?}");
}

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, detail: &str) {
    match result {
        Err(StoreError::Conflict { detail: told, .. }) => assert!(told.contains(detail), "{told}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_made_is_found_again_by_id_and_by_reference() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let by_ref = own.vehicle(&"car-1".parse().unwrap()).await.unwrap();
    assert_eq!(own.vehicle(&IdOrRef::Id(a.vehicle)).await.unwrap(), by_ref);
    assert_eq!(own.resolve_vehicle("car-1").await.unwrap(), Some(a.vehicle));
    assert_eq!(
        own.resolve_vehicle(&a.vehicle.to_string()).await.unwrap(),
        Some(a.vehicle)
    );
    assert_eq!(own.resolve_vehicle(" not a reference ").await.unwrap(), None);
    assert_eq!(own.resolve_driver("ada").await.unwrap(), Some(a.driver));
    assert_eq!(
        own.driver_identity(a.driver).await.unwrap().unwrap().name.as_deref(),
        Some("Ada Lovelace")
    );
    assert_eq!(
        own.policy(&IdOrRef::Id(a.policy)).await.unwrap().policy.vehicle,
        a.vehicle
    );
    assert_eq!(
        own.rating_plan(&"standard".parse().unwrap()).await.unwrap().terms,
        terms()
    );
    let context = own.vehicle_context(a.vehicle).await.unwrap();
    assert_eq!(context.driver_at(utc("2026-02-01T00:00:00Z")), Some(a.driver));
    // Cover begins with the day in Berlin.
    assert!(context.behaviour_allowed(utc("2025-12-31T23:00:00Z")));
    assert!(!context.behaviour_allowed(utc("2025-12-31T22:59:59Z")));
    let actions: Vec<String> = own
        .audit_log(Page::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|row| row.object_kind)
        .collect();
    assert!(
        actions.contains(&"driver_identity".to_owned()) && actions.contains(&"policy".to_owned()),
        "{actions:?}"
    );
}

#[tokio::test]
async fn another_tenants_things_are_not_there() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let b = world.insurer("b").await;
    let a_trip = with_a_trip(&world, &a).await;
    let (letter, premium) = with_a_letter_and_a_premium(&world, &a).await;
    let other = b.view(&world).with_tracks();

    missing(other.vehicle(&IdOrRef::Id(a.vehicle)).await);
    missing(other.driver(&IdOrRef::Id(a.driver)).await);
    missing(other.driver_identity(a.driver).await);
    missing(other.set_driver_identity(a.driver, &Default::default()).await);
    missing(other.assignments(&IdOrRef::Id(a.vehicle), Page::default()).await);
    missing(other.vehicle_pairings(&IdOrRef::Id(a.vehicle), None).await);
    missing(other.transfers(&IdOrRef::Id(a.vehicle), Page::default()).await);
    missing(other.odometer_changes(&IdOrRef::Id(a.vehicle), Page::default()).await);
    missing(other.vehicle_context(a.vehicle).await);
    missing(other.policy(&IdOrRef::Id(a.policy)).await);
    missing(other.rating_plan(&IdOrRef::Id(a.plan)).await);
    missing(other.rating_plan_version(a.plan, 1).await);
    missing(other.rating_plan_versions(&IdOrRef::Id(a.plan)).await);
    missing(
        other
            .add_rating_plan_version(&IdOrRef::Id(a.plan), day("2027-01-01"), &terms())
            .await,
    );
    missing(other.trip(a_trip).await);
    missing(other.track(a_trip).await);
    missing(other.latest_score(a.driver, None).await);
    missing(other.scores(a.driver, (None, None), true, Page::default()).await);
    missing(other.policy_changes(a.policy, Page::default()).await);
    let payd = NewPolicyChange {
        effective_on: day("2026-05-01"),
        product: Some(Product::Payd),
        plan: None,
        main_driver: None,
        reason: None,
    };
    missing(other.if_changed(a.policy, payd.clone(), &[]).await);
    missing(other.change_policy(&IdOrRef::Id(a.policy), None, payd).await);
    missing(
        other
            .cancel_policy(&IdOrRef::Id(a.policy), None, day("2026-05-01"), None)
            .await,
    );
    missing(other.update_policy(&IdOrRef::Id(a.policy), None, |_| {}).await);
    missing(
        other
            .usage_by_policy(a.policy, day("2026-01-01"), day("2026-12-31"))
            .await,
    );
    missing(other.premiums(a.policy, None, true, Page::default()).await);
    missing(other.premium(premium).await);
    missing(other.rating_inputs(a.policy, "2026-02".parse().unwrap()).await);
    missing(other.dead_letter(letter).await);
    let mut policy = policy_of("car-1", day("2020-01-01"), Some(day("2020-02-01")));
    policy.main_driver = Some(IdOrRef::Id(a.driver));
    missing(other.create_policy(policy).await);
    let assignment = NewAssignment {
        vehicle: IdOrRef::Id(a.vehicle),
        driver: IdOrRef::Id(b.driver),
        from: utc("2020-01-01T00:00:00Z"),
        to: None,
    };
    missing(other.create_assignment(assignment).await);

    assert_eq!(other.resolve_vehicle(&a.vehicle.to_string()).await.unwrap(), None);
    assert!(
        other
            .trips(TripFilter::default(), Page::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        other
            .dead_letters(DeadLetterFilter::default(), Page::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(other.outcome_counts(None, None).await.unwrap().is_empty());
    let policies = other
        .policies(
            PolicyFilter {
                vehicle: Some(a.vehicle),
            },
            Page::default(),
        )
        .await
        .unwrap();
    assert!(policies.items.is_empty());
    assert_eq!(other.vehicles(Page::default()).await.unwrap().items.len(), 1);
    // The tenant a finds them all.
    a.view(&world).trip(a_trip).await.unwrap();
    a.view(&world).dead_letter(letter).await.unwrap();
    a.view(&world).premium(premium).await.unwrap();
}

async fn with_a_trip(world: &World, insurer: &Insurer) -> odograph_domain::id::TripId {
    let dirty = insurer.dirty(
        "2026-02-01T08:00:00Z",
        "2026-02-01T09:00:00Z",
        "2026-02-01T00:00:00Z",
        true,
    );
    world
        .write(
            insurer,
            Writes {
                dirty: vec![dirty],
                ..Writes::default()
            },
        )
        .await;
    let mut tx = world
        .store
        .worker()
        .next_due(utc("2026-03-01T00:00:00Z"), None, false)
        .await
        .unwrap()
        .unwrap();
    let trip = insurer.trip(world.id(), "2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z");
    tx.put_trips(&[], std::slice::from_ref(&trip)).await.unwrap();
    tx.commit(None).await.unwrap();
    trip.id
}

async fn with_a_letter_and_a_premium(
    world: &World,
    insurer: &Insurer,
) -> (odograph_domain::id::DeadLetterId, odograph_domain::id::PremiumId) {
    let own = insurer.view(world);
    own.put_dead_letter(&insurer.letter(world.id(), b"{}"), &tally(1, 0, &[("ts_in_future", 1)]))
        .await
        .unwrap();
    let letter = own
        .dead_letters(DeadLetterFilter::default(), Page::default())
        .await
        .unwrap()
        .items[0]
        .id;
    let inputs = own
        .rating_inputs(insurer.policy, "2026-02".parse().unwrap())
        .await
        .unwrap();
    let premium = odograph_domain::money::Money::new("10.00".parse().unwrap(), inputs.terms.currency);
    let rated = odograph_domain::rating::RatedPremium {
        interpreter: 1,
        inputs,
        steps: vec![],
        premium,
    };
    (letter, own.put_premium(insurer.policy, &rated).await.unwrap().id)
}

#[tokio::test]
async fn references_and_names_are_unique_within_a_tenant() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let again = NewVehicle {
        external_ref: Some("car-1".parse().unwrap()),
        ..NewVehicle::default()
    };
    conflict(own.create_vehicle(again).await, "external_ref is taken");
    conflict(
        own.create_rating_plan("standard", day("2025-01-01"), &terms()).await,
        "name is taken",
    );
    // Without a reference there may be many.
    own.create_vehicle(NewVehicle::default()).await.unwrap();
    own.create_vehicle(NewVehicle::default()).await.unwrap();
    let invalid = NewVehicle {
        vin: Some("nul \0".into()),
        ..NewVehicle::default()
    };
    assert!(matches!(
        own.create_vehicle(invalid).await,
        Err(StoreError::Invalid { .. })
    ));
}

#[tokio::test]
async fn assignments_and_policies_of_a_vehicle_do_not_overlap() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let assignment = |from: &str, to: Option<&str>| NewAssignment {
        vehicle: "car-1".parse().unwrap(),
        driver: "ada".parse().unwrap(),
        from: utc(from),
        to: to.map(utc),
    };
    conflict(
        own.create_assignment(assignment("2027-01-01T00:00:00Z", None)).await,
        "overlaps assignment",
    );
    let before = assignment("2025-06-01T00:00:00Z", Some("2026-01-01T00:00:00Z"));
    own.create_assignment(before).await.unwrap();
    let empty = assignment("2024-06-01T00:00:00Z", Some("2024-06-01T00:00:00Z"));
    assert!(matches!(
        own.create_assignment(empty).await,
        Err(StoreError::Invalid { .. })
    ));

    conflict(
        own.create_policy(policy_of("car-1", day("2025-06-01"), None)).await,
        "overlaps policy",
    );
    own.create_policy(policy_of("car-1", day("2025-06-01"), Some(day("2026-01-01"))))
        .await
        .unwrap();
    // The same days in another zone are other instants.
    let mut shifted = policy_of("car-1", day("2025-01-01"), Some(day("2025-06-01")));
    shifted.time_zone = chrono_tz::America::New_York;
    conflict(own.create_policy(shifted).await, "overlaps policy");
    let mut dollars = policy_of("car-1", day("2020-01-01"), Some(day("2020-02-01")));
    dollars.currency = odograph_domain::money::Currency::parse("USD").unwrap();
    conflict(own.create_policy(dollars).await, "rating plan in EUR");
}

#[tokio::test]
async fn pages_show_everything_once() {
    let world = World::new().await;
    let tenant = world.empty_tenant("a").await;
    let own = world.store.tenant(tenant);
    for _ in 0..7 {
        own.create_vehicle(NewVehicle::default()).await.unwrap();
    }
    let mut seen = vec![];
    let mut page = Page { after: None, limit: 3 };
    loop {
        let listed = own.vehicles(page.clone()).await.unwrap();
        assert!(listed.items.len() <= 3);
        seen.extend(listed.items.into_iter().map(|vehicle| vehicle.id));
        let Some(next) = listed.next else { break };
        page.after = Some(next.to_string().parse().unwrap());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn a_list_is_sorted_either_way_across_its_pages() {
    let world = World::new().await;
    let tenant = world.empty_tenant("a").await;
    let own = world.store.tenant(tenant);
    for reference in [Some("b"), None, Some("c"), None, Some("a")] {
        let external_ref = reference.map(|text| text.parse().unwrap());
        let new = NewVehicle {
            external_ref,
            ..NewVehicle::default()
        };
        own.create_vehicle(new).await.unwrap();
    }
    for by in [VehicleKey::CreatedAt, VehicleKey::ExternalRef] {
        let mut seen = [vec![], vec![]];
        for (descending, seen) in [false, true].into_iter().zip(&mut seen) {
            let mut page = Page { after: None, limit: 2 };
            loop {
                let listed = own
                    .find_vehicles(VehicleFilter::default(), Order { by, descending }, page.clone())
                    .await
                    .unwrap();
                seen.extend(
                    listed
                        .items
                        .into_iter()
                        .map(|vehicle| (vehicle.external_ref, vehicle.id)),
                );
                let Some(next) = listed.next else { break };
                page.after = Some(next.to_string().parse().unwrap());
            }
            assert_eq!(seen.len(), 5, "{by:?}");
        }
        let [up, mut down] = seen;
        down.reverse();
        assert_eq!(up, down, "{by:?}");
        let references: Vec<_> = up
            .iter()
            .map(|(reference, _)| reference.as_ref().map_or("", |r| r.as_str()))
            .collect();
        let wanted = match by {
            VehicleKey::CreatedAt => ["b", "", "c", "", "a"],
            VehicleKey::ExternalRef => ["", "", "a", "b", "c"],
        };
        assert_eq!(references, wanted);
    }
}

#[tokio::test]
async fn clients_are_looked_up_before_their_tenant_is_known() {
    let world = World::new().await;
    let tenant = world.empty_tenant("a").await;
    let operator = world.store.operator();
    let new = NewClient {
        name: "pricing".into(),
        secret_hash: "$argon2id$x".into(),
        scopes: vec!["trips:read".into()],
    };
    let client = operator.create_client(tenant, new).await.unwrap();
    let found = world.store.client_credentials(client.id).await.unwrap().unwrap();
    assert_eq!(
        (found.realm, found.disabled, found.scopes.len()),
        (Realm::Tenant(tenant), false, 1)
    );
    operator.disable_client(tenant, client.id).await.unwrap();
    assert!(
        world
            .store
            .client_credentials(client.id)
            .await
            .unwrap()
            .unwrap()
            .disabled
    );
    assert_eq!(
        world.store.client_credentials(world.id::<ClientId>()).await.unwrap(),
        None
    );
    missing(operator.disable_client(tenant, world.id()).await);
    // Who acts is in the log.
    let acting = world.store.tenant(tenant).acting_as(client.id);
    acting.create_vehicle(NewVehicle::default()).await.unwrap();
    assert_eq!(
        acting.audit_log(Page::default()).await.unwrap().items[0].actor,
        Some(client.id)
    );
}

#[tokio::test]
async fn the_plan_version_in_force_on_the_first_covered_day_rates_the_month() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let plan = IdOrRef::Id(a.plan);
    let second = own
        .add_rating_plan_version(&plan, day("2026-02-01"), &terms())
        .await
        .unwrap();
    assert_eq!(second.version, 2);
    own.add_rating_plan_version(&plan, day("2026-02-02"), &terms())
        .await
        .unwrap();
    let month = |text: &str| text.parse::<Month>().unwrap();
    let january = own.rating_inputs(a.policy, month("2026-01")).await.unwrap();
    assert_eq!(
        (january.plan_version, january.covered_days, january.period_days),
        (1, 31, 31)
    );
    assert_eq!(
        own.rating_inputs(a.policy, month("2026-02"))
            .await
            .unwrap()
            .plan_version,
        2
    );
    assert_eq!(
        own.rating_inputs(a.policy, month("2026-03"))
            .await
            .unwrap()
            .plan_version,
        3
    );
    missing(own.rating_inputs(a.policy, month("2025-12")).await);
}
