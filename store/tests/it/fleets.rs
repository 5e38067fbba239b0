//! Fleets, groups, and lists that are narrowed by them.

use odograph_domain::id::IdOrRef;
use odograph_store::{
    DriverFilter, NewFleet, NewGroup, NewVehicle, Order, Page, StoreError, TenantStore, VehicleFilter, VehicleKey,
};

use crate::world::{World, day};

fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, says: &str) {
    let error = result.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains(says), "{error}");
}

fn missing<T: std::fmt::Debug>(result: Result<T, StoreError>, wanted: &str) {
    assert!(
        matches!(&result, Err(StoreError::NotFound { kind }) if *kind == wanted),
        "{result:?}"
    );
}

fn fleet(name: &str) -> NewFleet {
    NewFleet {
        external_ref: Some(name.parse().unwrap()),
        name: name.into(),
    }
}

fn group(name: &str) -> NewGroup {
    NewGroup {
        external_ref: Some(name.parse().unwrap()),
        name: name.into(),
    }
}

async fn references(own: &TenantStore, filter: VehicleFilter, order: Order<VehicleKey>, limit: u16) -> Vec<String> {
    let mut seen = vec![];
    let mut page = Page { after: None, limit };
    loop {
        let listed = own.find_vehicles(filter.clone(), order, page.clone()).await.unwrap();
        seen.extend(listed.items.into_iter().map(|vehicle| {
            vehicle
                .external_ref
                .map_or("-".to_owned(), |reference| reference.to_string())
        }));
        let Some(next) = listed.next else { return seen };
        page.after = Some(next);
    }
}

#[tokio::test]
async fn a_vehicle_is_in_one_fleet_and_in_groups_of_it_only() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    own.create_fleet(fleet("north")).await.unwrap();
    own.create_fleet(fleet("south")).await.unwrap();
    let (north, south) = ("north".parse().unwrap(), "south".parse().unwrap());
    own.create_group(&north, group("vans")).await.unwrap();
    let vans = "vans".parse().unwrap();
    let car = "car-1".parse().unwrap();
    conflict(own.add_to_group(&north, &vans, &car).await, "not in the group's fleet");
    own.add_to_fleet(&north, &car).await.unwrap();
    own.add_to_fleet(&north, &car).await.unwrap();
    conflict(own.add_to_fleet(&south, &car).await, "in another fleet");
    own.add_to_group(&north, &vans, &car).await.unwrap();
    own.add_to_group(&north, &vans, &car).await.unwrap();
    missing(own.group(Some(&south), &vans).await, "group");
    missing(own.add_to_group(&south, &vans, &car).await, "group");
    let vans_id = own.group(None, &vans).await.unwrap().id;
    let in_group = VehicleFilter {
        group: Some(vans_id),
        ..VehicleFilter::default()
    };
    assert_eq!(
        references(&own, in_group.clone(), Order::ascending(VehicleKey::CreatedAt), 5).await,
        ["car-1"]
    );
    let driver = DriverFilter {
        group: Some(vans_id),
        ..DriverFilter::default()
    };
    assert_eq!(
        own.find_drivers(driver, Page::default()).await.unwrap().items[0].id,
        a.driver
    );
    // Out of the fleet is out of its groups.
    own.remove_from_fleet(&north, &car).await.unwrap();
    missing(own.remove_from_fleet(&north, &car).await, "vehicle");
    assert!(
        references(&own, in_group, Order::ascending(VehicleKey::CreatedAt), 5)
            .await
            .is_empty()
    );
    own.add_to_fleet(&south, &car).await.unwrap();
    conflict(own.create_group(&north, group("vans")).await, "a group of this name");
}

#[tokio::test]
async fn a_fleet_that_is_given_up_takes_its_groups_along_and_leaves_its_vehicles() {
    let world = World::new().await;
    let own = world.insurer("a").await.view(&world);
    let record = own.create_fleet(fleet("north")).await.unwrap();
    let north = IdOrRef::Id(record.id);
    own.create_group(&north, group("vans")).await.unwrap();
    let car = "car-1".parse().unwrap();
    own.add_to_fleet(&north, &car).await.unwrap();
    own.add_to_group(&north, &"vans".parse().unwrap(), &car).await.unwrap();
    let renamed = own
        .update_fleet(&north, Some(&[1]), |fleet| fleet.name = "Far north".into())
        .await
        .unwrap();
    assert_eq!((renamed.revision, renamed.name.as_str()), (2, "Far north"));
    let stale = own.delete_fleet(&north, Some(&[1])).await;
    assert!(matches!(stale, Err(StoreError::Stale { revision: 2, .. })), "{stale:?}");
    own.delete_fleet(&north, Some(&[2])).await.unwrap();
    missing(own.fleet(&north).await, "fleet");
    missing(own.group(None, &"vans".parse().unwrap()).await, "group");
    assert_eq!(own.vehicle(&car).await.unwrap().external_ref.unwrap().as_str(), "car-1");
    let summary = own.fleet_summary(&north, day("2026-01-01"), day("2026-12-31")).await;
    missing(summary, "fleet");
}

#[tokio::test]
async fn vehicles_are_listed_in_every_order_without_gaps() {
    let world = World::new().await;
    let tenant = world.empty_tenant("a").await;
    let own = world.store.tenant(tenant);
    for name in ["b-2", "a-1", "", "b-1", "c", "B-3", "ä"] {
        let external_ref = (!name.is_empty()).then(|| name.parse().unwrap());
        own.create_vehicle(NewVehicle {
            external_ref,
            ..NewVehicle::default()
        })
        .await
        .unwrap();
    }
    let all = VehicleFilter::default;
    let created = references(&own, all(), Order::ascending(VehicleKey::CreatedAt), 2).await;
    assert_eq!(created, ["b-2", "a-1", "-", "b-1", "c", "B-3", "ä"]);
    let mut last = references(&own, all(), Order::descending(VehicleKey::CreatedAt), 2).await;
    last.reverse();
    assert_eq!(last, created);
    let by_name = references(&own, all(), Order::ascending(VehicleKey::ExternalRef), 2).await;
    assert_eq!(by_name, ["-", "B-3", "a-1", "b-1", "b-2", "c", "ä"]);
    let prefix = VehicleFilter {
        reference_prefix: Some("b-".into()),
        ..all()
    };
    assert_eq!(
        references(&own, prefix, Order::ascending(VehicleKey::ExternalRef), 1).await,
        ["b-1", "b-2"]
    );
    // A prefix is no pattern.
    let wild = VehicleFilter {
        reference_prefix: Some("%".into()),
        ..all()
    };
    assert!(
        references(&own, wild, Order::ascending(VehicleKey::ExternalRef), 1)
            .await
            .is_empty()
    );
}
