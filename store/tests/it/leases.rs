//! Partitions change hands by leases that run out, and the epoch grows each time.

use chrono::TimeDelta;
use odograph_domain::{clock::Clock, id::WorkerId};

use crate::world::World;

const TTL: TimeDelta = TimeDelta::seconds(30);

#[tokio::test]
async fn partitions_are_shared_renewed_and_taken_over() {
    let world = World::new().await;
    let leases = world.store.leases();
    let (one, two): (WorkerId, WorkerId) = (world.id(), world.id());
    let now = || world.clock.now();

    let first = leases.acquire(one, 4, 3, now(), TTL).await.unwrap();
    assert_eq!(
        first
            .iter()
            .map(|lease| (lease.partition, lease.epoch))
            .collect::<Vec<_>>(),
        vec![(0, 1), (1, 1), (2, 1)]
    );
    assert_eq!(leases.acquire(two, 4, 4, now(), TTL).await.unwrap().len(), 1);
    assert!(leases.acquire(two, 4, 4, now(), TTL).await.unwrap().is_empty());
    assert_eq!(leases.attend(one, now(), TTL).await.unwrap(), vec![one]);
    assert_eq!(leases.attend(two, now(), TTL).await.unwrap().len(), 2);

    world.clock.advance(TimeDelta::seconds(20));
    assert_eq!(leases.renew(one, now(), TTL).await.unwrap().len(), 3);
    world.clock.advance(TimeDelta::seconds(20));
    // The second one's has run out, the first one's have not.
    let taken = leases.acquire(one, 4, 4, now(), TTL).await.unwrap();
    assert_eq!(
        taken
            .iter()
            .map(|lease| (lease.partition, lease.epoch))
            .collect::<Vec<_>>(),
        vec![(3, 2)]
    );
    assert!(leases.renew(two, now(), TTL).await.unwrap().is_empty());

    // Released, it is free at once; a release that comes too late takes nothing from its new owner.
    leases.release(&first).await.unwrap();
    let again = leases.acquire(two, 4, 1, now(), TTL).await.unwrap();
    assert_eq!((again[0].partition, again[0].epoch), (0, 2));
    leases.release(&first).await.unwrap();
    let held = leases.renew(two, now(), TTL).await.unwrap();
    assert_eq!(held.iter().map(|lease| lease.partition).collect::<Vec<_>>(), vec![0]);
    leases.leave(one).await.unwrap();
    assert_eq!(leases.attend(two, now(), TTL).await.unwrap(), vec![two]);
    // One that ran out and that nobody took is still its owner's.
    world.clock.advance(TimeDelta::seconds(60));
    assert_eq!(
        leases.renew(two, now(), TTL).await.unwrap(),
        vec![odograph_domain::lease::Lease {
            until: now() + TTL,
            ..again[0]
        }]
    );
}

#[tokio::test]
async fn two_workers_never_take_the_same_partition() {
    let world = World::new().await;
    let leases = world.store.leases();
    let take = |worker: WorkerId| {
        let (leases, now) = (leases.clone(), world.clock.now());
        async move { leases.acquire(worker, 16, 5, now, TTL).await.unwrap() }
    };
    let (a, b, c) = tokio::join!(take(world.id()), take(world.id()), take(world.id()));
    let mut partitions: Vec<u16> = [a, b, c].concat().iter().map(|lease| lease.partition).collect();
    let taken = partitions.len();
    partitions.sort_unstable();
    partitions.dedup();
    assert_eq!(partitions.len(), taken);
}
