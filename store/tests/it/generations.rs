//! Generations of queues: one is begun after the other, and no step of the way is left out or done twice.

use chrono::TimeDelta;
use odograph_domain::{
    clock::Clock,
    id::PublisherId,
    queue::{Generation, GenerationState},
};
use odograph_store::StoreError;

use crate::world::World;

const TTL: TimeDelta = TimeDelta::seconds(12);

fn generation(number: u32, partitions: u16) -> Generation {
    Generation { number, partitions }
}

#[tokio::test]
async fn publishers_go_over_when_all_have_left_and_then_the_old_one_is_worked_off() {
    use GenerationState::{Current, Drained, Draining, Removed, Sealed};
    let world = World::new().await;
    let generations = world.store.generations();
    generations.begin(generation(1, 2)).await.unwrap();
    // Whoever starts later with other settings goes by what is there.
    generations.begin(generation(7, 9)).await.unwrap();
    let (one, two): (PublisherId, PublisherId) = (world.id(), world.id());
    let until = || world.clock.now() + TTL;
    for publisher in [one, two] {
        let told = generations.attend(publisher, None, until()).await.unwrap();
        assert_eq!((told.current, told.others_left), (generation(1, 2), true));
    }
    assert_eq!(generations.repartition(5).await.unwrap(), generation(2, 5));
    assert!(matches!(
        generations.repartition(6).await,
        Err(StoreError::Conflict { .. })
    ));
    let states = async || {
        let rows = generations.all().await.unwrap();
        rows.iter()
            .map(|row| (row.generation.number, row.state, row.publishers))
            .collect::<Vec<_>>()
    };
    assert_eq!(states().await, [(1, Draining, 2), (2, Current, 0)]);

    let told = generations.attend(one, Some(generation(1, 2)), until()).await.unwrap();
    assert_eq!((told.current, told.others_left), (generation(2, 5), false));
    assert!(
        !generations
            .attend(one, Some(told.current), until())
            .await
            .unwrap()
            .others_left
    );
    // One that comes now begins with the new, and waits for the others too.
    let three: PublisherId = world.id();
    let told = generations.attend(three, None, until()).await.unwrap();
    assert_eq!((told.current, told.others_left), (generation(2, 5), false));
    assert_eq!(states().await, [(1, Draining, 1), (2, Current, 2)]);
    // The second is not heard of any more.
    world.clock.advance(TTL + TimeDelta::seconds(1));
    assert!(
        generations
            .attend(one, Some(generation(2, 5)), until())
            .await
            .unwrap()
            .others_left
    );
    assert_eq!(states().await, [(1, Draining, 0), (2, Current, 1)]);

    let old = generation(1, 2);
    assert!(
        !generations.moves(old, Sealed, Drained).await.unwrap(),
        "it is not sealed"
    );
    assert!(generations.moves(old, Draining, Sealed).await.unwrap());
    assert!(
        !generations.moves(old, Draining, Sealed).await.unwrap(),
        "another has done it"
    );
    assert!(matches!(
        generations.repartition(6).await,
        Err(StoreError::Conflict { .. })
    ));
    assert!(generations.moves(old, Sealed, Drained).await.unwrap());
    assert!(generations.moves(old, Drained, Removed).await.unwrap());
    generations.leave(one).await.unwrap();
    assert_eq!(states().await, [(2, Current, 0)]);
    assert_eq!(generations.repartition(3).await.unwrap(), generation(3, 3));
}
