//! `GET /readyz`

use std::{fmt::Display, future::Future, time::Duration};

use actix_web::web::{Data, Json};

use super::live::Health;
use crate::{
    problem::{Code, FieldProblem, Problem},
    state::ApiState,
};

const PATIENCE: Duration = Duration::from_secs(3);

#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operation",
    summary = "Whether the service can do its work",
    description = "Asks the database and the queue. Where one does not answer, `errors` names it.",
    responses((status = 200, description = "It can", body = Health))
)]
pub(crate) async fn handle(state: Data<ApiState>) -> Result<Json<Health>, Problem> {
    let (database, queue) = tokio::join!(
        check("database", state.store.ping()),
        check("queue", state.publisher.ping()),
    );
    let errors: Vec<_> = database.into_iter().chain(queue).collect();
    if errors.is_empty() {
        Ok(Json(Health { status: "ok" }))
    } else {
        Err(not_ready(errors))
    }
}

async fn check<E: Display>(part: &str, asked: impl Future<Output = Result<(), E>>) -> Option<FieldProblem> {
    let detail = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => {
            tracing::warn!(health.part = part, error = %error, "a part the api needs does not answer");
            "does not answer".to_owned()
        }
        Err(_elapsed) => format!("did not answer within {} s", PATIENCE.as_secs()),
    };
    Some(FieldProblem {
        field: part.to_owned(),
        detail,
    })
}

fn not_ready(errors: Vec<FieldProblem>) -> Problem {
    Problem::new(Code::Unavailable, "a part that is needed does not answer")
        .with_errors(errors)
        .retry_after(Duration::from_secs(5))
}
