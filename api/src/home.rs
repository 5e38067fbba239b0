//! Handlers run on the server's own threads, but what they start belongs to the runtime that the service was started on.
//!
//! The store's connections are that runtime's. A connection that is given back is looked after by a task of whatever runtime
//! it is let go on; were that a thread of the server that stops at this moment, the task would never end and the connection
//! would be lost: in the embedded database, which has only one, for good.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use tokio::runtime::Handle;

pub(crate) async fn at_home(
    home: web::Data<Handle>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    on(&home, next.call(request)).await
}

async fn on<F: Future>(home: &Handle, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _at_home = home.enter();
        work.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_outlives_the_runtime_it_was_started_from() {
        let home = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let away = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (done, heard) = std::sync::mpsc::channel();
        away.block_on(on(home.handle(), async {
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                done.send(()).unwrap();
            });
        }));
        drop(away);
        heard.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
    }
}
