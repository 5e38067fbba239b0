//! Figures as a page: HTML that stands alone. It loads nothing and runs nothing; a policy in its head forbids both, should a
//! text ever get past the escaping.

mod driven;
mod driver;
mod fleet;
mod parts;
#[cfg(test)]
mod tests;

pub use driver::driver_page;
pub use fleet::fleet_page;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::{figures::ReportMade, text::esc};

const STYLE: &str = include_str!("style.css");

/// Only this page's own style, by its hash: no script, no image, no font, no connection, no form.
pub(crate) fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// The whole page around its main part.
fn page(title: &str, subtitle: &str, lead: &str, main: &str, footer: &str) -> String {
    let (title, subtitle) = (esc(title), esc(subtitle));
    let policy = content_security_policy();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}: {subtitle}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><p class=\"soft\">{subtitle}</p>{lead}</header>\n<main>\n{main}</main>\n\
         <footer>{footer}</footer>\n</body>\n</html>\n"
    )
}

/// What the figures are from.
fn footer(made: &ReportMade, score_model: Option<(&str, &str)>) -> String {
    let mut told = vec![format!(
        "Generated at {} (UTC) by Odograph {}.",
        made.generated_at.format("%Y-%m-%d %H:%M"),
        esc(&made.version)
    )];
    if !made.time_zones.is_empty() {
        let zones: Vec<_> = made.time_zones.iter().map(|zone| esc(zone)).collect();
        told.push(format!(
            "Days and hours are by the insured’s clock: {}.",
            zones.join(", ")
        ));
    }
    match made.feature_plans {
        Some([one, other]) if one == other => told.push(format!("Trips were read by feature plan {one}.")),
        Some([low, high]) => told.push(format!("Trips were read by feature plans {low} to {high}.")),
        None => {}
    }
    if let Some((model, parameters)) = score_model {
        let short = parameters.get(..12).unwrap_or(parameters);
        told.push(format!(
            "Score model: {}, parameters <code>{}</code>.",
            esc(model),
            esc(short)
        ));
    }
    if let Some(at) = made.derived_at {
        told.push(format!("Last change of a trip: {} (UTC).", at.format("%Y-%m-%d %H:%M")));
    }
    told.push(
        "A trip counts for the day it began on; premiums are rated by the metres of each day, so the two can differ by a trip \
         over midnight. Data that comes later can change the figures."
            .to_owned(),
    );
    format!("<p>{}</p>", told.join(" "))
}
