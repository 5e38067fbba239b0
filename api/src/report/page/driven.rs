//! The parts that drivers' and fleets' reports share: distance, hours, behaviour, how well the distance is supported.

use chrono::{Datelike as _, Days, NaiveDate};

use super::parts::{behind, key, nothing, section, sentence, table};
use crate::report::{
    charts::{
        Label,
        bar::{self, Bar, Pair, Part},
        heat,
    },
    figures::{ReportBehaviour, ReportDriven, ReportRate, ReportUnit},
    text::{capital, count, duration, km, number, percent, weekday, words},
};

/// More days than this are shown by weeks.
const MOST_DAYS: i64 = 62;

pub(super) const NO_TRIPS: &str = "There are no trips in this period.";

pub(super) fn tiles(driven: &ReportDriven) -> Vec<(String, String)> {
    let totals = &driven.totals;
    let mut tiles = vec![
        ("driven".to_owned(), km(totals.distance_km)),
        (
            if totals.trips == 1 { "trip" } else { "trips" }.to_owned(),
            number(totals.trips as f64, 0),
        ),
        ("at the wheel, moving".to_owned(), duration(totals.moving_h)),
    ];
    if let Some(share) = totals.idle_share {
        tiles.push(("of the trips’ time standing".to_owned(), percent(share)));
    }
    tiles
}

/// Every day (or week, from Monday) of the period with its distance and trips.
fn spans(driven: &ReportDriven) -> (bool, Vec<(NaiveDate, f64, i64)>) {
    let weekly = (driven.to - driven.from).num_days() >= MOST_DAYS;
    let start = |day: NaiveDate| match weekly {
        true => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
        false => day,
    };
    let mut spans = Vec::new();
    let (mut day, last) = (start(driven.from), driven.to);
    while day <= last {
        spans.push((day, 0.0, 0));
        day = day + Days::new(if weekly { 7 } else { 1 });
    }
    for driven in &driven.days {
        if let Ok(at) = spans.binary_search_by_key(&start(driven.day), |span| span.0) {
            spans[at].1 += driven.distance_km;
            spans[at].2 += driven.trips;
        }
    }
    (weekly, spans)
}

pub(super) fn distance(driven: &ReportDriven) -> String {
    let heading = "How far";
    if driven.days.is_empty() {
        return section(heading, false, &nothing(NO_TRIPS));
    }
    let totals = &driven.totals;
    let (weekly, spans) = spans(driven);
    let each = if weekly { "week" } else { "day" };
    let bars: Vec<Bar> = spans
        .iter()
        .map(|(day, distance_km, trips)| Bar {
            label: day.format("%m-%d").to_string(),
            value: *distance_km,
            says: format!("{day}: {}, {}", km(*distance_km), count(*trips, "trip", "trips")),
        })
        .collect();
    let most = driven
        .days
        .iter()
        .max_by(|a, b| a.distance_km.total_cmp(&b.distance_km));
    let mut told = format!(
        "{} in {} on {}: {} on a day that was driven",
        km(totals.distance_km),
        count(totals.trips, "trip", "trips"),
        count(totals.days_driven, "day", "days"),
        km(totals.distance_km / totals.days_driven.max(1) as f64),
    );
    if let Some(most) = most {
        told += &format!(", the most on {} with {}", most.day, km(most.distance_km));
    }
    let title = format!("Distance by {each}");
    let label = Label {
        id: "distance",
        title: &title,
        description: &told,
    };
    let rows: Vec<_> = spans
        .iter()
        .filter(|span| span.2 > 0)
        .map(|(day, distance, trips)| vec![day.to_string(), number(*distance, 1), trips.to_string()])
        .collect();
    let head = [if weekly { "week from" } else { "day" }, "#km", "#trips"];
    let chart = bar::columns(label, &format!("km by {each}"), &bars);
    let figures = behind(&table(&title, &head, &rows));
    section(heading, false, &(sentence(&(told + ".")) + &chart + &figures))
}

pub(super) fn hours(driven: &ReportDriven) -> String {
    let heading = "When";
    let Some(most) = driven
        .hours
        .iter()
        .max_by(|a, b| a.distance_km.total_cmp(&b.distance_km))
    else {
        return section(heading, false, &nothing(NO_TRIPS));
    };
    let total: f64 = driven.hours.iter().map(|hour| hour.distance_km).sum();
    let share = |of: &dyn Fn(i32, i32) -> bool| {
        let part: f64 = driven
            .hours
            .iter()
            .filter(|h| of(h.weekday, h.hour))
            .map(|h| h.distance_km)
            .sum();
        if total > 0.0 { part / total } else { 0.0 }
    };
    let told = format!(
        "Most is driven in trips that begin on {} from {:02}:00. {} of the distance belongs to trips begun on a weekend, {} to trips \
         begun between 22:00 and 05:00.",
        weekday(most.weekday),
        most.hour,
        percent(share(&|day, _| day >= 6)),
        percent(share(&|_, hour| !(5..22).contains(&hour))),
    );
    let says = |hour: &crate::report::figures::ReportHour| {
        let trips = count(hour.trips, "trip", "trips");
        format!(
            "{} {:02}:00: {}, {trips}",
            weekday(hour.weekday),
            hour.hour,
            km(hour.distance_km)
        )
    };
    let cells: Vec<heat::Cell> = driven
        .hours
        .iter()
        .map(|hour| (hour.weekday, hour.hour, hour.distance_km, says(hour)))
        .collect();
    let label = Label {
        id: "hours",
        title: "Distance by the weekday and hour a trip began",
        description: &told,
    };
    let rows: Vec<_> = driven
        .hours
        .iter()
        .map(|h| {
            let at = format!("{} {:02}:00", weekday(h.weekday), h.hour);
            vec![at, number(h.distance_km, 1), h.trips.to_string()]
        })
        .collect();
    let figures = behind(&table("When trips began", &["hour", "#km", "#trips"], &rows));
    section(
        heading,
        false,
        &(sentence(&told) + &heat::week(label, &cells) + &figures),
    )
}

/// What a code is called in a sentence.
pub(super) fn noun(code: &str) -> String {
    match code {
        "speeding" => "driving above the speed limit".to_owned(),
        "phone_use" => "phone in hand while driving".to_owned(),
        "night" => "driving between 22:00 and 05:00".to_owned(),
        other => words(other),
    }
}

pub(super) fn behaviour(driven: &ReportDriven, whose: &str) -> String {
    let heading = "How";
    let Some(behaviour) = &driven.behaviour else {
        let why = match driven.totals.trips {
            0 => NO_TRIPS,
            _ => {
                "No behaviour is kept: the product charges by distance alone, or there was no cover. This report is about distance."
            }
        };
        return section(heading, false, &nothing(why));
    };
    let compared = behaviour.rates.iter().any(|rate| rate.portfolio.is_some());
    let mut content = compare(behaviour, compared);
    content += &rates(
        behaviour,
        ReportUnit::Per100Km,
        "events",
        "Harsh manoeuvres per 100 km",
        whose,
    );
    content += &rates(
        behaviour,
        ReportUnit::ShareOfTime,
        "shares",
        "Share of the driving time",
        whose,
    );
    let mut colours = vec![("own", whose)];
    if compared {
        colours.push(("all", "all drivers of the insurer, same period"));
    }
    content += &key(&colours);
    content += &sentence(&format!("Highest speed: {} km/h.", number(behaviour.top_speed_kmh, 0)));
    content += &behind(&table(
        "Behaviour",
        &["what", "#events", "#own", "#all drivers"],
        &rows(behaviour),
    ));
    section(heading, false, &content)
}

fn written(rate: &ReportRate, value: f64) -> String {
    match rate.unit {
        ReportUnit::Per100Km => format!("{} per 100 km", number(value, 1)),
        ReportUnit::ShareOfTime => percent(value),
    }
}

/// What is better and what worse than with everybody, by a fifth at least.
fn compare(behaviour: &ReportBehaviour, compared: bool) -> String {
    if !compared {
        return String::new();
    }
    let differs = |better: bool| {
        let kept = behaviour
            .rates
            .iter()
            .filter(|rate| match (rate.value, rate.portfolio) {
                (Some(own), Some(all)) if better => own < all * 0.8,
                (Some(own), Some(all)) => own > all * 1.2 && own > 0.0,
                _ => false,
            });
        kept.map(|rate| noun(&rate.code)).collect::<Vec<_>>().join(", ")
    };
    let told: Vec<String> = [
        ("Less than with other drivers", true),
        ("More than with other drivers", false),
    ]
    .into_iter()
    .map(|(what, better)| (what, differs(better)))
    .filter(|(_, list)| !list.is_empty())
    .map(|(what, list)| format!("{what}: {list}."))
    .collect();
    match told.is_empty() {
        true => sentence("Much like other drivers in everything that is measured."),
        false => sentence(&told.join(" ")),
    }
}

fn rates(behaviour: &ReportBehaviour, unit: ReportUnit, id: &str, title: &str, whose: &str) -> String {
    let of_unit: Vec<&ReportRate> = behaviour.rates.iter().filter(|rate| rate.unit == unit).collect();
    let pairs: Vec<Pair> = of_unit
        .iter()
        .map(|rate| Pair {
            label: capital(&noun(&rate.code)),
            own: rate.value,
            all: rate.portfolio,
        })
        .collect();
    let told: Vec<String> = of_unit
        .iter()
        .map(|rate| {
            let value = rate
                .value
                .map_or_else(|| "not observed".to_owned(), |value| written(rate, value));
            let all = rate
                .portfolio
                .map_or_else(String::new, |all| format!(" (all drivers: {})", written(rate, all)));
            format!("{}: {value}{all}", noun(&rate.code))
        })
        .collect();
    let description = format!("{}: {}.", capital(whose), told.join("; "));
    let label = Label {
        id,
        title,
        description: &description,
    };
    let write = |value: f64| match unit {
        ReportUnit::Per100Km => number(value, 1),
        ReportUnit::ShareOfTime => percent(value),
    };
    format!("<p class=\"key\">{title}</p>{}", bar::pairs(label, &pairs, write))
}

fn rows(behaviour: &ReportBehaviour) -> Vec<Vec<String>> {
    let or_dash =
        |rate: &ReportRate, value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| written(rate, value));
    let row = |rate: &ReportRate| {
        vec![
            capital(&noun(&rate.code)),
            rate.events.map_or_else(|| "–".to_owned(), |events| events.to_string()),
            or_dash(rate, rate.value),
            or_dash(rate, rate.portfolio),
        ]
    };
    behaviour.rates.iter().map(row).collect()
}

const GRADES: [(&str, &str, &str); 4] = [
    ("A", "ga", "A: two or more sources agree"),
    ("B", "gb", "B: one sound source"),
    ("C", "gc", "C: sources disagree, or a part is missing"),
    ("D", "gd", "D: too little evidence"),
];

pub(super) fn mileage(driven: &ReportDriven) -> String {
    let heading = "How sure the distance is";
    if driven.mileage.is_empty() {
        return section(heading, false, &nothing(NO_TRIPS));
    }
    let of = |grade: &str| {
        let parts = driven.mileage.iter().filter(|part| part.grade == grade);
        parts.map(|part| part.distance_km).sum::<f64>()
    };
    let total: f64 = driven.mileage.iter().map(|part| part.distance_km).sum();
    let sure = if total > 0.0 { (of("A") + of("B")) / total } else { 0.0 };
    let told = format!(
        "{} of the distance rests on sound evidence (grades A and B).",
        percent(sure)
    );
    let parts: Vec<Part> = GRADES
        .iter()
        .filter(|(grade, _, _)| driven.mileage.iter().any(|part| part.grade == *grade))
        .map(|(grade, class, says)| Part {
            label: (*says).to_owned(),
            class,
            value: of(grade),
        })
        .collect();
    let label = Label {
        id: "mileage",
        title: "Distance by how well it is supported",
        description: &told,
    };
    let rows: Vec<_> = driven
        .mileage
        .iter()
        .map(|part| {
            let source = part.source.as_deref().map_or("–", |source| source);
            vec![
                part.grade.clone(),
                words(source),
                number(part.distance_km, 1),
                part.trips.to_string(),
            ]
        })
        .collect();
    let reasons: Vec<_> = driven
        .mileage_reasons
        .iter()
        .map(|reason| vec![capital(&words(&reason.code)), reason.count.to_string()])
        .collect();
    let figures = table("By grade and source", &["grade", "source", "#km", "#trips"], &rows)
        + &table("What was found", &["finding", "#trips"], &reasons);
    let chart = bar::stacked(label, &parts);
    section(heading, false, &(sentence(&told) + &chart + &behind(&figures)))
}
