//! Which handler answers where. Each route is in the table of [`crate::access`] too, and in the OpenAPI document; the tests
//! hold the three together.

use actix_web::{
    HttpResponse,
    http::header,
    web::{self, Bytes, ServiceConfig},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{health, openapi, problem::Problem, v1};

/// The OpenAPI document, rendered once.
#[derive(Debug, Clone)]
pub(crate) struct Docs(Bytes);

impl Docs {
    pub(crate) fn new() -> Self {
        Self(openapi::openapi_json().into())
    }
}

pub(crate) fn configure(config: &mut ServiceConfig, docs: &Docs) {
    // Patterns are tried one after the other: what comes by the thousand a second first.
    config
        .configure(intake)
        .configure(platform)
        .configure(people_and_vehicles)
        .configure(fleets)
        .configure(insurance)
        .configure(driving)
        .configure(administration);
    config.app_data(web::Data::new(docs.clone()));
    config.service(web::resource("/openapi.json").route(web::get().to(document)));
    config.service(web::resource("/docs").route(web::get().to(to_docs)));
    // The pages are in the binary; the validator, which would ask a server of others, is off.
    let pages = Config::new(["/openapi.json"])
        .validator_url("none")
        .persist_authorization(false);
    config.service(SwaggerUi::new("/docs/{_:.*}").config(pages));
}

fn platform(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/oauth/token").route(web::post().to(v1::oauth::token::handle)))
        .service(web::resource("/.well-known/jwks.json").route(web::get().to(v1::oauth::jwks::handle)))
        .service(web::resource("/healthz").route(web::get().to(health::live::handle)))
        .service(web::resource("/readyz").route(web::get().to(health::ready::handle)));
}

fn people_and_vehicles(config: &mut ServiceConfig) {
    use v1::{assignments, devices, drivers, odometer_changes, transfers, vehicles};
    config
        .service(
            web::resource("/v1/vehicles")
                .route(web::post().to(vehicles::create::handle))
                .route(web::get().to(vehicles::list::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}")
                .route(web::get().to(vehicles::get::handle))
                .route(web::patch().to(vehicles::update::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/assignments")
                .route(web::post().to(assignments::create::handle))
                .route(web::get().to(assignments::list::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/devices")
                .route(web::post().to(devices::create::handle))
                .route(web::get().to(devices::list::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/assignments/{assignment}/end")
                .route(web::post().to(assignments::end::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/transfers")
                .route(web::post().to(transfers::create::handle))
                .route(web::get().to(transfers::list::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/odometer-changes")
                .route(web::post().to(odometer_changes::create::handle))
                .route(web::get().to(odometer_changes::list::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/transfers/{transfer}")
                .route(web::delete().to(transfers::withdraw::handle)),
        )
        .service(
            web::resource("/v1/vehicles/{vehicle}/odometer-changes/{change}")
                .route(web::delete().to(odometer_changes::withdraw::handle)),
        )
        .service(web::resource("/v1/devices").route(web::get().to(devices::all::handle)))
        .service(web::resource("/v1/devices/{device}").route(web::get().to(devices::get::handle)))
        .service(web::resource("/v1/devices/{device}/pairings").route(web::post().to(devices::pair::handle)))
        .service(
            web::resource("/v1/devices/{device}/credentials")
                .route(web::post().to(devices::credentials::create::handle))
                .route(web::get().to(devices::credentials::list::handle)),
        )
        .service(
            web::resource("/v1/devices/{device}/credentials/{credential}")
                .route(web::delete().to(devices::credentials::revoke::handle)),
        )
        .service(web::resource("/v1/devices/{device}/removal").route(web::post().to(devices::remove::handle)))
        .service(
            web::resource("/v1/drivers/{driver}/departure")
                .route(web::post().to(drivers::leave::handle))
                .route(web::delete().to(drivers::stay::handle)),
        )
        .service(
            web::resource("/v1/drivers")
                .route(web::post().to(drivers::create::handle))
                .route(web::get().to(drivers::list::handle)),
        )
        .service(
            web::resource("/v1/drivers/{driver}")
                .route(web::get().to(drivers::get::handle))
                .route(web::patch().to(drivers::update::handle)),
        );
}

fn fleets(config: &mut ServiceConfig) {
    use v1::fleets::{self, groups, vehicles};
    config
        .service(
            web::resource("/v1/fleets")
                .route(web::post().to(fleets::create::handle))
                .route(web::get().to(fleets::list::handle)),
        )
        .service(
            web::resource("/v1/fleets/{fleet}")
                .route(web::get().to(fleets::get::handle))
                .route(web::patch().to(fleets::update::handle))
                .route(web::delete().to(fleets::remove::handle)),
        )
        .service(web::resource("/v1/fleets/{fleet}/summary").route(web::get().to(fleets::summary::handle)))
        .service(web::resource("/v1/fleets/{fleet}/vehicles").route(web::get().to(vehicles::list::handle)))
        .service(
            web::resource("/v1/fleets/{fleet}/vehicles/{vehicle}")
                .route(web::put().to(vehicles::add::handle))
                .route(web::delete().to(vehicles::remove::handle)),
        )
        .service(
            web::resource("/v1/fleets/{fleet}/groups")
                .route(web::post().to(groups::create::handle))
                .route(web::get().to(groups::list::handle)),
        )
        .service(
            web::resource("/v1/fleets/{fleet}/groups/{group}")
                .route(web::get().to(groups::get::handle))
                .route(web::patch().to(groups::update::handle))
                .route(web::delete().to(groups::remove::handle)),
        )
        .service(
            web::resource("/v1/fleets/{fleet}/groups/{group}/vehicles")
                .route(web::get().to(groups::vehicles::list::handle)),
        )
        .service(
            web::resource("/v1/fleets/{fleet}/groups/{group}/vehicles/{vehicle}")
                .route(web::put().to(groups::vehicles::add::handle))
                .route(web::delete().to(groups::vehicles::remove::handle)),
        );
}

fn insurance(config: &mut ServiceConfig) {
    use v1::{policies, premiums, quotes, rating_plans, scores, usage};
    config
        .service(
            web::resource("/v1/policies")
                .route(web::post().to(policies::create::handle))
                .route(web::get().to(policies::list::handle)),
        )
        .service(
            web::resource("/v1/policies/{policy}")
                .route(web::get().to(policies::get::handle))
                .route(web::patch().to(policies::update::handle)),
        )
        .service(
            web::resource("/v1/policies/{policy}/changes")
                .route(web::post().to(policies::change::handle))
                .route(web::get().to(policies::changes::handle)),
        )
        .service(web::resource("/v1/policies/{policy}/cancellation").route(web::post().to(policies::cancel::handle)))
        .service(web::resource("/v1/policies/{policy}/usage").route(web::get().to(usage::list::handle)))
        .service(
            web::resource("/v1/policies/{policy}/premiums")
                .route(web::post().to(premiums::rate::handle))
                .route(web::get().to(premiums::list::handle)),
        )
        .service(web::resource("/v1/policies/{policy}/score").route(web::get().to(scores::of_policy::handle)))
        .service(web::resource("/v1/policies/{policy}/quotes").route(web::post().to(quotes::if_changed::handle)))
        .service(
            web::resource("/v1/quotes")
                .route(web::post().to(quotes::create::handle))
                .route(web::get().to(quotes::list::handle)),
        )
        .service(web::resource("/v1/quotes/{quote}").route(web::get().to(quotes::get::handle)))
        .service(web::resource("/v1/usage").route(web::get().to(usage::across::handle)))
        .service(web::resource("/v1/premiums").route(web::get().to(premiums::across::handle)))
        .service(web::resource("/v1/premiums/{premium}").route(web::get().to(premiums::get::handle)))
        .service(
            web::resource("/v1/rating-plans")
                .route(web::post().to(rating_plans::create::handle))
                .route(web::get().to(rating_plans::list::handle)),
        )
        .service(web::resource("/v1/rating-plans/{plan}").route(web::get().to(rating_plans::get::handle)))
        .service(
            web::resource("/v1/rating-plans/{plan}/versions").route(web::post().to(rating_plans::add_version::handle)),
        );
}

fn driving(config: &mut ServiceConfig) {
    use v1::{corrections, events, reports, scores, trips};
    config
        .service(web::resource("/v1/events").route(web::get().to(events::list::handle)))
        .service(web::resource("/v1/trips/{trip}/events").route(web::get().to(events::of_trip::handle)))
        .service(web::resource("/v1/vehicles/{vehicle}/events").route(web::get().to(events::of_vehicle::handle)))
        .service(web::resource("/v1/vehicles/{vehicle}/events/{event_id}").route(web::get().to(events::get::handle)))
        .service(web::resource("/v1/trips").route(web::get().to(trips::list::handle)))
        .service(web::resource("/v1/trips/{trip}").route(web::get().to(trips::get::handle)))
        .service(web::resource("/v1/trips/{trip}/track").route(web::get().to(trips::track::handle)))
        .service(web::resource("/v1/trips/{trip}/versions").route(web::get().to(trips::versions::handle)))
        .service(web::resource("/v1/corrections").route(web::get().to(corrections::list::handle)))
        .service(web::resource("/v1/corrections/{correction}").route(web::get().to(corrections::get::handle)))
        .service(web::resource("/v1/drivers/{driver}/score").route(web::get().to(scores::latest::handle)))
        .service(web::resource("/v1/drivers/{driver}/scores").route(web::get().to(scores::list::handle)))
        .service(web::resource("/v1/drivers/{driver}/report").route(web::get().to(reports::driver::handle)))
        .service(web::resource("/v1/fleets/{fleet}/report").route(web::get().to(reports::fleet::handle)));
}

fn intake(config: &mut ServiceConfig) {
    use v1::{dead_letters, outcomes, telemetry};
    config
        .service(web::resource("/v1/telemetry/batches").route(web::post().to(telemetry::send::handle)))
        .service(web::resource("/v1/telemetry/bulk").route(web::post().to(telemetry::bulk::handle)))
        .service(web::resource("/v1/telemetry/traccar").route(web::post().to(telemetry::traccar::handle)))
        .service(web::resource("/v1/telemetry/flespi").route(web::post().to(telemetry::flespi::handle)))
        .service(
            web::resource("/v1/telemetry/messages/{message_id}").route(web::get().to(telemetry::status::handle)),
        )
        .service(web::resource("/v1/dead-letters").route(web::get().to(dead_letters::list::handle)))
        // Before what they would be the ids of.
        .service(
            web::resource("/v1/dead-letters/resubmissions")
                .route(web::post().to(dead_letters::resubmit_many::handle)),
        )
        .service(
            web::resource("/v1/dead-letters/discards").route(web::post().to(dead_letters::discard_many::handle)),
        )
        .service(
            web::resource("/v1/dead-letters/{dead_letter}/resubmission")
                .route(web::post().to(dead_letters::resubmit::handle)),
        )
        .service(
            web::resource("/v1/dead-letters/{dead_letter}/discard")
                .route(web::post().to(dead_letters::discard::handle)),
        )
        .service(web::resource("/v1/dead-letters/{dead_letter}").route(web::get().to(dead_letters::get::handle)))
        .service(web::resource("/v1/outcomes").route(web::get().to(outcomes::get::handle)));
}

fn administration(config: &mut ServiceConfig) {
    use v1::{
        settings,
        tenants::{self, clients},
    };
    config
        .service(
            web::resource("/v1/settings")
                .route(web::get().to(settings::get::handle))
                .route(web::patch().to(settings::update::handle)),
        )
        .service(
            web::resource("/v1/tenants")
                .route(web::post().to(tenants::create::handle))
                .route(web::get().to(tenants::list::handle)),
        )
        .service(
            web::resource("/v1/tenants/{tenant}")
                .route(web::get().to(tenants::get::handle))
                .route(web::patch().to(tenants::update::handle)),
        )
        .service(
            web::resource("/v1/tenants/{tenant}/clients")
                .route(web::post().to(clients::create::handle))
                .route(web::get().to(clients::list::handle)),
        )
        .service(web::resource("/v1/tenants/{tenant}/clients/{client}").route(web::patch().to(clients::update::handle)))
        .service(
            web::resource("/v1/tenants/{tenant}/clients/{client}/secret")
                .route(web::post().to(clients::rotate::handle)),
        );
}

/// `GET /openapi.json`
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Operation",
    summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value))
)]
async fn document(docs: web::Data<Docs>) -> Result<HttpResponse, Problem> {
    let json = (header::CONTENT_TYPE, "application/json");
    Ok(HttpResponse::Ok()
        .insert_header(json)
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(docs.0.clone()))
}

async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "/docs/"))
        .finish()
}
