//! What deriving writes: trips, days, scores, premiums.

use chrono::{NaiveDate, TimeDelta};
use odograph_domain::{
    batch::RawSample,
    clock::Clock,
    correction::{Cause, Figures, Why},
    event::Severity,
    features::TripFeatures,
    id::TripId,
    intake::Owned,
    mileage::DayShare,
    money::Money,
    policy::{Month, day_bounds},
    rating::RatedPremium,
    score::{ModelRef, Score, ScoreReason},
    time::Window,
};
use odograph_store::{
    DeriveTx, EventFilter, EventOrder, NewAssignment, NewVehicle, Page, ScoreChange, StoreError, TripFilter, UsageDay,
    Writes, content_hash,
};
use sqlx::{Connection, PgConnection};

use crate::world::{Insurer, World, day, event_time, policy_of, samples, utc};

async fn claimed(world: &World, insurer: &Insurer) -> DeriveTx {
    let dirty = insurer.dirty(
        "2026-02-01T00:00:00Z",
        "2026-02-02T00:00:00Z",
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
    world
        .store
        .worker()
        .next_due(world.clock.now(), Some(insurer.tenant), false)
        .await
        .unwrap()
        .unwrap()
}

fn usage(day: NaiveDate, metres: i64) -> UsageDay {
    let (utc_from, utc_to) = day_bounds(day, chrono_tz::Europe::Berlin);
    UsageDay {
        day,
        metres,
        utc_from,
        utc_to,
        tzdb: "2026a".into(),
        interpreter: 1,
    }
}

fn score(as_of: NaiveDate, value: &str) -> Score {
    Score {
        value: value.parse().unwrap(),
        as_of,
        window_days: 90,
        exposure_km: 123.456,
        trips: 17,
        model: ModelRef {
            name: "expert".into(),
            version: "1".into(),
            parameters_sha256: "00".into(),
        },
        reasons: vec![ScoreReason {
            code: "harsh_braking".into(),
            text: "You brake hard.".into(),
            points: "-3.5".parse().unwrap(),
            value: 1.25,
            unit: "per 100 km".into(),
        }],
    }
}

#[tokio::test]
async fn trips_come_back_bit_for_bit_and_are_replaced() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut tx = claimed(&world, &a).await;
    let first = a.trip(world.id(), "2026-02-01T08:00:00.123Z", "2026-02-01T09:00:00.456Z");
    let mut second = a.trip(world.id(), "2026-02-01T22:30:00Z", "2026-02-01T23:30:00Z");
    // Mileage only, and over midnight in Berlin.
    second.features.behaviour = None;
    second.driver = None;
    let shares = [("2026-02-01", 0.1), ("2026-02-02", 0.2)];
    second.features.mileage.by_day = shares
        .map(|(date, metres)| DayShare { day: day(date), metres })
        .to_vec();
    tx.put_trips(&[], &[first.clone(), second.clone()]).await.unwrap();

    let window = Window {
        from: event_time("2026-02-01T09:00:00.456Z"),
        to: event_time("2026-02-01T12:00:00Z"),
    };
    let found = tx.trips_overlapping(window).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id, found[0].bounds, found[0].content_hash),
        (first.id, first.bounds, content_hash(&first))
    );
    assert_eq!(found[0].days, vec![day("2026-02-01")]);
    let trips = tx
        .driver_trips(a.driver, day("2026-02-01"), day("2026-02-01"))
        .await
        .unwrap();
    assert_eq!(trips, vec![(day("2026-02-01"), first.features.clone())]);
    let shares: Vec<f64> = tx
        .day_shares(day("2026-02-01"), day("2026-02-02"), Owned::default())
        .await
        .unwrap()
        .iter()
        .map(|s| s.metres)
        .collect();
    assert_eq!(shares, vec![12_000.1, 0.1, 0.2]);
    tx.commit(None).await.unwrap();

    let own = a.view(&world);
    assert_eq!(own.trip(first.id).await.unwrap().record, first);
    assert_eq!(own.trip(second.id).await.unwrap().record, second);
    let listed = own.trips(TripFilter::default(), Page::default()).await.unwrap().items;
    assert_eq!(
        listed.iter().map(|row| row.record.id).collect::<Vec<_>>(),
        vec![second.id, first.id]
    );
    let of_driver = TripFilter {
        driver: Some(a.driver),
        ..TripFilter::default()
    };
    assert_eq!(own.trips(of_driver, Page::default()).await.unwrap().items.len(), 1);
    let later = TripFilter {
        from: Some(utc("2026-02-01T10:00:00Z")),
        ..TripFilter::default()
    };
    assert_eq!(
        own.trips(later, Page::default()).await.unwrap().items[0].record.id,
        second.id
    );

    let mut tx = claimed(&world, &a).await;
    let mut changed = first.clone();
    changed.version = 2;
    assert_eq!(content_hash(&changed), content_hash(&first));
    changed.features.samples += 1;
    assert_ne!(content_hash(&changed), content_hash(&first));
    tx.put_trips(&[second.id], &[changed.clone()]).await.unwrap();
    tx.commit(None).await.unwrap();
    assert_eq!(own.trip(first.id).await.unwrap().record, changed);
    assert!(matches!(own.trip(second.id).await, Err(StoreError::NotFound { .. })));

    // What they were stays readable.
    let versions = own.trip_versions(first.id).await.unwrap();
    let told: Vec<_> = versions
        .iter()
        .map(|version| (&version.trip.record, version.replaced_at.is_some()))
        .collect();
    assert_eq!(told, [(&changed, false), (&first, true)]);
    let withdrawn = own.trip_versions(second.id).await.unwrap();
    assert_eq!((&withdrawn[0].trip.record, withdrawn.len()), (&second, 1));
    assert!(withdrawn[0].replaced_at.is_some());
    let absent = own.trip_versions(world.id()).await;
    assert!(matches!(absent, Err(StoreError::NotFound { .. })));

    // A version that may hold no behaviour takes it out of those before it.
    let mut tx = claimed(&world, &a).await;
    let mut bare = changed.clone();
    bare.version = 3;
    bare.features.behaviour = None;
    tx.put_trips(&[], std::slice::from_ref(&bare)).await.unwrap();
    tx.commit(None).await.unwrap();
    let versions = own.trip_versions(first.id).await.unwrap();
    assert_eq!(versions.len(), 3);
    assert!(
        versions
            .iter()
            .all(|version| version.trip.record.features.behaviour.is_none())
    );
}

#[tokio::test]
async fn a_trip_without_behaviour_has_none_in_any_column() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut tx = claimed(&world, &a).await;
    let mut trip = a.trip(world.id(), "2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z");
    trip.features.behaviour = None;
    tx.put_trips(&[], &[trip]).await.unwrap();
    tx.commit(None).await.unwrap();
    let mut conn = PgConnection::connect(&world.database.url).await.unwrap();
    let (columns, events): (i32, i64) = sqlx::query_as(
        "SELECT num_nonnulls(mean_speed_kmh, top_speed_kmh, night_share, weekend_share, speeding_share, limit_known_s,
                             phone_share, phone_known_s, braking_seen, cornering_seen),
                (SELECT count(*) FROM behaviour_event)
         FROM trip_features",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!((columns, events), (0, 0));
}

#[tokio::test]
async fn a_trip_of_another_vehicle_is_refused() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let other = a.view(&world).create_vehicle(NewVehicle::default()).await.unwrap().id;
    let mut tx = claimed(&world, &a).await;
    let mut trip = a.trip(world.id(), "2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z");
    trip.vehicle = other;
    assert!(matches!(
        tx.put_trips(&[], &[trip]).await,
        Err(StoreError::Invalid { .. })
    ));
}

#[tokio::test]
async fn usage_and_scores_make_the_inputs_of_a_premium() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let february: Month = "2026-02".parse().unwrap();
    let mut tx = claimed(&world, &a).await;
    let days = [
        usage(day("2026-01-31"), 7),
        usage(day("2026-02-01"), 12_000),
        usage(day("2026-02-28"), 345),
    ];
    tx.put_usage(a.policy, &days).await.unwrap();
    tx.put_usage(
        a.policy,
        &[usage(day("2026-02-01"), 11_000), usage(day("2026-02-28"), 345)],
    )
    .await
    .unwrap();
    tx.lock_drivers(&[a.driver, a.driver]).await.unwrap();
    let february_days = (day("2026-02-01"), day("2026-02-28"));
    let first = [score(day("2026-02-27"), "50.0"), score(day("2026-02-28"), "81.5")];
    tx.replace_scores(a.driver, february_days, &first).await.unwrap();
    let second = [score(day("2026-02-27"), "50.0"), score(day("2026-02-28"), "82.5")];
    let changes = tx.replace_scores(a.driver, february_days, &second).await.unwrap();
    let change = |before: Option<(i32, &str)>, after: Option<(i32, &str)>| {
        let figure = |told: Option<(i32, &str)>| told.map(|(version, value)| (version, value.parse().unwrap()));
        ScoreChange {
            as_of: day("2026-02-28"),
            before: figure(before),
            after: figure(after),
        }
    };
    assert_eq!(changes, [change(Some((1, "81.5")), Some((2, "82.5")))]);
    assert_eq!(tx.replace_scores(a.driver, february_days, &second).await.unwrap(), []);
    let rated: Vec<_> = tx
        .policies_rated_by(a.driver)
        .await
        .unwrap()
        .into_iter()
        .map(|policy| policy.id)
        .collect();
    assert_eq!(rated, vec![a.policy]);
    let policy = tx.policy(a.policy).await.unwrap();
    let inputs = tx.rating_inputs(&policy, february).await.unwrap();
    assert_eq!((inputs.usage_m, inputs.score), (11_345, Some("82.5".parse().unwrap())));
    assert_eq!((inputs.covered_days, inputs.plan_version), (28, 1));
    // Days without metres go; days are counted where they lie.
    tx.put_usage(a.policy, &[usage(day("2026-02-28"), 0)]).await.unwrap();
    assert_eq!(tx.rating_inputs(&policy, february).await.unwrap().usage_m, 11_000);
    let gone = tx.replace_scores(a.driver, february_days, &second[..1]).await.unwrap();
    assert_eq!(gone, [change(Some((2, "82.5")), None)]);
    assert_eq!(
        tx.rating_inputs(&policy, february).await.unwrap().score,
        None,
        "an older day's score is not this one's"
    );
    // What comes back is a version of its own.
    let again = tx.replace_scores(a.driver, february_days, &second).await.unwrap();
    assert_eq!(again, [change(None, Some((3, "82.5")))]);
    tx.replace_scores(a.driver, february_days, &second[..1]).await.unwrap();
    tx.commit(None).await.unwrap();

    let own = a.view(&world);
    let everything = own.scores(a.driver, (None, None), true, Page::default()).await.unwrap();
    let told: Vec<_> = everything
        .items
        .iter()
        .filter(|row| row.score.as_of == day("2026-02-28"))
        .map(|row| (row.version, row.score.value.to_string(), row.replaced_at.is_some()))
        .collect();
    let wanted = [(3, "82.5", true), (2, "82.5", true), (1, "81.5", true)];
    assert_eq!(
        told,
        wanted.map(|(version, value, replaced)| (version, value.to_owned(), replaced))
    );
    assert_eq!(everything.items.len(), 4);
    // A page at a time they are the same, versions of one day on several pages too.
    let (mut page, mut paged) = (Page { after: None, limit: 1 }, vec![]);
    loop {
        let listed = own.scores(a.driver, (None, None), true, page.clone()).await.unwrap();
        paged.extend(listed.items);
        page.after = listed.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(paged, everything.items);
    assert_eq!(
        own.latest_score(a.driver, None).await.unwrap().map(|row| row.score),
        Some(score(day("2026-02-27"), "50.0"))
    );
    assert_eq!(own.latest_score(a.driver, Some(day("2026-02-26"))).await.unwrap(), None);
    assert_eq!(
        own.scores(a.driver, (None, None), false, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(
        own.usage_by_policy(a.policy, day("2026-01-01"), day("2026-12-31"))
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        own.usage_by_vehicle(a.vehicle, day("2026-01-01"), day("2026-01-31"))
            .await
            .unwrap()[0]
            .1
            .metres,
        7
    );
}

fn rated(inputs: odograph_domain::rating::RatingInputs, amount: &str) -> RatedPremium {
    let premium = Money::new(amount.parse().unwrap(), inputs.terms.currency);
    RatedPremium {
        interpreter: 1,
        inputs,
        steps: vec![],
        premium,
    }
}

#[tokio::test]
async fn a_premium_that_differs_is_a_new_version_and_one_that_does_not_is_none() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let inputs = own.rating_inputs(a.policy, "2026-02".parse().unwrap()).await.unwrap();
    let first = own
        .put_premium(a.policy, &rated(inputs.clone(), "12.30"))
        .await
        .unwrap();
    assert_eq!((first.version, first.current), (1, true));
    assert_eq!(
        own.put_premium(a.policy, &rated(inputs.clone(), "12.30"))
            .await
            .unwrap()
            .id,
        first.id
    );
    let mut tx = claimed(&world, &a).await;
    let put = tx.put_premium(a.policy, &rated(inputs, "12.35")).await.unwrap();
    let correction = put.correction(Some(a.vehicle), Cause::of(Why::LateData)).unwrap();
    assert_eq!(correction.before, Some(Figures::Premium(first.figures())));
    assert_eq!(
        (correction.from_day, correction.to_day),
        (day("2026-02-01"), day("2026-02-28"))
    );
    let second = put.row;
    assert_eq!(second.version, 2);
    assert_eq!(
        tx.premium_months(a.policy).await.unwrap(),
        vec!["2026-02".parse().unwrap()]
    );
    tx.commit(None).await.unwrap();
    let now = own
        .premiums(a.policy, None, false, Page::default())
        .await
        .unwrap()
        .items;
    assert_eq!(now, vec![second.clone()]);
    let all = own
        .premiums(a.policy, Some("2026-02".parse().unwrap()), true, Page::default())
        .await
        .unwrap()
        .items;
    assert_eq!(all.len(), 2);
    let old = own.premium(first.id).await.unwrap();
    assert_eq!(
        (old.current, old.rated, old.rated_at),
        (false, first.rated, first.rated_at)
    );
}

#[tokio::test]
async fn a_new_assignment_or_policy_marks_what_was_derived_without_it() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let data: Vec<RawSample> = samples("2025-11-01T08:00:00Z", 10);
    world
        .write(
            &a,
            Writes {
                batches: vec![a.batch(&world, "b", data)],
                ..Writes::default()
            },
        )
        .await;
    let worker = world.store.worker();
    let due = async || own.dirty(None).await.unwrap().len();
    assert_eq!(due().await, 0);
    // Before any data: nothing to derive.
    own.create_policy(policy_of("car-1", day("2025-01-01"), Some(day("2025-02-01"))))
        .await
        .unwrap();
    assert_eq!(due().await, 0);
    own.create_policy(policy_of("car-1", day("2025-10-01"), Some(day("2026-01-01"))))
        .await
        .unwrap();
    assert_eq!(due().await, 1);
    let assignment = NewAssignment {
        vehicle: "car-1".parse().unwrap(),
        driver: "ada".parse().unwrap(),
        from: utc("2025-11-01T08:00:05Z"),
        to: Some(utc("2025-12-01T00:00:00Z")),
    };
    own.create_assignment(assignment).await.unwrap();
    let claim = worker.next_due(world.clock.now(), None, false).await.unwrap().unwrap();
    let window = Window {
        from: event_time("2025-11-01T08:00:00Z"),
        to: event_time("2025-11-01T08:00:09Z"),
    };
    assert_eq!((claim.dirty().window, claim.dirty().at_once), (window, true));
    assert_eq!(
        claim.dirty().cause.why,
        [Why::PolicyChanged, Why::AssignmentChanged].into()
    );
}

#[tokio::test]
async fn the_features_of_many_trips_are_read_in_order() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let mut tx = claimed(&world, &a).await;
    let trips: Vec<_> = (0..20u32)
        .map(|hour| {
            let at = |minute| format!("2026-02-{:02}T{:02}:{minute:02}:00Z", 1 + hour / 10, 8 + hour % 10);
            let mut trip = a.trip(
                TripId::from_uuid(uuid::Uuid::from_u128(1000 - u128::from(hour))),
                &at(0),
                &at(30),
            );
            trip.features.samples = hour;
            trip
        })
        .collect();
    tx.put_trips(&[], &trips).await.unwrap();
    let read = tx
        .driver_trips(a.driver, day("2026-02-01"), day("2026-02-02"))
        .await
        .unwrap();
    let samples: Vec<u32> = read
        .iter()
        .map(|(_, features): &(_, TripFeatures)| features.samples)
        .collect();
    assert_eq!(samples, (0..20).collect::<Vec<_>>());
    assert!(
        read.iter()
            .all(|(_, features)| features.behaviour.as_ref().is_some_and(|b| b.events.len() == 2))
    );
}

#[tokio::test]
async fn an_event_keeps_its_id_as_long_as_it_is_found() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let events = async || {
        let listed = own
            .events(EventFilter::default(), EventOrder::Start, Page::default())
            .await
            .unwrap();
        listed.items
    };
    let mut tx = claimed(&world, &a).await;
    // One event each: how often they brake is what this is about.
    let trip = |from: &str, to: &str| {
        let mut trip = a.trip(world.id(), from, to);
        trip.features.behaviour.as_mut().unwrap().events.truncate(1);
        trip
    };
    let first = trip("2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z");
    let second = trip("2026-02-01T10:00:00Z", "2026-02-01T11:00:00Z");
    tx.put_trips(&[], &[first.clone(), second.clone()]).await.unwrap();
    tx.commit(None).await.unwrap();
    let before = events().await;
    assert_eq!(before.len(), 2);

    // The second trip is found to be a part of the first, which braked once more than it seemed.
    let mut merged = first.clone();
    merged.version = 2;
    let found = &mut merged.features.behaviour.as_mut().unwrap().events;
    let mut again = found[0].clone();
    again.ts = again.ts + TimeDelta::seconds(60);
    found.push(again);
    found.extend(second.features.behaviour.clone().unwrap().events);
    let mut tx = claimed(&world, &a).await;
    tx.put_trips(&[second.id], &[merged]).await.unwrap();
    tx.commit(None).await.unwrap();
    let after = events().await;
    assert_eq!(after.len(), 3);
    assert_eq!((after[0].id, after[2].id), (before[0].id, before[1].id));
    assert_eq!(
        (after[2].trip, after[2].event.clone()),
        (first.id, before[1].event.clone())
    );
    assert!(before.iter().all(|row| row.id != after[1].id));

    let severe = EventFilter {
        severity: Some(Severity::High),
        ..EventFilter::default()
    };
    let none = own
        .events(severe, EventOrder::StartLast, Page::default())
        .await
        .unwrap();
    assert!(none.items.is_empty(), "{none:?}");
    assert_eq!(own.event(a.vehicle, after[1].id).await.unwrap(), after[1]);
    let other = own.create_vehicle(NewVehicle::default()).await.unwrap().id;
    assert!(matches!(
        own.event(other, after[1].id).await,
        Err(StoreError::NotFound { kind: "event" })
    ));
}
