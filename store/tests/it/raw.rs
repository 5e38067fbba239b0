//! Raw data comes back as it came, before and after compaction, until its subject is erased.

use odograph_domain::{batch::RawSample, clock::Clock, time::Window};
use odograph_store::{DeriveTx, Writes};
use sqlx::{Connection, PgConnection};

use crate::world::{Insurer, World, event_time, samples};

async fn claim(world: &World) -> DeriveTx {
    world
        .store
        .worker()
        .next_due(world.clock.now(), None, true)
        .await
        .unwrap()
        .unwrap()
}

fn window(from: &str, to: &str) -> Window {
    Window {
        from: event_time(from),
        to: event_time(to),
    }
}

const ALL: (&str, &str) = ("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z");

/// Three batches of ten samples: at 08:00:00, 08:00:05 (overlapping the first) and 09:00:00.
async fn world_with_data() -> (World, Insurer, Vec<RawSample>) {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let starts = ["2026-02-01T09:00:00Z", "2026-02-01T08:00:00Z", "2026-02-01T08:00:05Z"];
    let batches: Vec<_> = starts
        .iter()
        .enumerate()
        .map(|(i, start)| a.batch(&world, &format!("b-{i}"), samples(start, 10)))
        .collect();
    let mut all: Vec<RawSample> = batches.iter().flat_map(|batch| batch.samples[0].1.clone()).collect();
    all.sort_by_key(|raw| (raw.sample.ts, raw.sample.speed_kmh.map(f64::to_bits)));
    // Each by itself: what is committed together shares a row.
    for batch in batches {
        let writes = Writes {
            batches: vec![batch],
            ..Writes::default()
        };
        world.write(&a, writes).await;
    }
    let dirty = vec![a.dirty(ALL.0, ALL.1, "2026-02-01T00:00:00Z", true)];
    let writes = Writes {
        dirty,
        ..Writes::default()
    };
    world.write(&a, writes).await;
    (world, a, all)
}

fn sorted(mut raw: Vec<RawSample>) -> Vec<RawSample> {
    raw.sort_by_key(|raw| (raw.sample.ts, raw.sample.speed_kmh.map(f64::to_bits)));
    raw
}

#[tokio::test]
async fn compaction_changes_nothing_but_where_it_lies() {
    let (world, _, all) = world_with_data().await;
    let mut tx = claim(&world).await;
    let early = window("2026-02-01T08:00:03Z", "2026-02-01T08:00:06Z");
    assert_eq!(sorted(tx.raw(window(ALL.0, ALL.1)).await.unwrap()), all);
    assert_eq!(tx.raw(early).await.unwrap().len(), 6);
    // Only what lies wholly before.
    assert_eq!(tx.compact(event_time("2026-02-01T08:00:14Z")).await.unwrap(), 1);
    assert_eq!(sorted(tx.raw(window(ALL.0, ALL.1)).await.unwrap()), all);
    assert_eq!(tx.compact(event_time(ALL.1)).await.unwrap(), 2);
    assert_eq!(sorted(tx.raw(window(ALL.0, ALL.1)).await.unwrap()), all);
    assert_eq!(tx.raw(early).await.unwrap().len(), 6);
    tx.commit(None).await.unwrap();
    let counts = world.store.operator().counts().await.unwrap();
    assert_eq!((counts.journal_rows, counts.blocks), (0, 2));
}

#[tokio::test]
async fn the_next_sample_is_found_inside_rows_and_between_them() {
    let (world, _, _) = world_with_data().await;
    let mut tx = claim(&world).await;
    for _ in 0..2 {
        let at = event_time("2026-02-01T08:00:07Z");
        assert_eq!(
            tx.raw_after(at).await.unwrap(),
            Some(event_time("2026-02-01T08:00:08Z"))
        );
        let at = event_time("2026-02-01T08:30:00Z");
        assert_eq!(
            tx.raw_after(at).await.unwrap(),
            Some(event_time("2026-02-01T09:00:00Z"))
        );
        assert_eq!(tx.raw_after(event_time("2026-02-01T09:00:09Z")).await.unwrap(), None);
        // And the same from blocks.
        tx.compact(event_time(ALL.1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_subject_without_its_key_is_erased_in_journal_and_blocks() {
    let (world, a, _) = world_with_data().await;
    let mut tx = claim(&world).await;
    tx.compact(event_time("2026-02-01T08:30:00Z")).await.unwrap();
    tx.commit(None).await.unwrap();
    let mut conn = PgConnection::connect(&world.database.url).await.unwrap();
    sqlx::query("UPDATE subject_key SET wrapped = NULL, destroyed_at = now()")
        .execute(&mut conn)
        .await
        .unwrap();
    let dirty = vec![a.dirty(ALL.0, ALL.1, "2026-02-01T00:00:00Z", true)];
    world
        .write(
            &a,
            Writes {
                dirty,
                ..Writes::default()
            },
        )
        .await;
    let mut tx = claim(&world).await;
    assert!(tx.raw(window(ALL.0, ALL.1)).await.unwrap().is_empty());
    assert_eq!(a.view(&world).driver_identity(a.driver).await.unwrap(), None);
    // What comes later has a key of its own.
    tx.commit(None).await.unwrap();
    let batches = vec![a.batch(&world, "later", samples("2026-02-01T10:00:00Z", 2))];
    let dirty = vec![a.dirty(ALL.0, ALL.1, "2026-02-01T00:00:00Z", true)];
    world
        .write(
            &a,
            Writes {
                batches,
                dirty,
                ..Writes::default()
            },
        )
        .await;
    assert_eq!(claim(&world).await.raw(window(ALL.0, ALL.1)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_track_is_read_only_by_who_says_so_and_the_reading_is_audited() {
    let (world, a, _) = world_with_data().await;
    let mut tx = claim(&world).await;
    let trip = a.trip(world.id(), "2026-02-01T08:00:00Z", "2026-02-01T08:00:14Z");
    tx.put_trips(&[], std::slice::from_ref(&trip)).await.unwrap();
    tx.compact(event_time("2026-02-01T08:00:12Z")).await.unwrap();
    tx.commit(None).await.unwrap();
    assert!(a.view(&world).track(trip.id).await.unwrap().is_empty());
    let own = a.view(&world).with_tracks();
    assert_eq!(own.track(trip.id).await.unwrap().len(), 20);
    assert_eq!(
        own.audit_log(Default::default()).await.unwrap().items[0].object_kind,
        "track"
    );
}
