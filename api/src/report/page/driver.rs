//! A driver's page.

use super::{
    driven, footer, page,
    parts::{behind, key, nothing, section, sentence, table, tiles},
};
use crate::report::{
    charts::{Label, line, map},
    figures::{DriverReport, ReportBehaviour, ReportMember, ReportPremium, ReportScore},
    text::{capital, count, esc, km, number, percent},
};

/// Reasons that are explained at most; the rest are in the table.
const MOST_ADVICE: usize = 3;

/// The page, whole.
pub fn driver_page(report: &DriverReport) -> String {
    let who = report.name.as_deref().or(report.external_ref.as_deref());
    let title = who.map_or_else(|| format!("Driver {}", report.driver), str::to_owned);
    let subtitle = match (&report.name, &report.external_ref) {
        (Some(_), Some(reference)) => format!("Driver {reference}, {}", report.driven.period),
        _ => format!("Driver’s report, {}", report.driven.period),
    };
    let mut main = tiles(&top(report));
    main += "<div class=\"cards\">\n";
    main += &driven::distance(&report.driven);
    main += &score(report);
    main += &driven::behaviour(&report.driven, "this driver");
    main += &driven::hours(&report.driven);
    main += &premiums(&report.premiums);
    main += &driven::mileage(&report.driven);
    main += &sketch(report);
    if report.vehicles.len() > 1 {
        main += &vehicles(&report.vehicles);
    }
    main += "</div>\n";
    let model = report
        .score
        .as_ref()
        .map(|score| (score.model.as_str(), score.parameters_sha256.as_str()));
    page(&title, &subtitle, &lead(report), &main, &footer(&report.made, model))
}

/// The report in two sentences.
fn lead(report: &DriverReport) -> String {
    let totals = &report.driven.totals;
    let (from, to) = (report.driven.from, report.driven.to);
    let mut told = match totals.trips {
        0 => format!("Nothing was driven from {from} to {to}."),
        trips => format!(
            "From {from} to {to}: {} in {}.",
            km(totals.distance_km),
            count(trips, "trip", "trips")
        ),
    };
    if let Some(last) = report.score.as_ref().and_then(|score| score.days.last()) {
        told += &format!(" The score is {} of 100.", number(last.score, 1));
    }
    if let [premium] = report.premiums.as_slice() {
        told += &format!(
            " The premium for {} is {} {}.",
            premium.period, premium.amount, premium.currency
        );
    }
    format!("<p class=\"lead\">{}</p>", esc(&told))
}

fn top(report: &DriverReport) -> Vec<(String, String)> {
    let mut tiles = driven::tiles(&report.driven);
    if let Some(last) = report.score.as_ref().and_then(|score| score.days.last()) {
        tiles.push(("score, of 100".to_owned(), number(last.score, 1)));
    }
    if let Some(last) = report.premiums.last() {
        let figure = format!("{}\u{a0}{}", last.amount, last.currency);
        tiles.push((format!("premium, {}", last.period), figure));
    }
    tiles
}

fn score(report: &DriverReport) -> String {
    let heading = "Score";
    let Some(score) = &report.score else {
        let why = match (&report.driven.behaviour, report.driven.totals.trips) {
            (_, 0) => driven::NO_TRIPS,
            (None, _) => {
                "There is no score: the product charges by distance alone, so how somebody drives is not kept."
            }
            (Some(_), _) => "Too little was driven for a score yet.",
        };
        return section(heading, false, &nothing(why));
    };
    let points: Vec<_> = score.days.iter().map(|day| (day.day, day.score)).collect();
    let told = course(score);
    let label = Label {
        id: "score",
        title: "Score over time",
        description: &told,
    };
    let mut content = sentence(&told);
    content += &line::days(label, "of 100", &points);
    content += &advice(score, report.driven.behaviour.as_ref());
    let rows: Vec<_> = score
        .reasons
        .iter()
        .map(|reason| vec![reason.text.clone(), number(reason.points, 1)])
        .collect();
    let days: Vec<_> = score
        .days
        .iter()
        .map(|day| vec![day.day.to_string(), number(day.score, 1)])
        .collect();
    let figures = table("What the last score is made of", &["reason", "#points"], &rows)
        + &table("Score by day", &["day", "#score"], &days);
    section(heading, false, &(content + &behind(&figures)))
}

/// Where the score went, and by which factors most.
fn course(score: &ReportScore) -> String {
    let (Some(first), Some(last)) = (score.days.first(), score.days.last()) else {
        return String::new();
    };
    let moved = last.score - first.score;
    let mut told = match score.days.len() {
        1 => format!("{} of 100 on {}", number(last.score, 1), last.day),
        _ if moved.abs() < 0.05 => format!("Steady at {} of 100", number(last.score, 1)),
        _ => format!(
            "From {} on {} to {} on {}",
            number(first.score, 1),
            first.day,
            number(last.score, 1),
            last.day
        ),
    };
    let by: Vec<String> = score
        .changes
        .iter()
        .filter(|change| change.points.abs() >= 0.1)
        .take(3)
        .map(|change| {
            let sign = if change.points > 0.0 { "+" } else { "" };
            format!("{} {sign}{}", driven::noun(&change.code), number(change.points, 1))
        })
        .collect();
    if !by.is_empty() {
        told += &format!("; what moved it most: {} points", by.join(", "));
    }
    format!(
        "{told}. It looks at the {} days before, in which {} were driven.",
        score.window_days,
        km(score.exposure_km)
    )
}

/// What costs most, and what would help.
fn advice(score: &ReportScore, behaviour: Option<&ReportBehaviour>) -> String {
    let items: String = score
        .reasons
        .iter()
        .filter(|reason| reason.points <= -0.5)
        .take(MOST_ADVICE)
        .map(|reason| {
            let points = number(reason.points, 1);
            let text = reason.text.trim_end_matches('.');
            let hint = match good_already(behaviour, &reason.code) {
                true => Some("That is good already: the points come back as more is driven this way."),
                false => hint(&reason.code),
            };
            let hint = hint.map_or_else(String::new, |hint| format!(" {}", esc(hint)));
            format!(
                "<li>{}: <span class=\"points\">{points} points</span>.{hint}</li>",
                esc(text)
            )
        })
        .collect();
    match items.is_empty() {
        true => sentence("There is hardly anything that could be better."),
        false => format!("<p>What the points go for, and what helps:</p><ul class=\"plain\">{items}</ul>"),
    }
}

/// Little driving is drawn towards an average driver's, so points are missing where nothing was done wrong.
fn good_already(behaviour: Option<&ReportBehaviour>, code: &str) -> bool {
    let rates = behaviour
        .map(|behaviour| behaviour.rates.as_slice())
        .unwrap_or_default();
    rates.iter().any(|rate| {
        let low = rate
            .value
            .is_some_and(|own| own == 0.0 || rate.portfolio.is_some_and(|all| own < all / 2.0));
        rate.code == code && low
    })
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "harsh_braking" => "More distance and a look further ahead: braking that begins earlier is softer.",
        "harsh_acceleration" => "Press the pedal more slowly when setting off and when joining traffic.",
        "harsh_cornering" => "Slow down before the bend, not in it.",
        "speeding" => "Keep to the limit also where the road would allow more.",
        "phone_use" => "Put the phone out of reach before setting off.",
        "night" => "Where there is a choice, drive by day: the risk of a crash per kilometre is lower.",
        _ => return None,
    })
}

fn premiums(premiums: &[ReportPremium]) -> String {
    let heading = "Premium";
    if premiums.is_empty() {
        return section(
            heading,
            false,
            &nothing("No premium was rated for this period with this driver as main driver."),
        );
    }
    let one = |premium: &ReportPremium| {
        let policy = premium
            .external_ref
            .clone()
            .unwrap_or_else(|| premium.policy.to_string());
        let steps: String = premium
            .steps
            .iter()
            .map(|step| {
                let what = capital(&step.step.replace('_', " "));
                format!(
                    "<li><b>{}</b>: {} → {}</li>",
                    esc(&what),
                    esc(&step.explanation),
                    esc(&step.value)
                )
            })
            .collect();
        let corrected = match premium.version {
            1 => String::new(),
            version => {
                let times = count(i64::from(version) - 1, "time", "times");
                format!(" Rated anew {times} as data came in; this is the figure that holds.")
            }
        };
        let product = match premium.product.as_str() {
            "payd" => "pay as you drive: by distance alone",
            "phyd" => "pay how you drive: by distance and behaviour",
            other => other,
        };
        format!(
            "<p><b>{}: {} {}</b> (policy {}, {}).{}</p><details{}><summary>How it comes about, step by step</summary>\
             <ol class=\"plain\">{steps}</ol></details>",
            esc(&premium.period),
            esc(&premium.amount),
            esc(&premium.currency),
            esc(&policy),
            esc(product),
            esc(&corrected),
            if premiums.len() == 1 { " open" } else { "" },
        )
    };
    section(heading, false, &premiums.iter().map(one).collect::<String>())
}

fn sketch(report: &DriverReport) -> String {
    let heading = "Where";
    if let Some(why) = &report.map.none_because {
        return section(heading, true, &nothing(&format!("There is no map: {why}.")));
    }
    let trips: Vec<_> = report.map.trips.iter().map(|trip| trip.points.clone()).collect();
    let mut told = format!(
        "{} drawn to scale, without streets; often used ways are darker.",
        count(trips.len() as i64, "trip", "trips")
    );
    if report.map.left_out > 0 {
        told += &format!(
            " {} before them are left out.",
            count(report.map.left_out as i64, "trip", "trips")
        );
    }
    let label = Label {
        id: "map",
        title: "Sketch of the trips",
        description: &told,
    };
    let colours = key(&[("start", "start of a trip"), ("own", "end of a trip")]);
    section(
        heading,
        true,
        &(sentence(&told) + &map::sketch(label, &trips) + &colours),
    )
}

fn vehicles(vehicles: &[ReportMember]) -> String {
    let rows: Vec<_> = vehicles
        .iter()
        .map(|vehicle| {
            vec![
                vehicle.external_ref.clone().unwrap_or_else(|| vehicle.id.to_string()),
                number(vehicle.distance_km, 1),
                vehicle.trips.to_string(),
                vehicle.idle_share.map_or_else(|| "–".to_owned(), percent),
            ]
        })
        .collect();
    let content = table("Vehicles driven", &["vehicle", "#km", "#trips", "#standing"], &rows);
    section("With which vehicles", true, &content)
}
