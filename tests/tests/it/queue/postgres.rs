//! The table.

use std::sync::Arc;

use odograph_domain::{envelope::Lane, queue::Queue};
use odograph_store::Store;
use odograph_tests::TestDb;

use super::suite::{PARTITIONS, Subject};

struct Table {
    database: TestDb,
    store: Store,
}

impl Subject for Table {
    async fn open(&self) -> Arc<dyn Queue> {
        Arc::new(self.store.queue(PARTITIONS))
    }

    async fn put_raw(&self, lane: Lane, partition: u16, bytes: &[u8]) {
        let lane = Lane::ALL.iter().position(|other| *other == lane).unwrap() as i16;
        let mut superuser = self.database.superuser().await;
        // The generation is how many partitions the table was cut into.
        let insert = "INSERT INTO queue_message (generation, partition, lane, bytes, enqueued_at) \
                      VALUES ($1, $2, $3, $4, now())";
        sqlx::query(insert)
            .bind(i32::from(PARTITIONS))
            .bind(i32::from(partition))
            .bind(lane)
            .bind(bytes)
            .execute(&mut superuser)
            .await
            .unwrap();
    }
}

async fn fresh() -> Option<Table> {
    let database = TestDb::fresh().await;
    let store = database.store().await;
    Some(Table { database, store })
}

async fn done(table: Table) {
    table.store.close().await;
    table.database.finish().await.unwrap();
}

super::over! { fresh, done }
