//! Requests under keys: done once, whatever happens to those who do them.

use chrono::TimeDelta;
use odograph_domain::id::{ClientId, TenantId};
use odograph_store::{
    Attempt, KeptAnswer, KeyClaim, KeyTimes, KeyedRequest, NewVehicle, Page, StoreError, TenantStore,
};

use crate::world::World;

const TIMES: KeyTimes = KeyTimes {
    abandoned_after: TimeDelta::seconds(90),
    kept: TimeDelta::hours(24),
};

fn client(n: u128) -> ClientId {
    ClientId::from(uuid::Uuid::from_u128(n))
}

async fn claim(own: &TenantStore, key: &str, body: &str) -> KeyClaim {
    let request = KeyedRequest {
        client: client(1),
        key,
        method: "POST",
        target: "/v1/vehicles",
        body: body.as_bytes(),
    };
    own.claim(request, TIMES).await.unwrap()
}

async fn begun(own: &TenantStore, key: &str, body: &str) -> Attempt {
    match claim(own, key, body).await {
        KeyClaim::Begun(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn answer() -> KeptAnswer {
    KeptAnswer {
        status: 201,
        headers: vec![("location".into(), "/v1/vehicles/1".into())],
        body: b"{}".to_vec(),
    }
}

async fn world() -> (World, TenantId) {
    let world = World::new().await;
    let tenant = world.empty_tenant("a").await;
    (world, tenant)
}

#[tokio::test]
async fn an_answer_is_given_again_until_its_time_is_over() {
    let (world, tenant) = world().await;
    let own = world.store.tenant(tenant);
    let attempt = begun(&own, "k", "body").await;
    assert!(matches!(claim(&own, "k", "body").await, KeyClaim::UnderWay));
    own.keep_answer(&attempt, &answer()).await.unwrap();
    assert!(matches!(claim(&own, "k", "body").await, KeyClaim::Answered(kept) if kept == answer()));
    assert!(matches!(claim(&own, "k", "another").await, KeyClaim::OtherRequest));
    // What has an answer is not freed any more.
    own.release(&attempt).await.unwrap();
    assert!(matches!(claim(&own, "k", "body").await, KeyClaim::Answered(_)));
    let operator = world.store.operator();
    assert_eq!(operator.forget_answers().await.unwrap(), 0);
    world.clock.advance(TimeDelta::hours(24));
    assert_eq!(operator.forget_answers().await.unwrap(), 1);
    begun(&own, "k", "another").await;
    // Over, and not forgotten yet: the key is free as well.
    world.clock.advance(TimeDelta::hours(25));
    begun(&own, "k", "a third").await;
}

#[tokio::test]
async fn an_attempt_that_died_is_taken_over_and_cannot_come_back() {
    let (world, tenant) = world().await;
    let own = world.store.tenant(tenant);
    let first = begun(&own, "k", "body").await;
    world.clock.advance(TimeDelta::seconds(89));
    assert!(matches!(claim(&own, "k", "body").await, KeyClaim::UnderWay));
    world.clock.advance(TimeDelta::seconds(2));
    assert!(matches!(claim(&own, "k", "another").await, KeyClaim::OtherRequest));
    let second = begun(&own, "k", "body").await;
    // It only was slow. What it writes now would be done a second time.
    let late = own
        .clone()
        .attempting(first.clone())
        .create_vehicle(NewVehicle::default())
        .await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    own.release(&first).await.unwrap();
    own.keep_answer(&first, &answer()).await.unwrap();
    assert!(matches!(claim(&own, "k", "body").await, KeyClaim::UnderWay));
    own.clone()
        .attempting(second)
        .create_vehicle(NewVehicle::default())
        .await
        .unwrap();
    assert_eq!(own.vehicles(Page::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn what_took_effect_is_not_done_again_though_its_answer_was_lost() {
    let (world, tenant) = world().await;
    let own = world.store.tenant(tenant);
    let attempt = begun(&own, "k", "body").await;
    let made = own
        .clone()
        .attempting(attempt.clone())
        .create_vehicle(NewVehicle::default())
        .await
        .unwrap();
    // As when the process fails after it has committed.
    own.release(&attempt).await.unwrap();
    assert!(matches!(claim(&own, "k", "body").await, KeyClaim::UnderWay));
    world.clock.advance(TimeDelta::seconds(91));
    match claim(&own, "k", "body").await {
        KeyClaim::AnswerLost { kind, id } => assert_eq!((kind.as_str(), id), ("vehicle", made.id.uuid())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_came_to_nothing_frees_its_key() {
    let (world, tenant) = world().await;
    let own = world.store.tenant(tenant);
    let attempt = begun(&own, "k", "body").await;
    own.release(&attempt).await.unwrap();
    begun(&own, "k", "another body").await;
    // Another tenant's key of the same name is another key.
    let other = world.store.tenant(world.empty_tenant("b").await);
    begun(&other, "k", "body").await;
}
