//! What the tests stand on: databases, brokers and programs of their own, gone when the test is over.
//!
//! | variable | meaning |
//! |---|---|
//! | `ODOGRAPH_TEST_BACKEND` | `server` (default): PostgreSQL and RabbitMQ; `embedded`: PostgreSQL in the process, queue in a table |
//! | `ODOGRAPH_TEST_DATABASE_URL` | a superuser's URL; each test makes its own database there |
//! | `ODOGRAPH_TEST_AMQP_URL` | a broker; each test makes its own queues there |
//! | `ODOGRAPH_TEST_DATA` | the folder of development data; tests that need it skip, and say so, where it is absent |
//! | `ODOGRAPH_TEST_BIN` | the `odograph` binary; else the one beside the tests, built if need be |

#![allow(clippy::unwrap_used, reason = "a test stops where the ground gives way")]

mod broker;
pub mod chaos;
mod database;
pub mod http;
pub mod parquet;
pub mod platform;
pub mod private_postgres;
pub mod private_rabbit;
pub mod process;
mod program;
pub mod snapshot;
pub mod telemetry;

pub use self::{
    broker::TestBroker,
    database::TestDb,
    program::{binary, data},
};

/// Which parts the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Server,
    Embedded,
}

impl Backend {
    pub fn chosen() -> Self {
        match std::env::var("ODOGRAPH_TEST_BACKEND").as_deref() {
            Err(_) | Ok("" | "server") => Self::Server,
            Ok("embedded") => Self::Embedded,
            Ok(other) => panic!("ODOGRAPH_TEST_BACKEND is server or embedded, got {other:?}"),
        }
    }
}

/// The key that wraps the keys of every test's raw data: 64 hex digits.
pub const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A name that no other test, process or machine uses at the same time.
fn unique() -> String {
    use odograph_domain::id::IdSource as _;
    odograph::root::System.uuid().simple().to_string()
}

/// Runs async work to its end from where nothing can be awaited: in `drop`, also of a test that panics.
fn block_on_elsewhere<F>(work: F)
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work)
    });
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("cleaning up after a test: {error:#}"),
        Err(_) => eprintln!("cleaning up after a test panicked"),
    }
}
