//! The OpenAPI document: paths and schemas from the handlers, access and errors from their tables.

mod examples;
mod lists;
mod manners;

use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder, Type,
        path::Operation,
        security::{
            ClientCredentials, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityRequirement, SecurityScheme,
        },
    },
};

use self::{examples::Examples, lists::Lists, manners::Manners};
use crate::{
    access::{self, Access, Scope, Verb},
    health,
    problem::{self, Code, ProblemBody},
    v1,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Odograph",
        description = "Usage-based motor insurance: telemetry in; trips, scores and premiums out.\n\n\
            A token from `POST /v1/oauth/token` says the tenant and what may be done. Wherever an id is accepted the tenant's own \
            `external_ref` is too. What belongs to another tenant answers exactly as what does not exist.\n\n\
            Errors are `application/problem+json` (RFC 9457) with a stable `code`; `instance` is the request's id, as in the \
            `X-Request-Id` header, which a caller may choose. Times are RFC 3339; amounts are decimals in text. Lists come a page \
            at a time: give `next_cursor` as `cursor` for the next.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "Access", description = "Tokens and the keys they verify with."),
        (name = "Intake", description = "Telemetry in, and what could not be used of it."),
        (name = "Vehicles", description = "Vehicles, their devices, and who drives them."),
        (name = "Drivers", description = "Drivers, with who they are kept apart."),
        (name = "Fleets", description = "Fleets of vehicles, groups in them, and what they drove."),
        (name = "Trips", description = "What the telemetry amounts to."),
        (name = "Events", description = "Harsh braking and the like, with how hard it was."),
        (name = "Corrections", description = "What was shown and is something else now: before, after and why."),
        (name = "Scores", description = "Scores of drivers, with their reasons."),
        (name = "Reports", description = "What was driven, how and for how much, as a page for people."),
        (name = "Policies", description = "What is insured, how, and since when."),
        (name = "Rating", description = "Rating plans and their versions."),
        (name = "Premiums", description = "Usage, and what it costs, with the steps that led there."),
        (name = "Settings", description = "How a tenant's telemetry is read."),
        (name = "Tenants", description = "Tenants and their clients, for operators of the platform."),
        (name = "Operation", description = "Health, and this document."),
    ),
    paths(
        v1::oauth::token::handle,
        v1::oauth::jwks::handle,
        health::live::handle,
        health::ready::handle,
        crate::routes::document,
        v1::telemetry::send::handle,
        v1::telemetry::bulk::handle,
        v1::telemetry::traccar::handle,
        v1::telemetry::flespi::handle,
        v1::telemetry::status::handle,
        v1::vehicles::create::handle,
        v1::vehicles::list::handle,
        v1::vehicles::get::handle,
        v1::vehicles::update::handle,
        v1::assignments::create::handle,
        v1::assignments::list::handle,
        v1::assignments::end::handle,
        v1::devices::create::handle,
        v1::devices::list::handle,
        v1::devices::all::handle,
        v1::devices::get::handle,
        v1::devices::pair::handle,
        v1::devices::credentials::create::handle,
        v1::devices::credentials::list::handle,
        v1::devices::credentials::revoke::handle,
        v1::devices::remove::handle,
        v1::transfers::create::handle,
        v1::transfers::list::handle,
        v1::transfers::withdraw::handle,
        v1::odometer_changes::create::handle,
        v1::odometer_changes::list::handle,
        v1::odometer_changes::withdraw::handle,
        v1::drivers::create::handle,
        v1::drivers::list::handle,
        v1::drivers::get::handle,
        v1::drivers::update::handle,
        v1::drivers::leave::handle,
        v1::drivers::stay::handle,
        v1::fleets::create::handle,
        v1::fleets::list::handle,
        v1::fleets::get::handle,
        v1::fleets::update::handle,
        v1::fleets::remove::handle,
        v1::fleets::summary::handle,
        v1::fleets::vehicles::list::handle,
        v1::fleets::vehicles::add::handle,
        v1::fleets::vehicles::remove::handle,
        v1::fleets::groups::create::handle,
        v1::fleets::groups::list::handle,
        v1::fleets::groups::get::handle,
        v1::fleets::groups::update::handle,
        v1::fleets::groups::remove::handle,
        v1::fleets::groups::vehicles::list::handle,
        v1::fleets::groups::vehicles::add::handle,
        v1::fleets::groups::vehicles::remove::handle,
        v1::scores::latest::handle,
        v1::scores::list::handle,
        v1::scores::of_policy::handle,
        v1::reports::driver::handle,
        v1::reports::fleet::handle,
        v1::policies::create::handle,
        v1::policies::list::handle,
        v1::policies::get::handle,
        v1::policies::update::handle,
        v1::policies::change::handle,
        v1::policies::changes::handle,
        v1::policies::cancel::handle,
        v1::usage::list::handle,
        v1::usage::across::handle,
        v1::premiums::across::handle,
        v1::premiums::list::handle,
        v1::premiums::rate::handle,
        v1::premiums::get::handle,
        v1::rating_plans::create::handle,
        v1::rating_plans::list::handle,
        v1::rating_plans::get::handle,
        v1::rating_plans::add_version::handle,
        v1::quotes::create::handle,
        v1::quotes::if_changed::handle,
        v1::quotes::list::handle,
        v1::quotes::get::handle,
        v1::trips::list::handle,
        v1::trips::get::handle,
        v1::trips::track::handle,
        v1::events::list::handle,
        v1::events::of_trip::handle,
        v1::events::of_vehicle::handle,
        v1::events::get::handle,
        v1::trips::versions::handle,
        v1::corrections::list::handle,
        v1::corrections::get::handle,
        v1::dead_letters::list::handle,
        v1::dead_letters::get::handle,
        v1::dead_letters::resubmit_many::handle,
        v1::dead_letters::discard_many::handle,
        v1::dead_letters::resubmit::handle,
        v1::dead_letters::discard::handle,
        v1::settings::get::handle,
        v1::settings::update::handle,
        v1::tenants::create::handle,
        v1::tenants::list::handle,
        v1::tenants::get::handle,
        v1::tenants::update::handle,
        v1::tenants::clients::create::handle,
        v1::tenants::clients::list::handle,
        v1::tenants::clients::update::handle,
        v1::tenants::clients::rotate::handle,
        v1::outcomes::get::handle,
    ),
    components(schemas(ProblemBody, problem::FieldProblem)),
    modifiers(&Lists, &AccessTable, &Manners, &Errors, &Examples),
)]
struct Document;

/// The OpenAPI 3.1 document of this API.
pub fn openapi() -> openapi::OpenApi {
    Document::openapi()
}

/// The document as it is committed: indented, in a stable order, with a line end.
pub fn openapi_json() -> String {
    // Only a map with keys that are no text could fail, and there is none.
    let mut text = openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn operations(document: &mut openapi::OpenApi) -> impl Iterator<Item = (&'static access::Operation, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let table = |verb| {
            access::OPERATIONS
                .iter()
                .find(|known| known.path == path && known.method == verb)
        };
        [
            table(Verb::Get).zip(item.get.as_mut()),
            table(Verb::Post).zip(item.post.as_mut()),
            table(Verb::Put).zip(item.put.as_mut()),
            table(Verb::Patch).zip(item.patch.as_mut()),
            table(Verb::Delete).zip(item.delete.as_mut()),
        ]
        .into_iter()
        .flatten()
    })
}

/// Names, scopes and security requirements, from the table the gate goes by.
struct AccessTable;

impl Modify for AccessTable {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scopes = Scopes::from_iter(Scope::ALL.iter().map(|scope| (scope.as_str(), scope.description())));
        let flow = Flow::ClientCredentials(ClientCredentials::new("/v1/oauth/token", scopes));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("An access token from `POST /v1/oauth/token`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("oauth2", SecurityScheme::OAuth2(OAuth2::new([flow])));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (known, operation) in operations(document) {
            operation.operation_id = Some(known.id.to_owned());
            operation.security = Some(requirements(known.access));
            for more in known.access.more() {
                let description = operation.description.get_or_insert_default();
                if !description.contains(more.as_str()) {
                    let also = format!("Some of it needs the scope `{more}` as well.");
                    *description = if description.is_empty() {
                        also
                    } else {
                        format!("{description} {also}")
                    };
                }
            }
        }
    }
}

fn requirements(access: Access) -> Vec<SecurityRequirement> {
    let Some(scope) = access.required() else {
        return Vec::new();
    };
    ["oauth2", "bearer"]
        .map(|scheme| SecurityRequirement::new(scheme, [scope.as_str()]))
        .into()
}

/// The errors every operation can answer with, by what it takes.
struct Errors;

/// Status, name, description, and the code of the example.
const ERRORS: &[(&str, &str, &str, Code)] = &[
    (
        "400",
        "BadRequest",
        "The query or the body cannot be read",
        Code::InvalidQuery,
    ),
    ("401", "Unauthenticated", "No valid access token", Code::Unauthenticated),
    ("403", "Forbidden", "The token lacks the scope", Code::InsufficientScope),
    (
        "404",
        "NotFound",
        "There is no such thing, or it is another tenant's",
        Code::NotFound,
    ),
    (
        "409",
        "Conflict",
        "It conflicts with what is there already",
        Code::Conflict,
    ),
    (
        "412",
        "PreconditionFailed",
        "It has been changed since: its ETag is none that `If-Match` names",
        Code::PreconditionFailed,
    ),
    (
        "410",
        "Gone",
        "What was kept of it has been erased",
        Code::PayloadErased,
    ),
    ("413", "TooLarge", "The body is too large", Code::BodyTooLarge),
    (
        "415",
        "UnsupportedMediaType",
        "The body is of a type or encoding that is not read here",
        Code::UnsupportedMediaType,
    ),
    (
        "422",
        "Unprocessable",
        "A field of the body cannot be used; `errors` names it",
        Code::InvalidBody,
    ),
    (
        "429",
        "TooManyRequests",
        "Slow down; `Retry-After` says how long",
        Code::QueueFull,
    ),
    ("500", "Internal", "Something failed on our side", Code::Internal),
    (
        "503",
        "Unavailable",
        "A part that is needed does not answer; `Retry-After` says when to try again",
        Code::Unavailable,
    ),
];

impl Modify for Errors {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (status, name, description, code) in ERRORS {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .example(Some(problem::example(*code)))
                .build();
            let mut response = ResponseBuilder::new()
                .description(*description)
                .content(problem::CONTENT_TYPE, content)
                .build();
            if matches!(*status, "429" | "503") {
                let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
                let header = HeaderBuilder::new()
                    .schema(Some(seconds))
                    .description(Some("Seconds to wait."))
                    .build();
                response.headers.insert("Retry-After".to_owned(), RefOr::T(header));
            }
            components.responses.insert((*name).to_owned(), RefOr::T(response));
        }
        for (known, operation) in operations(document) {
            for (status, name, ..) in ERRORS {
                if !can_answer(known, operation, status) {
                    continue;
                }
                let reference = RefOr::Ref(Ref::from_response_name(*name));
                operation
                    .responses
                    .responses
                    .entry((*status).to_owned())
                    .or_insert(reference);
            }
        }
    }
}

fn can_answer(known: &access::Operation, operation: &Operation, status: &str) -> bool {
    let protected = known.access != Access::Public;
    let writes = known.method.has_body();
    match status {
        "400" => writes || takes(operation, |_| true),
        "401" | "403" => protected,
        // What a path or a list's filter names.
        "404" => {
            known.path.contains('{')
                || takes(operation, |name| {
                    matches!(
                        name,
                        "vehicle" | "driver" | "fleet" | "group" | "policy" | "rating_plan"
                    )
                })
        }
        "409" => protected && known.method != Verb::Get,
        "412" => takes(operation, |name| name == "If-Match"),
        "422" => protected && writes,
        "410" => known.id == "resubmit_dead_letter",
        "413" | "415" => writes,
        "429" => matches!(
            known.id,
            "send_batch"
                | "send_batches"
                | "forward_traccar"
                | "forward_flespi"
                | "resubmit_dead_letter"
                | "resubmit_dead_letters"
                | "issue_token"
        ),
        "500" => protected || writes,
        _ => protected || matches!(known.id, "issue_token" | "get_readiness"),
    }
}

fn takes(operation: &Operation, wanted: impl Fn(&str) -> bool) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => wanted(&parameter.name),
        RefOr::Ref(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_committed_document_is_that_of_the_handlers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == openapi_json(),
            "openapi/openapi.json is not what the handlers say; run `cargo run -- openapi`"
        );
    }

    #[test]
    fn the_document_and_the_table_have_the_same_operations() {
        let document = openapi();
        let mut documented = BTreeSet::new();
        for (path, item) in &document.paths.paths {
            let verbs = [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            let there = verbs.iter().filter(|(_, operation)| operation.is_some());
            documented.extend(there.map(|(verb, _)| (path.as_str(), *verb)));
        }
        let table: BTreeSet<_> = access::OPERATIONS
            .iter()
            .map(|known| (known.path, known.method.as_str()))
            .collect();
        assert_eq!(documented, table);
    }

    #[test]
    fn the_document_asks_for_what_the_gate_asks_for() {
        let document = serde_json::to_value(openapi()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let track = &document["paths"]["/v1/trips/{trip}/track"]["get"];
        assert_eq!(
            track["security"],
            serde_json::json!([{ "oauth2": ["tracks:read"] }, { "bearer": ["tracks:read"] }])
        );
        assert_eq!(track["operationId"], "get_track");
        let flow = &document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"];
        assert_eq!(flow["scopes"].as_object().unwrap().len(), Scope::ALL.len());
        assert_eq!(document["paths"]["/healthz"]["get"]["security"], serde_json::json!([]));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(map) => {
                    if let Some(reference) = map.get("$ref").and_then(|reference| reference.as_str()) {
                        let pointer = reference.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    open.extend(map.values());
                }
                serde_json::Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
    }
}
