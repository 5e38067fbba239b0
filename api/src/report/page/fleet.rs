//! A fleet's page.

use super::{
    driven, footer, page,
    parts::{nothing, section, sentence, table, tiles},
};
use crate::report::{
    figures::{FleetReport, ReportMember, ReportOutlier},
    text::{capital, count, esc, km, number, percent},
};

/// Rows of a ranking at most; the JSON has all.
const MOST_ROWS: usize = 100;

/// The page, whole.
pub fn fleet_page(report: &FleetReport) -> String {
    let subtitle = format!("Fleet report, {}", report.driven.period);
    let mut top = driven::tiles(&report.driven);
    top.push((
        "vehicles driven".to_owned(),
        number(report.driven.totals.vehicles as f64, 0),
    ));
    top.push(("drivers".to_owned(), number(report.driven.totals.drivers as f64, 0)));
    let mut main = tiles(&top);
    main += "<div class=\"cards\">\n";
    main += &outliers(report);
    main += &driven::distance(&report.driven);
    main += &driven::hours(&report.driven);
    main += &driven::behaviour(&report.driven, "this fleet");
    main += &driven::mileage(&report.driven);
    main += &drivers(&report.drivers);
    main += &vehicles(&report.vehicles);
    main += "</div>\n";
    page(
        &report.name,
        &subtitle,
        &lead(report),
        &main,
        &footer(&report.made, None),
    )
}

fn lead(report: &FleetReport) -> String {
    let totals = &report.driven.totals;
    let (from, to) = (report.driven.from, report.driven.to);
    let told = match totals.trips {
        0 => format!("Nothing was driven from {from} to {to}."),
        trips => format!(
            "From {from} to {to}: {} in {}, by {} with {}.{}",
            km(totals.distance_km),
            count(trips, "trip", "trips"),
            count(totals.drivers, "driver", "drivers"),
            count(totals.vehicles, "vehicle", "vehicles"),
            totals.idle_share.map_or_else(String::new, |share| format!(
                " {} of the trips’ time the engine ran or the trip went on while standing.",
                percent(share)
            )),
        ),
    };
    format!("<p class=\"lead\">{}</p>", esc(&told))
}

fn named(member: &ReportMember) -> String {
    member.external_ref.clone().unwrap_or_else(|| member.id.to_string())
}

fn outliers(report: &FleetReport) -> String {
    let heading = "Worth a look";
    if report.outliers.is_empty() {
        let told = match report.driven.totals.trips {
            0 => driven::NO_TRIPS,
            _ => {
                "Nobody is far from the others. (Compared are eight drivers or vehicles at least, each over 50 km at least.)"
            }
        };
        return section(heading, true, &nothing(told));
    }
    let one = |far: &ReportOutlier| {
        let who = far.external_ref.clone().unwrap_or_else(|| far.id.to_string());
        let (what, own, median) = match far.measure.as_str() {
            "distance_km" => ("distance", km(far.value), km(far.median)),
            "idle_share" => ("time standing", percent(far.value), percent(far.median)),
            "harsh_per_100_km" => {
                let rate = |value: f64| format!("{} per 100 km", number(value, 1));
                ("harsh manoeuvres", rate(far.value), rate(far.median))
            }
            _ => ("score", number(far.value, 1), number(far.median, 1)),
        };
        let side = if far.value > far.median {
            "far above"
        } else {
            "far below"
        };
        format!(
            "<li><b>{} {}</b>: {what} {own}, {side} the others ({median} in the middle).</li>",
            esc(&capital(&far.kind)),
            esc(&who)
        )
    };
    let items: String = report.outliers.iter().take(MOST_ROWS).map(one).collect();
    section(heading, true, &format!("<ul class=\"plain\">{items}</ul>"))
}

fn rest(count: usize, what: &str) -> String {
    match count.saturating_sub(MOST_ROWS) {
        0 => String::new(),
        rest => sentence(&format!("{rest} more {what} are in the figures as JSON.")),
    }
}

fn or_dash(value: Option<f64>, write: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), write)
}

/// Best score first; who has none after them, by distance.
fn drivers(drivers: &[ReportMember]) -> String {
    let heading = "Drivers";
    if drivers.is_empty() {
        return section(heading, true, &nothing("No trip of this period says who drove."));
    }
    let mut ranked: Vec<&ReportMember> = drivers.iter().collect();
    ranked.sort_by(|a, b| {
        let score = |member: &ReportMember| member.score.unwrap_or(f64::NEG_INFINITY);
        score(b)
            .total_cmp(&score(a))
            .then(b.distance_km.total_cmp(&a.distance_km))
    });
    let row = |(at, member): (usize, &&ReportMember)| {
        vec![
            (at + 1).to_string(),
            named(member),
            or_dash(member.score, |score| number(score, 1)),
            number(member.distance_km, 1),
            member.trips.to_string(),
            or_dash(member.harsh_per_100_km, |rate| number(rate, 1)),
            or_dash(member.idle_share, percent),
        ]
    };
    let rows: Vec<_> = ranked.iter().take(MOST_ROWS).enumerate().map(row).collect();
    let head = [
        "#",
        "driver",
        "#score",
        "#km",
        "#trips",
        "#harsh per 100 km",
        "#standing",
    ];
    let content = table("Ranked by score, then by distance", &head, &rows);
    section(heading, true, &(content + &rest(drivers.len(), "drivers")))
}

fn vehicles(vehicles: &[ReportMember]) -> String {
    let heading = "Vehicles";
    if vehicles.is_empty() {
        return section(heading, true, &nothing(driven::NO_TRIPS));
    }
    let row = |member: &ReportMember| {
        vec![
            named(member),
            number(member.distance_km, 1),
            member.trips.to_string(),
            or_dash(member.harsh_per_100_km, |rate| number(rate, 1)),
            or_dash(member.idle_share, percent),
        ]
    };
    let rows: Vec<_> = vehicles.iter().take(MOST_ROWS).map(row).collect();
    let head = ["vehicle", "#km", "#trips", "#harsh per 100 km", "#standing"];
    let content = table("By distance", &head, &rows);
    section(heading, true, &(content + &rest(vehicles.len(), "vehicles")))
}
