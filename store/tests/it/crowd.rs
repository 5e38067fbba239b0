//! Workers, derivers and the api at once: nobody waits in a circle, and nothing is lost.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use odograph_domain::{
    clock::Clock,
    correction::{Cause, Why},
    id::{VehicleId, WorkerId},
    intake::DirtyWindow,
    lease::Lease,
    time::Window,
};
use odograph_store::{NewAssignment, NewVehicle, Writes};

use crate::world::{Insurer, World, event_time, samples, tally, utc};

const PARTITIONS: u16 = 3;
const BATCHES: u32 = 12;

/// One partition's worker: each micro-batch writes to both of its vehicles, for the one driver that all share.
async fn work(world: &World, insurer: &Insurer, lease: Lease, vehicles: [VehicleId; 2]) {
    for i in 0..BATCHES {
        let mut tx = world.work(&lease, insurer.tenant).await;
        tx.lock(&vehicles.map(|vehicle| (insurer.tenant, vehicle)))
            .await
            .unwrap();
        let mut writes = Writes::default();
        for vehicle in vehicles {
            let mut batch = insurer.batch(world, &format!("b-{i}"), samples("2026-02-01T08:00:00Z", 5));
            batch.key.vehicle = vehicle;
            writes.batches.push(batch);
            let window = Window {
                from: event_time("2026-02-01T08:00:00Z"),
                to: event_time("2026-02-01T08:00:05Z"),
            };
            let due_at = utc("2026-02-01T09:00:00Z");
            writes.dirty.push(DirtyWindow {
                tenant: insurer.tenant,
                vehicle,
                window,
                due_at,
                at_once: i % 2 == 0,
                cause: Cause::of(Why::NewData),
                open_s: None,
            });
            writes.outcomes.push((insurer.tenant, tally(5, 5, &[])));
        }
        tx.enter(&writes.batches.iter().collect::<Vec<_>>()).await.unwrap();
        tx.write(&writes).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn derive(world: &World, insurer: &Insurer, working: &AtomicUsize) {
    loop {
        let last_look = working.load(Ordering::SeqCst) == 0;
        let claimed = world
            .store
            .worker()
            .next_due(world.clock.now(), Some(insurer.tenant), true)
            .await
            .unwrap();
        let Some(mut tx) = claimed else {
            if last_look {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            continue;
        };
        tx.lock_drivers(&[insurer.driver]).await.unwrap();
        tx.compact(event_time("2026-02-02T00:00:00Z")).await.unwrap();
        tx.commit(None).await.unwrap();
    }
}

/// Assignments of a past that has no data, and one of the time that has.
async fn assign(world: &World, insurer: &Insurer, vehicles: &[VehicleId]) {
    let first: DateTime<Utc> = utc("2025-01-01T00:00:00Z");
    for (place, vehicle) in vehicles.iter().enumerate() {
        let from = if place % 2 == 0 {
            utc("2026-02-01T00:00:00Z")
        } else {
            first + TimeDelta::days(place as i64)
        };
        let new = NewAssignment {
            vehicle: odograph_domain::id::IdOrRef::Id(*vehicle),
            driver: odograph_domain::id::IdOrRef::Id(insurer.driver),
            from,
            to: Some(from + TimeDelta::days(1)),
        };
        insurer.view(world).create_assignment(new).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_loses_nothing_and_does_not_deadlock() {
    let world = Arc::new(World::new().await);
    let insurer = Arc::new(world.insurer("a").await);
    let mut vehicles = vec![];
    for _ in 0..2 * PARTITIONS {
        vehicles.push(
            insurer
                .view(&world)
                .create_vehicle(NewVehicle::default())
                .await
                .unwrap()
                .id,
        );
    }
    let worker: WorkerId = world.id();
    let now = world.clock.now();
    let leases = world
        .store
        .leases()
        .acquire(worker, PARTITIONS, PARTITIONS, now, TimeDelta::seconds(30))
        .await
        .unwrap();
    let working = Arc::new(AtomicUsize::new(leases.len()));

    let mut tasks = vec![];
    for (lease, pair) in leases.into_iter().zip(vehicles.clone().chunks(2)) {
        let (world, insurer, working) = (world.clone(), insurer.clone(), working.clone());
        let pair = [pair[0], pair[1]];
        tasks.push(tokio::spawn(async move {
            work(&world, &insurer, lease, pair).await;
            working.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    for _ in 0..2 {
        let (world, insurer, working) = (world.clone(), insurer.clone(), working.clone());
        tasks.push(tokio::spawn(async move { derive(&world, &insurer, &working).await }));
    }
    {
        let (world, insurer) = (world.clone(), insurer.clone());
        tasks.push(tokio::spawn(async move { assign(&world, &insurer, &vehicles).await }));
    }
    for task in tasks {
        task.await.unwrap();
    }

    // The assignments may have marked a window after the last look.
    derive(&world, &insurer, &AtomicUsize::new(0)).await;
    let counts = world.store.operator().counts().await.unwrap();
    assert_eq!((counts.dirty, counts.journal_rows), (0, 0));
    let received = insurer.view(&world).outcome_counts(None, None).await.unwrap();
    let received = received.iter().find(|count| count.outcome == "received").unwrap();
    assert_eq!(received.samples, i64::from(BATCHES) * i64::from(PARTITIONS) * 2 * 5);
}
