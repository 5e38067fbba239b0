//! The table.

use std::sync::Arc;

use odograph_domain::{envelope::Lane, queue::Queue};
use odograph_store::Store;
use odograph_tests::TestDb;
use sqlx::Connection as _;
use tokio::sync::OnceCell;

use super::suite::{PARTITIONS, Subject};

struct Table {
    database: TestDb,
    store: OnceCell<Store>,
}

impl Subject for Table {
    async fn open(&self) -> Arc<dyn Queue> {
        let store = self.store.get_or_init(|| self.database.store()).await;
        Arc::new(store.queue(PARTITIONS))
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
        superuser.close().await.unwrap();
    }
}

async fn fresh() -> Option<Table> {
    Some(Table {
        database: TestDb::fresh().await,
        store: OnceCell::new(),
    })
}

async fn done(table: Table) {
    if let Some(store) = table.store.get() {
        store.close().await;
    }
    table.database.finish().await.unwrap();
}

super::over! { fresh, done }
