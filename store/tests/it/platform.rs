//! Operators, messages on their way, and dead letters that are sent again.

use odograph_domain::{
    clock::Clock,
    envelope::Source,
    id::{ClientId, MessageId},
    outcome::{MessageOutcome, Tally},
    settings::TenantSettings,
    time::ReceivedAt,
};
use odograph_store::{
    Admitted, Arrival, DeadLetterFilter, LetterStatus, Letters, NewClient, NewTenant, Page, Realm, Settled, StoreError,
    Writes,
};

use crate::world::{World, tally};

fn client(name: &str) -> NewClient {
    NewClient {
        name: name.into(),
        secret_hash: "$argon2id$".into(),
        scopes: vec!["tenants:read".into()],
    }
}

#[tokio::test]
async fn an_operator_reaches_tenants_and_clients_and_nothing_else() {
    let world = World::new().await;
    let insurer = world.insurer("a").await;
    let machine = world.store.operator();
    let own = machine.create_operator_client(client("ops")).await.unwrap();
    let known = world.store.client_credentials(own.id).await.unwrap().unwrap();
    assert_eq!((known.realm, known.disabled), (Realm::Platform, false));
    let operator = world.store.operator_as(own.id);

    let new = NewTenant {
        name: "b".into(),
        settings: TenantSettings::default(),
    };
    let tenant = operator.create_tenant(new).await.unwrap();
    assert_eq!(operator.tenants(Page::default()).await.unwrap().items.len(), 2);
    let renamed = operator
        .update_tenant(tenant.id, Some(&[1]), |tenant| tenant.name = "c".into())
        .await
        .unwrap();
    assert_eq!(
        (renamed.revision, operator.tenant(tenant.id).await.unwrap()),
        (2, renamed.clone())
    );
    let stale = operator.update_tenant(tenant.id, Some(&[1]), |_| {}).await;
    assert!(matches!(stale, Err(StoreError::Stale { revision: 2, .. })), "{stale:?}");
    let made = operator.create_client(tenant.id, client("x")).await.unwrap();
    let known = world.store.client_credentials(made.id).await.unwrap().unwrap();
    assert_eq!(known.realm, Realm::Tenant(tenant.id));
    operator.rotate_secret(tenant.id, made.id, "$other$").await.unwrap();
    let known = world.store.client_credentials(made.id).await.unwrap().unwrap();
    assert_eq!(known.secret_hash, "$other$");
    // Of another tenant it is no client.
    let elsewhere = operator.update_client(insurer.tenant, made.id, |_| {}).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound { kind: "client" })));

    // The role is refused whatever is not its business.
    for denied in [
        operator.counts().await.err(),
        operator.quarantined(Page::default()).await.err(),
        operator.operator_clients(Page::default()).await.err(),
        operator.disable_operator_client(own.id).await.err(),
        operator.forget_messages(world.clock.now()).await.err(),
    ] {
        assert!(matches!(denied, Some(StoreError::Database(_))), "{denied:?}");
    }
    let log = world.store.tenant(tenant.id).audit_log(Page::default()).await.unwrap();
    let actions: Vec<_> = log.items.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["rotate", "create", "update", "create"]);
    machine.disable_operator_client(own.id).await.unwrap();
    assert!(world.store.client_credentials(own.id).await.unwrap().unwrap().disabled);
    let unknown: ClientId = world.id();
    assert!(world.store.client_credentials(unknown).await.unwrap().is_none());
}

fn arrival(world: &World, message: MessageId, vehicle: &str) -> Arrival {
    Arrival {
        message,
        vehicle_given: vehicle.into(),
        device_given: None,
        batch_id: "b-1".into(),
        source: Source::Http,
        received_at: ReceivedAt::new(world.clock.now()),
        resubmission_of: None,
    }
}

#[tokio::test]
async fn a_message_waits_from_the_door_until_its_commit() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let (first, lost, by_id): (MessageId, MessageId, MessageId) = (world.id(), world.id(), world.id());
    let arrivals = [
        arrival(&world, first, "car-1"),
        arrival(&world, lost, "nobody"),
        arrival(&world, by_id, &a.vehicle.to_string()),
    ];
    let admitted = own.admit(&arrivals).await.unwrap();
    assert_eq!(
        (admitted.len(), admitted.get(&first), admitted.get(&by_id)),
        (
            2,
            Some(&Admitted::Vehicle(a.vehicle)),
            Some(&Admitted::Vehicle(a.vehicle))
        )
    );
    assert!(matches!(own.message(lost).await, Err(StoreError::NotFound { .. })));
    assert_eq!(own.message(first).await.unwrap().settled, None);
    // The same once more, as when whoever publishes tries again.
    assert_eq!(own.admit(&arrivals[..1]).await.unwrap().len(), 1);

    let settled = |outcome, tally: Tally| Settled {
        tenant: a.tenant,
        message: first,
        outcome,
        tally,
    };
    let writes = Writes {
        dead_letters: vec![a.letter(first, b"{}")],
        settled: vec![settled(
            MessageOutcome::AcceptedInPart,
            tally(3, 2, &[("ts_in_future", 1)]),
        )],
        ..Writes::default()
    };
    world.write(&a, writes).await;
    let again = Writes {
        settled: vec![settled(MessageOutcome::Duplicate, tally(3, 0, &[]))],
        ..Writes::default()
    };
    world.write(&a, again).await;
    let row = own.message(first).await.unwrap();
    let end = row.settled.unwrap();
    assert_eq!((end.outcome, end.tally.accepted), (MessageOutcome::AcceptedInPart, 2));
    assert_eq!((row.vehicle, row.dead_letters.len()), (Some(a.vehicle), 1));
    let other = world.insurer("b").await;
    assert!(matches!(
        other.view(&world).message(first).await,
        Err(StoreError::NotFound { .. })
    ));

    let operator = world.store.operator();
    assert_eq!(
        operator
            .forget_messages(world.clock.now() - chrono::TimeDelta::days(1))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        operator
            .forget_messages(world.clock.now() + chrono::TimeDelta::days(1))
            .await
            .unwrap(),
        2
    );
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_once_and_as_one_message() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let message = world.id();
    let writes = Writes {
        dead_letters: vec![a.letter(message, b"{\"one\":1}")],
        ..Writes::default()
    };
    world.write(&a, writes).await;
    let open = DeadLetterFilter {
        status: Some(LetterStatus::Open),
        source: Some(Source::Http),
        ..DeadLetterFilter::default()
    };
    let listed = own.dead_letters(open.clone(), Page::default()).await.unwrap().items;
    let letter = listed[0].id;

    // Tried, broken off, tried again: the same message both times.
    let first = own.claim_letters(&Letters::One(letter)).await.unwrap().remove(0);
    let second = own
        .claim_letters(&Letters::Oldest(open.clone(), 10))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(first.message, second.message);
    assert_eq!(first.payload.unwrap(), b"{\"one\":1}");
    own.mark_resubmitted(&[letter]).await.unwrap();
    let row = own.dead_letter_row(letter).await.unwrap();
    assert_eq!(
        (row.status, row.resubmitted_as),
        (LetterStatus::Resubmitted, Some(first.message))
    );
    assert!(matches!(
        own.claim_letters(&Letters::One(letter)).await,
        Err(StoreError::Conflict { .. })
    ));
    assert!(matches!(
        own.discard_letters(&Letters::One(letter), "no").await,
        Err(StoreError::Conflict { .. })
    ));
    assert!(own.claim_letters(&Letters::Oldest(open, 10)).await.unwrap().is_empty());

    // Another tenant neither sends nor discards it.
    let other = world.insurer("b").await.view(&world);
    for denied in [
        other.claim_letters(&Letters::One(letter)).await.err(),
        other.discard_letters(&Letters::One(letter), "no").await.err(),
    ] {
        assert!(matches!(denied, Some(StoreError::NotFound { .. })), "{denied:?}");
    }
}

#[tokio::test]
async fn the_payload_of_a_discarded_letter_is_gone() {
    let world = World::new().await;
    let a = world.insurer("a").await;
    let own = a.view(&world);
    let writes = Writes {
        dead_letters: (0..3)
            .map(|n| a.letter(world.id(), format!("{{\"n\":{n}}}").as_bytes()))
            .collect(),
        ..Writes::default()
    };
    world.write(&a, writes).await;
    let filter = DeadLetterFilter {
        reason: Some("ts_in_future".into()),
        ..DeadLetterFilter::default()
    };
    let gone = own
        .discard_letters(&Letters::Oldest(filter.clone(), 2), "a test")
        .await
        .unwrap();
    assert_eq!(gone.len(), 2);
    assert!(matches!(own.dead_letter(gone[0]).await, Err(StoreError::Erased { .. })));
    let row = own.dead_letter_row(gone[0]).await.unwrap();
    assert_eq!(
        (row.status, row.discard_reason.as_deref()),
        (LetterStatus::Discarded, Some("a test"))
    );
    assert_eq!(
        own.discard_letters(&Letters::Oldest(filter, 10), "a test")
            .await
            .unwrap()
            .len(),
        1
    );
}
