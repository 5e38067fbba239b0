//! Pages of nothing, of little and of somebody with an evil name.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{content_security_policy, driver_page, fleet_page};
use crate::report::figures::{
    DriverReport, FleetReport, ReportBehaviour, ReportChange, ReportDay, ReportDriven, ReportHour, ReportMade,
    ReportMap, ReportMember, ReportMileage, ReportOutlier, ReportPremium, ReportRate, ReportReason, ReportScore,
    ReportScoreDay, ReportStep, ReportTotals, ReportTrack, ReportUnit,
};

const EVIL: &str = "<script>alert(1)</script>\"'&";

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 5, number).unwrap()
}

fn made() -> ReportMade {
    ReportMade {
        generated_at: DateTime::<Utc>::UNIX_EPOCH,
        version: EVIL.to_owned(),
        time_zones: vec![EVIL.to_owned()],
        feature_plans: Some([1, 2]),
        derived_at: None,
    }
}

fn nothing_driven() -> ReportDriven {
    ReportDriven {
        period: "2026-05".to_owned(),
        from: day(1),
        to: day(31),
        totals: ReportTotals {
            trips: 0,
            distance_km: 0.0,
            days_driven: 0,
            vehicles: 0,
            drivers: 0,
            moving_h: 0.0,
            idle_h: 0.0,
            idle_share: None,
        },
        days: vec![],
        hours: vec![],
        mileage: vec![],
        mileage_reasons: vec![],
        behaviour: None,
    }
}

fn driven() -> ReportDriven {
    ReportDriven {
        totals: ReportTotals {
            trips: 2,
            distance_km: 30.0,
            days_driven: 1,
            vehicles: 1,
            drivers: 1,
            moving_h: 0.5,
            idle_h: 0.1,
            idle_share: Some(0.16),
        },
        days: vec![ReportDay {
            day: day(4),
            trips: 2,
            distance_km: 30.0,
        }],
        hours: vec![ReportHour {
            weekday: 1,
            hour: 7,
            trips: 2,
            distance_km: 30.0,
        }],
        mileage: vec![ReportMileage {
            grade: "A".to_owned(),
            source: Some(EVIL.to_owned()),
            trips: 2,
            distance_km: 30.0,
        }],
        behaviour: Some(ReportBehaviour {
            trips: 2,
            top_speed_kmh: 90.0,
            rates: vec![ReportRate {
                code: EVIL.to_owned(),
                unit: ReportUnit::Per100Km,
                events: Some(3),
                value: Some(10.0),
                portfolio: Some(4.0),
            }],
        }),
        ..nothing_driven()
    }
}

fn member() -> ReportMember {
    ReportMember {
        id: Uuid::from_u128(2),
        external_ref: Some(EVIL.to_owned()),
        trips: 2,
        distance_km: 30.0,
        idle_share: None,
        harsh_per_100_km: Some(10.0),
        score: Some(70.0),
    }
}

fn driver(driven: ReportDriven) -> DriverReport {
    DriverReport {
        driver: Uuid::from_u128(1),
        external_ref: Some("D-1".to_owned()),
        name: None,
        driven,
        score: None,
        premiums: vec![],
        vehicles: vec![],
        map: ReportMap {
            none_because: Some("nothing".to_owned()),
            trips: vec![],
            left_out: 0,
        },
        made: made(),
    }
}

fn evil_driver() -> DriverReport {
    DriverReport {
        external_ref: Some(EVIL.to_owned()),
        name: Some(EVIL.to_owned()),
        score: Some(ReportScore {
            days: vec![ReportScoreDay {
                day: day(4),
                score: 70.0,
            }],
            window_days: 90,
            exposure_km: 30.0,
            reasons: vec![ReportReason {
                code: EVIL.to_owned(),
                text: EVIL.to_owned(),
                points: -8.0,
            }],
            changes: vec![ReportChange {
                code: EVIL.to_owned(),
                points: -2.0,
            }],
            model: EVIL.to_owned(),
            parameters_sha256: EVIL.to_owned(),
        }),
        premiums: vec![ReportPremium {
            policy: Uuid::from_u128(3),
            external_ref: Some(EVIL.to_owned()),
            period: "2026-05".to_owned(),
            product: EVIL.to_owned(),
            amount: "48.33".to_owned(),
            currency: "EUR".to_owned(),
            version: 2,
            plan_version: 1,
            steps: vec![ReportStep {
                step: EVIL.to_owned(),
                explanation: EVIL.to_owned(),
                value: "1".to_owned(),
            }],
        }],
        vehicles: vec![member(), member()],
        map: ReportMap {
            none_because: None,
            trips: vec![ReportTrack {
                trip: Uuid::from_u128(4),
                points: vec![[52.0, 13.0], [52.1, 13.1]],
            }],
            left_out: 3,
        },
        ..driver(driven())
    }
}

/// Every element that is opened is closed, in order.
fn well_formed(html: &str) {
    let mut open = Vec::new();
    let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
    for (at, _) in html
        .match_indices('<')
        .filter(|(at, _)| !style.contains(at) || *at == style.start)
    {
        let tag = &html[at + 1..at + html[at..].find('>').unwrap()];
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_alphanumeric())
            .collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{}", &html[at.saturating_sub(200)..at]);
        } else if !tag.ends_with('/') && !tag.starts_with('!') && name != "meta" {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<String>::new());
}

/// Nothing that is fetched or run; every id once, and every label there.
fn stands_alone(html: &str) {
    well_formed(html);
    for never in [
        "<script", "http://", "https://", "url(", "@import", " src=", " href=", " style=", " onload", "NaN",
    ] {
        assert!(!html.contains(never), "{never}");
    }
    assert!(html.contains(&content_security_policy()));
    let mut ids: Vec<_> = html
        .split(" id=\"")
        .skip(1)
        .map(|part| part.split('"').next().unwrap())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn a_page_of_nothing_says_so() {
    let html = driver_page(&driver(nothing_driven()));
    stands_alone(&html);
    assert!(html.contains("Nothing was driven from 2026-05-01 to 2026-05-31."));
    assert!(html.contains("There are no trips in this period."));
    assert!(!html.contains("<svg"));
    let fleet = FleetReport {
        fleet: None,
        name: "All vehicles".to_owned(),
        driven: nothing_driven(),
        drivers: vec![],
        vehicles: vec![],
        outliers: vec![],
        made: made(),
    };
    stands_alone(&fleet_page(&fleet));
}

#[test]
fn distance_alone_where_no_behaviour_is_kept() {
    let mut driven = driven();
    driven.behaviour = None;
    let html = driver_page(&driver(driven));
    stands_alone(&html);
    assert!(
        html.contains("This report is about distance.")
            && html.contains("There is no score: the product charges by distance alone")
    );
}

#[test]
fn a_name_does_not_run() {
    let html = driver_page(&evil_driver());
    stands_alone(&html);
    assert!(
        html.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;")
            .count()
            > 10
    );
    assert_eq!(html.matches("<svg").count(), 7);
    assert!(html.contains("Rated anew 1\u{a0}time as data came in"));
    let fleet = FleetReport {
        fleet: Some(Uuid::from_u128(9)),
        name: EVIL.to_owned(),
        driven: driven(),
        drivers: vec![member()],
        vehicles: vec![member()],
        outliers: vec![ReportOutlier {
            kind: "driver".to_owned(),
            id: Uuid::from_u128(2),
            external_ref: Some(EVIL.to_owned()),
            measure: "harsh_per_100_km".to_owned(),
            value: 10.0,
            median: 4.0,
        }],
        made: made(),
    };
    stands_alone(&fleet_page(&fleet));
}

#[test]
fn the_same_figures_give_the_same_page() {
    assert_eq!(driver_page(&evil_driver()), driver_page(&evil_driver()));
}
