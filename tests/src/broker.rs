//! Queues of a test's own on a shared broker.

use std::time::Duration;

use lapin::{Connection, ConnectionProperties, options::ExchangeDeleteOptions, options::QueueDeleteOptions};
use odograph_ingest::rabbit::{RabbitOptions, RabbitQueue};

use crate::{block_on_elsewhere, unique};

/// Names for a set of queues; whatever was made under them is deleted in the end.
#[derive(Debug)]
pub struct TestBroker {
    options: RabbitOptions,
}

impl TestBroker {
    /// Nothing is declared before the first [`TestBroker::queue`].
    pub fn fresh(partitions: u16) -> Self {
        Self::at(Self::url(), partitions)
    }

    /// As [`TestBroker::fresh`], at a broker of the test's own.
    pub fn at(url: String, partitions: u16) -> Self {
        let prefix = format!("odograph-test-{}", unique());
        Self {
            options: RabbitOptions {
                prefix,
                partitions,
                ..RabbitOptions::new(url)
            },
        }
    }

    /// The broker all tests share.
    pub fn url() -> String {
        std::env::var("ODOGRAPH_TEST_AMQP_URL")
            .ok()
            .filter(|url| !url.is_empty())
            .unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
    }

    pub fn options(&self) -> &RabbitOptions {
        &self.options
    }

    /// A handle of its own, with connections of its own.
    pub async fn queue(&self) -> RabbitQueue {
        let connected = RabbitQueue::connect(self.options.clone()).await;
        connected.unwrap_or_else(|error| panic!("the tests need RabbitMQ (ODOGRAPH_TEST_AMQP_URL): {error}"))
    }

    /// A plain connection, to do to the broker what our own code never would.
    pub async fn connection(&self) -> Connection {
        Connection::connect(&self.options.url, ConnectionProperties::default())
            .await
            .expect("the broker answers")
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let options = self.options.clone();
        block_on_elsewhere(async move {
            let deleting = async {
                let connection = Connection::connect(&options.url, ConnectionProperties::default()).await?;
                let channel = connection.create_channel().await?;
                for queue in options.queues() {
                    channel
                        .queue_delete(queue.into(), QueueDeleteOptions::default())
                        .await?;
                }
                channel
                    .exchange_delete(options.exchange().into(), ExchangeDeleteOptions::default())
                    .await?;
                anyhow::Ok(())
            };
            tokio::time::timeout(Duration::from_secs(20), deleting).await?
        });
    }
}
