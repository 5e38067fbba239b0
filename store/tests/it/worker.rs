//! What a worker writes in one commit, and what keeps it from writing.

use std::{collections::HashMap, sync::Arc};

use chrono::TimeDelta;
use odograph_domain::{
    batch::Impact,
    clock::Clock,
    correction::{Cause, Why},
    id::{ClientId, IdOrRef, MessageId, TenantId, VehicleId, WorkerId},
    intake::{DirtyWindow, KnownDriver, LedgerEntry, Subject, VehicleState},
    settings::{TenantSettings, TripSettings},
    time::{ReceivedAt, Window},
};
use odograph_store::{DeadLetterFilter, NewTransfer, Page, StoreError, WorkerTx, Writes};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::world::{World, event_time, samples, tally, utc};

#[tokio::test]
async fn who_lost_the_lease_writes_nothing() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let old = world.lease().await;
    world.clock.advance(TimeDelta::seconds(31));
    let new = world.lease().await;
    assert_eq!((new.partition, new.epoch), (old.partition, old.epoch + 1));
    assert!(matches!(
        world.store.worker().begin(&old, &[a.tenant]).await,
        Err(StoreError::Fenced)
    ));
    world.work(&new, a.tenant).await.commit().await.unwrap();
}

#[tokio::test]
async fn a_lease_cannot_be_taken_over_in_the_middle_of_a_commit() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let lease = world.lease().await;
    let tx = world.work(&lease, a.tenant).await;
    world.clock.advance(TimeDelta::seconds(31));
    let other: WorkerId = world.id();
    let take = async || {
        let now = world.clock.now();
        world
            .store
            .leases()
            .acquire(other, 1, 1, now, TimeDelta::seconds(30))
            .await
            .unwrap()
            .len()
    };
    assert_eq!(take().await, 0);
    tx.commit().await.unwrap();
    assert_eq!(take().await, 1);
}

#[tokio::test]
async fn the_ledger_knows_what_was_committed_and_only_that() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let b = world.insurer("b").await;
    let lease = world.lease().await;
    let batch = a.batch(&world, "b-1", samples("2026-02-01T08:00:00Z", 3));
    let mut others = batch.clone();
    others.key.vehicle = b.vehicle;

    let mut tx = world.work(&lease, a.tenant).await;
    assert!(tx.enter(&[&batch]).await.unwrap().is_empty());
    drop(tx);
    let mut tx = world.work(&lease, a.tenant).await;
    assert!(
        tx.enter(&[&batch]).await.unwrap().is_empty(),
        "a dropped transaction left a row"
    );
    tx.commit().await.unwrap();

    let again = a.batch(&world, "b-1", samples("2026-02-01T09:00:00Z", 3));
    let fresh = a.batch(&world, "b-2", samples("2026-02-01T10:00:00Z", 3));
    let mut changed = fresh.clone();
    changed.content_hash = [8; 32];
    let mut tx = world.work(&lease, a.tenant).await;
    let known = LedgerEntry {
        content_hash: [7; 32],
        message: batch.message,
    };
    assert_eq!(
        tx.enter(&[&fresh, &again, &changed]).await.unwrap(),
        HashMap::from([(batch.key.clone(), known)])
    );
    // Of two in one go the first is entered.
    let kept = tx.enter(&[&changed]).await.unwrap();
    assert_eq!(kept[&fresh.key].content_hash, [7; 32]);
    // A tenant that the transaction is not for.
    others.key.tenant = b.tenant;
    assert!(tx.enter(&[&others]).await.is_err());
}

#[tokio::test]
async fn states_are_made_locked_and_kept() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let lease = world.lease().await;
    let mut tx = world.work(&lease, a.tenant).await;
    let unknown = (a.tenant, world.id());
    let vehicles = [(a.tenant, a.vehicle), unknown, (a.tenant, a.vehicle)];
    assert_eq!(states(&mut tx, &vehicles).await, [VehicleState::new(a.vehicle)]);
    let state = VehicleState {
        vehicle: a.vehicle,
        watermark: Some(event_time("2026-02-01T08:00:00.123Z")),
        last_received_at: Some(ReceivedAt::new(utc("2026-02-01T08:00:01.456Z"))),
        detectors: [("trip_watch".to_owned(), json!({"moving": true}))].into(),
        open: None,
    };
    tx.write(&Writes {
        states: vec![(a.tenant, state.clone())],
        ..Writes::default()
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.work(&lease, a.tenant).await;
    assert_eq!(states(&mut tx, &vehicles).await, [state]);
}

async fn states(tx: &mut WorkerTx, vehicles: &[(TenantId, VehicleId)]) -> Vec<VehicleState> {
    let locked = tx.lock(vehicles).await.unwrap();
    locked.into_iter().map(|(state, _)| state).collect()
}

/// What a worker has read of a vehicle holds until something of it is filed, and not longer.
#[tokio::test]
async fn a_context_is_read_again_when_it_has_changed() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let lease = world.lease().await;
    let context = async || {
        let mut tx = world.work(&lease, a.tenant).await;
        let locked = tx.lock(&[(a.tenant, a.vehicle)]).await.unwrap();
        tx.commit().await.unwrap();
        locked.into_iter().next().unwrap().1
    };
    let first = context().await;
    assert!(
        Arc::ptr_eq(&first, &context().await),
        "read twice though nothing changed"
    );
    assert_eq!(
        *first,
        world.store.worker().contexts(&[(a.tenant, a.vehicle)]).await.unwrap()[0]
    );

    let view = a.view(&world);
    let at = utc("2026-02-03T12:00:00Z");
    let sold = NewTransfer {
        vehicle: IdOrRef::Id(a.vehicle),
        at,
        reason: None,
        fleet: None,
        removed_devices: vec![],
    };
    view.transfer_vehicle(sold).await.unwrap();
    assert_eq!(context().await.handovers, [at]);

    let settings = TenantSettings {
        trip: TripSettings {
            gap_s: 777,
            ..TripSettings::default()
        },
        ..TenantSettings::default()
    };
    world
        .store
        .operator()
        .set_tenant_settings(a.tenant, &settings)
        .await
        .unwrap();
    assert_eq!(context().await.settings.trip.gap_s, 777);
}

/// Whoever waited for the vehicle while its open window was derived must not take it for open still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_was_derived_meanwhile_is_not_open() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut dirty = a.dirty(
        "2026-02-01T08:00:00Z",
        "2026-02-01T08:00:10Z",
        "2026-02-01T08:05:00Z",
        true,
    );
    dirty.open_s = Some(300);
    let writes = Writes {
        dirty: vec![dirty],
        ..Writes::default()
    };
    world.write(&a, writes).await;
    let claim = world
        .store
        .worker()
        .next_due(utc("2026-02-01T09:00:00Z"), None, false)
        .await
        .unwrap()
        .unwrap();
    let lease = world.lease().await;
    let (store, tenant, vehicle) = (world.store.clone(), a.tenant, a.vehicle);
    let waiting = tokio::spawn(async move {
        let mut tx = store.worker().begin(&lease, &[tenant]).await.unwrap();
        tx.lock(&[(tenant, vehicle)]).await.unwrap()[0].0.open
    });
    // It waits for the state that the derivation holds.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    claim.commit(None).await.unwrap();
    assert_eq!(waiting.await.unwrap(), None);
}

/// While a car drives its window is told of once; it reaches as far as the data does, and its timer waits for silence.
#[tokio::test]
async fn an_open_window_reaches_to_the_watermark_and_waits_for_silence() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut dirty = a.dirty(
        "2026-02-01T08:00:00Z",
        "2026-02-01T08:00:10Z",
        "2026-02-01T08:05:00Z",
        false,
    );
    dirty.open_s = Some(300);
    let mut state = VehicleState::new(a.vehicle);
    let heard = async |state: &VehicleState, dirty: Vec<DirtyWindow>| {
        let states = vec![(a.tenant, state.clone())];
        world
            .write(
                &a,
                Writes {
                    states,
                    dirty,
                    ..Writes::default()
                },
            )
            .await;
    };
    state.watermark = Some(event_time("2026-02-01T08:00:10Z"));
    state.last_received_at = Some(ReceivedAt::new(utc("2026-02-01T08:00:11Z")));
    heard(&state, vec![dirty]).await;
    state.watermark = Some(event_time("2026-02-01T08:04:30Z"));
    state.last_received_at = Some(ReceivedAt::new(utc("2026-02-01T08:04:31Z")));
    heard(&state, vec![]).await;

    let worker = world.store.worker();
    let due = async |at: &str| worker.next_due(utc(at), None, false).await.unwrap();
    assert!(due("2026-02-01T08:06:00Z").await.is_none(), "it was heard of 89 s ago");
    let left = a.view(&world).dirty(None).await.unwrap();
    assert_eq!(left[0].due_at, utc("2026-02-01T08:09:31Z"));
    let claim = due("2026-02-01T08:09:31Z").await.unwrap();
    assert_eq!(claim.dirty().window.from, event_time("2026-02-01T08:00:00Z"));
    assert_eq!(claim.dirty().window.to, event_time("2026-02-01T08:04:30Z"));
    claim.commit(None).await.unwrap();
    assert_eq!(a.view(&world).dirty(None).await.unwrap(), []);
}

#[tokio::test]
async fn dirty_windows_merge() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let now = utc("2026-03-01T00:00:00Z");
    let write = async |dirty| {
        world
            .write(
                &a,
                Writes {
                    dirty,
                    ..Writes::default()
                },
            )
            .await
    };
    let timer = a.dirty(
        "2026-02-01T08:00:00Z",
        "2026-02-01T08:10:00Z",
        "2026-04-01T00:00:00Z",
        false,
    );
    let pushed = a.dirty(
        "2026-02-01T08:05:00Z",
        "2026-02-01T08:20:00Z",
        "2026-04-01T00:10:00Z",
        false,
    );
    write(vec![pushed.clone(), timer.clone()]).await;
    write(vec![timer.clone()]).await;
    let worker = world.store.worker();
    let left = async || a.view(&world).dirty(None).await.unwrap();
    assert!(worker.next_due(now, None, false).await.unwrap().is_none());
    let claim = worker.next_due(now, Some(a.tenant), true).await.unwrap().unwrap();
    let window = Window {
        from: timer.window.from,
        to: pushed.window.to,
    };
    assert_eq!(
        (claim.dirty().window, claim.dirty().due_at, claim.dirty().at_once),
        (window, pushed.due_at, false)
    );
    claim.release().await.unwrap();

    let mut ended = a.dirty(
        "2026-02-01T07:00:00Z",
        "2026-02-01T07:00:00Z",
        "2026-02-20T00:00:00Z",
        true,
    );
    let client: ClientId = world.id();
    ended.cause = Cause::of(Why::LateData).by(Some(client)).noted(Some("found"));
    ended.cause.batches = 2;
    write(vec![ended.clone()]).await;
    write(vec![pushed.clone()]).await;
    let merged = left().await;
    assert_eq!(merged.len(), 1, "{merged:?}");
    assert_eq!(merged[0].cause, ended.cause.clone().merged(pushed.cause.clone()));
    let none = worker.next_due(now, Some(world.id()), true).await.unwrap();
    assert!(none.is_none());
    let claim = worker.next_due(now, None, false).await.unwrap().unwrap();
    assert_eq!(claim.dirty(), &merged[0]);
    assert_eq!(
        (claim.dirty().window.from, claim.dirty().due_at, claim.dirty().at_once),
        (ended.window.from, ended.due_at, true)
    );
    // Nobody else gets it meanwhile.
    assert!(worker.next_due(now, None, true).await.unwrap().is_none());
    claim.put_off(TimeDelta::hours(1)).await.unwrap();
    assert!(worker.next_due(now, None, false).await.unwrap().is_none());
    worker
        .next_due(now + TimeDelta::hours(1), None, false)
        .await
        .unwrap()
        .unwrap()
        .commit(None)
        .await
        .unwrap();
    assert_eq!(left().await, vec![]);
}

#[tokio::test]
async fn a_window_of_long_ago_stays_apart_from_todays() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let now = utc("2026-03-01T00:00:00Z");
    let today = a.dirty(
        "2026-02-28T22:00:00Z",
        "2026-02-28T23:00:00Z",
        "2026-03-01T00:05:00Z",
        false,
    );
    let mut late = a.dirty(
        "2025-02-28T22:00:00Z",
        "2025-02-28T22:00:10Z",
        "2026-02-28T23:00:00Z",
        true,
    );
    late.cause = Cause::of(Why::LateData);
    let writes = Writes {
        dirty: vec![today.clone(), late.clone()],
        ..Writes::default()
    };
    world.write(&a, writes).await;
    assert_eq!(
        a.view(&world).dirty(Some(&[a.vehicle])).await.unwrap(),
        [late.clone(), today.clone()]
    );
    assert_eq!(a.view(&world).dirty(Some(&[world.id()])).await.unwrap(), []);
    let worker = world.store.worker();
    let claim = worker.next_due_of(now, a.tenant, a.vehicle).await.unwrap().unwrap();
    assert_eq!(claim.dirty(), &late);
    // The state is held: what is left of the vehicle waits for its turn.
    assert!(worker.next_due(now, None, true).await.unwrap().is_none());
    claim.commit(None).await.unwrap();
    assert_eq!(a.view(&world).dirty(None).await.unwrap(), [today]);
    assert!(worker.next_due_of(now, a.tenant, a.vehicle).await.unwrap().is_none());
}

#[tokio::test]
async fn a_vehicles_windows_are_taken_in_order_of_event_time() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let now = utc("2026-03-01T00:00:00Z");
    let window = |day: u32, due: &str| {
        let at = |hour| format!("2026-02-{day:02}T{hour:02}:00:00Z");
        a.dirty(&at(8), &at(9), due, true)
    };
    let (first, second) = (window(3, "2026-02-28T00:00:02Z"), window(4, "2026-02-28T00:00:01Z"));
    let not_due = window(2, "2026-03-02T00:00:00Z");
    let writes = Writes {
        dirty: vec![second.clone(), first.clone(), not_due.clone()],
        ..Writes::default()
    };
    world.write(&a, writes).await;
    let worker = world.store.worker();
    for wanted in [first, second] {
        let claim = worker.next_due(now, None, false).await.unwrap().unwrap();
        assert_eq!(claim.dirty(), &wanted);
        claim.commit(None).await.unwrap();
    }
    assert!(worker.next_due(now, None, false).await.unwrap().is_none());
    assert_eq!(a.view(&world).dirty(None).await.unwrap(), [not_due]);
}

#[tokio::test]
async fn dead_letters_are_encrypted_stored_once_and_counted() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let message: MessageId = world.id();
    let letter = a.letter(message, br#"{"ts":"2027-01-01T00:00:00Z","speed_kmh":51.5}"#);
    let writes = Writes {
        dead_letters: vec![letter.clone(), letter.clone()],
        outcomes: vec![
            (a.tenant, tally(5, 4, &[("ts_in_future", 1)])),
            (a.tenant, tally(2, 2, &[])),
        ],
        ..Writes::default()
    };
    world.write(&a, writes.clone()).await;
    world
        .write(
            &a,
            Writes {
                outcomes: vec![],
                ..writes
            },
        )
        .await;
    let own = a.view(&world);
    let listed = own
        .dead_letters(DeadLetterFilter::default(), Page::default())
        .await
        .unwrap()
        .items;
    assert_eq!(listed.len(), 1);
    let filter = |reason: &str| DeadLetterFilter {
        reason: Some(reason.into()),
        vehicle: Some(a.vehicle),
        ..DeadLetterFilter::default()
    };
    assert_eq!(
        own.dead_letters(filter("ts_in_future"), Page::default())
            .await
            .unwrap()
            .items,
        listed
    );
    assert!(
        own.dead_letters(filter("malformed_sample"), Page::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let (row, payload) = own.dead_letter(listed[0].id).await.unwrap();
    assert_eq!((row.message, row.samples, payload), (message, 1, letter.payload));

    let mut conn = PgConnection::connect(&world.database.url).await.unwrap();
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM dead_letter")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(
        !sealed.windows(5).any(|bytes| bytes == b"speed"),
        "the payload lies open"
    );

    own.put_dead_letter(&a.letter(world.id(), b"?"), &tally(3, 0, &[("unknown_vehicle", 3)]))
        .await
        .unwrap();
    let counts: HashMap<String, (i64, i64)> = own
        .outcome_counts(None, None)
        .await
        .unwrap()
        .into_iter()
        .map(|count| (count.outcome, (count.messages, count.samples)))
        .collect();
    let wanted = [
        ("received", (3, 10)),
        ("accepted", (2, 6)),
        ("ts_in_future", (1, 1)),
        ("unknown_vehicle", (1, 3)),
    ];
    assert_eq!(
        counts,
        wanted.map(|(outcome, count)| (outcome.to_owned(), count)).into()
    );
}

#[tokio::test]
async fn a_dead_letter_of_nobody_known_is_kept_all_the_same() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut letter = a.letter(world.id(), &[0, 159, 146, 150]);
    letter.vehicle = Some(world.id());
    letter.client = Some(world.id());
    letter.subject = Subject::Tenant;
    letter.vehicle_given = "who\0?".into();
    world
        .write(
            &a,
            Writes {
                dead_letters: vec![letter.clone()],
                ..Writes::default()
            },
        )
        .await;
    let row = a
        .view(&world)
        .dead_letters(DeadLetterFilter::default(), Page::default())
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!((row.vehicle, row.client), (None, letter.client));
    assert_eq!(a.view(&world).dead_letter(row.id).await.unwrap().1, letter.payload);
}

#[tokio::test]
async fn what_is_no_envelope_is_put_away() {
    let world = World::new().await;
    world
        .store
        .worker()
        .quarantine(b"not an envelope", "starts with \"not \"")
        .await
        .unwrap();
    let rows = world.store.operator().quarantined(Page::default()).await.unwrap().items;
    assert_eq!(
        (rows.len(), rows[0].bytes.as_slice()),
        (1, b"not an envelope".as_slice())
    );
    assert_eq!(world.store.operator().counts().await.unwrap().quarantined, 1);
}

#[tokio::test]
async fn impacts_are_kept_encrypted() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut batch = a.batch(&world, "b", samples("2026-02-01T08:00:00Z", 1));
    let trigger_ts = event_time("2026-02-01T08:00:00Z");
    let impact = Impact {
        trigger_ts,
        rate_hz: 400.0,
        t0_ms: -20.0,
        accel_ms2: vec![[1.0, 2.0, 3.0]],
        gyro_rads: None,
    };
    batch.impacts = vec![(Subject::Vehicle(a.vehicle), impact)];
    world
        .write(
            &a,
            Writes {
                batches: vec![batch],
                ..Writes::default()
            },
        )
        .await;
    let mut conn = PgConnection::connect(&world.database.url).await.unwrap();
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM raw_impact")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(!sealed.windows(5).any(|bytes| bytes == b"accel"));
}

#[tokio::test]
async fn a_worker_sees_the_tenants_of_its_batch_only() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let b = world.insurer("b").await;
    let lease = world.lease().await;
    let mut tx = world
        .store
        .worker()
        .begin(&lease, &[a.tenant, world.id()])
        .await
        .unwrap();
    let asked = [(a.tenant, a.vehicle), (b.tenant, b.vehicle), (b.tenant, a.vehicle)];
    let found = tx.lock(&asked).await.unwrap();
    assert_eq!(
        found.iter().map(|(_, context)| context.vehicle).collect::<Vec<_>>(),
        [a.vehicle]
    );
    let own_id = a.vehicle.to_string();
    let named = [
        (b.tenant, "car-1"),
        (a.tenant, "car-1"),
        (a.tenant, " not a reference "),
        (a.tenant, own_id.as_str()),
        (b.tenant, own_id.as_str()),
    ];
    assert_eq!(
        tx.resolve_vehicles(&named).await.unwrap(),
        [None, Some(a.vehicle), None, Some(a.vehicle), None]
    );
    assert_eq!(
        tx.resolve_drivers(&[(a.tenant, "ada"), (b.tenant, "ada"), (a.tenant, "nobody")])
            .await
            .unwrap(),
        [
            Some(KnownDriver {
                id: a.driver,
                left_at: None
            }),
            None,
            None
        ]
    );
    drop(tx);
    let found = world.store.worker().contexts(&asked).await.unwrap();
    assert_eq!(found.len(), 2);
}
