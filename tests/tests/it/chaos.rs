//! A short chaos run: each kind of process and server is killed once under load.

use std::time::Duration;

use odograph_tests::{
    Backend,
    chaos::{self, Options},
};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nothing_is_lost_and_nothing_counts_twice() {
    if Backend::chosen() == Backend::Embedded {
        println!("skipped on embedded: several processes cannot share a database in one of them");
        return;
    }
    let options = Options {
        kills: 4,
        seed: 4,
        lasts: Duration::from_secs(16),
        vehicles: 6,
        days: 1,
    };
    chaos::run(&options).await.expect("a run in which nothing differs");
}
