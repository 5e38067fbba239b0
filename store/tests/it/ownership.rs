//! Devices that move and vehicles that change hands.

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    clock::Clock,
    id::{DeviceId, IdOrRef, VehicleId},
};
use odograph_store::{NewDevice, NewFleet, NewPairing, NewTransfer, NewVehicle, Page, StoreError, TenantStore};

use crate::world::{World, utc};

/// Where a device is, as `vehicle from to` of each stretch; absent bounds are `-`.
async fn whereabouts(own: &TenantStore, device: DeviceId) -> Vec<(VehicleId, u8, String)> {
    let told = |at: Option<DateTime<Utc>>| at.map_or("-".to_owned(), |at| at.format("%H").to_string());
    let known = own.device_pairings(&[device]).await.unwrap();
    known
        .into_iter()
        .map(|record| record.pairing)
        .map(|pairing| {
            (
                pairing.vehicle,
                pairing.rank,
                format!("{} {}", told(pairing.from), told(pairing.to)),
            )
        })
        .collect()
}

fn pairing(device: DeviceId, vehicle: &str, from: Option<&str>) -> NewPairing {
    NewPairing {
        device: IdOrRef::Id(device),
        vehicle: vehicle.parse().unwrap(),
        rank: Some(1),
        from: from.map(utc),
        replaces: None,
    }
}

#[tokio::test]
async fn a_device_is_in_one_vehicle_at_a_time_in_whatever_order_that_is_filed() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let other = NewVehicle {
        external_ref: Some("car-2".parse().unwrap()),
        ..NewVehicle::default()
    };
    let other = own.create_vehicle(other).await.unwrap().id;
    let device = NewDevice {
        external_ref: Some("obd-1".parse().unwrap()),
        kind: "obd".into(),
    };
    let device = own.create_device(device).await.unwrap().id;
    own.pair_device(pairing(device, "car-1", None)).await.unwrap();
    // Another rank of the same stay.
    let again = NewPairing {
        rank: Some(4),
        ..pairing(device, "car-1", Some("2026-01-01T10:00:00Z"))
    };
    own.pair_device(again).await.unwrap();
    assert_eq!(whereabouts(&own, device).await, [(a.vehicle, 4, "- -".to_owned())]);
    let unsaid = own.pair_device(pairing(device, "car-2", None)).await;
    assert!(
        matches!(unsaid, Err(StoreError::Conflict { kind: "device", .. })),
        "{unsaid:?}"
    );

    let moved = own
        .pair_device(pairing(device, "car-2", Some("2026-01-01T12:00:00Z")))
        .await
        .unwrap();
    assert_eq!(moved.moved_from, Some(a.vehicle));
    // Filed afterwards: it had been back in the first from 14 to 16, and gone from 20 on.
    own.pair_device(pairing(device, "car-1", Some("2026-01-01T14:00:00Z")))
        .await
        .unwrap();
    own.pair_device(pairing(device, "car-2", Some("2026-01-01T16:00:00Z")))
        .await
        .unwrap();
    own.remove_device(&IdOrRef::Id(device), utc("2026-01-01T20:00:00Z"))
        .await
        .unwrap();
    let stays = [
        (a.vehicle, 4, "- 12".to_owned()),
        (other, 1, "12 14".to_owned()),
        (a.vehicle, 1, "14 16".to_owned()),
        (other, 1, "16 20".to_owned()),
    ];
    assert_eq!(whereabouts(&own, device).await, stays);
    // It is in none then: nothing changes.
    own.remove_device(&IdOrRef::Id(device), utc("2026-01-01T21:00:00Z"))
        .await
        .unwrap();
    assert_eq!(whereabouts(&own, device).await, stays);
    // In between of what is known: until the next thing that is.
    own.pair_device(pairing(device, "car-1", Some("2026-01-01T13:00:00Z")))
        .await
        .unwrap();
    let known = whereabouts(&own, device).await;
    assert_eq!((known[1].2.as_str(), known[2].2.as_str()), ("12 13", "13 14"));
}

#[tokio::test]
async fn what_changed_hands_is_in_the_context_and_in_no_fleet() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let car = IdOrRef::Id(a.vehicle);
    let fleet = |name: &str| NewFleet {
        external_ref: Some(name.parse().unwrap()),
        name: name.into(),
    };
    let (north, south) = (
        own.create_fleet(fleet("north")).await.unwrap().id,
        own.create_fleet(fleet("south")).await.unwrap().id,
    );
    own.add_to_fleet(&IdOrRef::Id(north), &car).await.unwrap();
    let at = utc("2026-02-10T09:30:00Z");
    let sale = NewTransfer {
        vehicle: car.clone(),
        at,
        reason: Some("sold".into()),
        fleet: Some(IdOrRef::Id(south)),
        removed_devices: vec![],
    };
    let done = own.transfer_vehicle(sale.clone()).await.unwrap();
    assert_eq!((done.fleet, done.record.at), (Some(north), at));
    let twice = own.transfer_vehicle(sale.clone()).await;
    assert!(
        matches!(twice, Err(StoreError::Conflict { kind: "transfer", .. })),
        "{twice:?}"
    );
    let ahead = NewTransfer {
        at: world.clock.now() + TimeDelta::days(1),
        ..sale
    };
    let ahead = own.transfer_vehicle(ahead).await;
    assert!(
        matches!(ahead, Err(StoreError::Invalid { kind: "transfer", .. })),
        "{ahead:?}"
    );
    let context = own.vehicle_context(a.vehicle).await.unwrap();
    assert_eq!(context.handovers, [at]);
    assert!(
        context.covers.iter().all(|cover| cover.to.is_some_and(|to| to <= at)),
        "{:?}",
        context.covers
    );
    assert_eq!(context.driver_at(at), None);
    let listed = own.transfers(&car, Page::default()).await.unwrap();
    assert_eq!(listed.items, [done.record]);
}
