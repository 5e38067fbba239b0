//! `POST /v1/policies/{policy}/quotes`

use actix_web::{HttpResponse, web::Data};
use chrono::{Days, Months, NaiveDate};
use odograph_domain::policy::{Month, Policy};
use odograph_store::NewQuote;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{QuoteWithTrace, VALID, rated};
use crate::{
    auth::gate::Caller,
    extract::{json::Json, path::Segment},
    problem::{Code, Problem},
    state::ApiState,
    v1::{
        self, created,
        policies::{
            change::{self, Places, PolicyChangeCreation},
            cover,
        },
        unwritten,
    },
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyQuoteRequest {
    /// As it would be filed. It is not.
    change: PolicyChangeCreation,
    /// First month, insured-local; when absent, that of the change, or the twelfth before `to` where that is later.
    #[schema(value_type = Option<String>, pattern = r"^\d{4}-\d{2}$", example = "2026-01")]
    from: Option<Month>,
    /// Last month; when absent, the present one. Of months to come nothing is known yet.
    #[schema(value_type = Option<String>, pattern = r"^\d{4}-\d{2}$", example = "2026-06")]
    to: Option<Month>,
}

/// What was asked for, as it is kept.
#[derive(Debug, Serialize)]
struct Asked {
    effective_on: NaiveDate,
    product: Option<v1::policies::Product>,
    rating_plan: Option<String>,
    /// Null with `drops_main_driver`.
    main_driver: Option<String>,
    drops_main_driver: bool,
    from: Month,
    to: Month,
}

const CHANGE: Places = Places {
    whole: "change",
    effective_on: "change.effective_on",
    rating_plan: "change.rating_plan",
    main_driver: "change.main_driver",
};

const MOST_MONTHS: usize = 36;

#[utoipa::path(
    post,
    path = "/v1/policies/{policy}/quotes",
    tag = "Premiums",
    summary = "Quote a change of a policy",
    description = "What the policy would have cost, had it been changed, by what was really driven: each month with the full \
        trace, and what it costs as it is. Nothing is changed or charged; the quote can be read again.",
    params(("policy" = String, Path, description = "Id or external reference", example = "POL-2026-0042")),
    request_body = PolicyQuoteRequest,
    responses((status = 201, description = "The quote", body = QuoteWithTrace))
)]
pub(crate) async fn handle(
    state: Data<ApiState>,
    caller: Caller,
    policy: Segment,
    Json(body): Json<PolicyQuoteRequest>,
) -> Result<HttpResponse, Problem> {
    let store = caller.store(&state);
    let known = v1::policy(&store, &policy).await?.policy;
    let references = change::references(&body.change, &CHANGE);
    change::check(&store, &known, &body.change, &references, &CHANGE).await?;
    let now = state.clock.now();
    let months = months(&known, &body, now.with_timezone(&known.time_zone).date_naive())?;
    let (Some(from), Some(to)) = (months.first().copied(), months.last().copied()) else {
        return Err(Problem::new(Code::NotRatable, "there is no month to quote"));
    };
    let new = change::new_change(body.change);
    let request = Asked {
        effective_on: new.effective_on,
        product: new.product.map(Into::into),
        rating_plan: new.plan.as_ref().map(ToString::to_string),
        main_driver: new.main_driver.iter().flatten().map(ToString::to_string).next(),
        drops_main_driver: new.main_driver == Some(None),
        from,
        to,
    };
    let alternatives =
        store
            .if_changed(known.id, new, &months)
            .await
            .map_err(|error| match unwritten(error, &references) {
                problem if problem.code() == Code::NotFound => not_ratable(),
                problem => problem,
            })?;
    let (premiums, total) = rated(&*state.rater, &alternatives.changed)?;
    let (_, as_is) = rated(&*state.rater, &alternatives.as_is)?;
    let quote = NewQuote {
        policy: Some(known.id),
        driver: alternatives.policy.terms_on(to.end() - Days::new(1)).main_driver,
        starts_on: from.first_day().max(known.starts_on),
        ends_on: known.ends_on.map_or(to.end(), |end| end.min(to.end())),
        total,
        as_is_total: Some(as_is.amount),
        request: serde_json::to_value(&request).map_err(Problem::internal)?,
        premiums,
        valid_until: now + VALID,
    };
    let record = store.put_quote(quote).await?;
    Ok(created(
        format!("/v1/quotes/{}", record.id),
        &QuoteWithTrace::from(record),
    ))
}

fn not_ratable() -> Problem {
    Problem::new(
        Code::NotRatable,
        "no version of the policy's rating plan is in force on the first covered day of one of the months",
    )
}

/// The covered months to quote, the earliest first.
fn months(policy: &Policy, body: &PolicyQuoteRequest, today: NaiveDate) -> Result<Vec<Month>, Problem> {
    let present = Month::of(today);
    let to = body.to.unwrap_or(present);
    if to > present {
        let detail = format!("wanted a month that has begun, {present} at the latest, got {to}");
        return Err(Problem::field(Code::NotRatable, "to", detail));
    }
    let year_before = Month::of(to.first_day() - Months::new(11));
    let changed = Month::of(body.change.effective_on.0);
    let from = body.from.unwrap_or(changed.max(year_before));
    if to < from {
        let detail = format!("wanted `to` not before `from`, got from {from} to {to}");
        return Err(Problem::field(Code::InvalidBody, "to", detail));
    }
    let mut months = Vec::new();
    let mut month = from;
    while month <= to {
        if policy.covered_days(month) > 0 {
            months.push(month);
        }
        month = Month::of(month.end());
    }
    if months.is_empty() {
        let detail = format!(
            "wanted months that the policy covers, which is {}, got {from} to {to}",
            cover(policy)
        );
        return Err(Problem::field(Code::NotRatable, "from", detail));
    }
    if months.len() > MOST_MONTHS {
        let detail = format!("wanted at most {MOST_MONTHS} months, got {from} to {to}");
        return Err(Problem::field(Code::InvalidBody, "from", detail));
    }
    Ok(months)
}
