//! Reports: a page for people, or the same figures as JSON.

pub(crate) mod driver;
pub(crate) mod fleet;

use actix_web::{HttpRequest, HttpResponse, http::header};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::{
    access::Scope,
    auth::gate::Caller,
    extract::query::Fields,
    problem::Problem,
    report::{Ask, Period, page::content_security_policy},
    state::ApiState,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportQuery {
    /// A month (`2026-05`), a quarter (`2026-Q2`), a year (`2026`) or days (`2026-05-01..2026-05-31`), insured-local.
    #[param(value_type = String, example = "2026-05")]
    period: Option<String>,
}

/// What is asked for, bounded by what the caller may see.
fn ask(query: &ReportQuery, state: &ApiState, caller: &Caller) -> Result<Ask, Problem> {
    let mut fields = Fields::of_query();
    let period: Option<Period> = fields.parse("period", Some(query.period.as_deref().unwrap_or_default()));
    fields.finish()?;
    let period = period.ok_or_else(|| Problem::internal("a period that neither reads nor fails to"))?;
    Ok(Ask {
        period,
        now: state.clock.now(),
        tracks: caller.may(Scope::TracksRead),
        identity: caller.may(Scope::DriversIdentity),
        event_threshold: state.event_threshold,
    })
}

/// Whether the caller would rather have figures than a page. Without a wish, or with no preference, it is the page.
fn wants_json(accept: &str) -> bool {
    let quality = |wanted: &str| {
        let of = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            (kind.eq_ignore_ascii_case(wanted) || kind == "*/*").then(|| weight.unwrap_or(1.0))
        };
        accept.split(',').filter_map(of).fold(0.0, f32::max)
    };
    quality("application/json") > quality("text/html")
}

fn answer<T: Serialize>(request: &HttpRequest, report: &T, page: impl FnOnce(&T) -> String) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    // Personal, and made for this caller.
    response.insert_header((header::CACHE_CONTROL, "private, no-store"));
    response.insert_header((header::VARY, "Accept, Authorization"));
    let accept = request.headers().get(header::ACCEPT);
    if accept.and_then(|value| value.to_str().ok()).is_some_and(wants_json) {
        return response.json(report);
    }
    let policy = format!("{}; frame-ancestors 'none'", content_security_policy());
    response
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(page(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_unless_figures_are_wanted_more() {
        for json in [
            "application/json",
            "text/html;q=0.5, application/json",
            "Application/JSON; q=0.1",
        ] {
            assert!(wants_json(json), "{json}");
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for page in ["", "*/*", browser, "application/json;q=0.5, text/html", "image/png"] {
            assert!(!wants_json(page), "{page}");
        }
    }
}
