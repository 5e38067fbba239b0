//! Who is far from the others, by the modified z-score (Iglewicz and Hoaglin 1993, *How to Detect and Handle Outliers*): the
//! distance from the median in units of the median absolute deviation, which a few extremes do not move.

use super::figures::{ReportMember, ReportOutlier};

/// Their recommended bound.
const FAR: f64 = 3.5;
/// Makes the median absolute deviation of a normal distribution its standard deviation.
const NORMAL: f64 = 0.6745;
/// With fewer to compare with nobody is far from anything.
const LEAST_MEMBERS: usize = 8;
/// A rate over fewer kilometres is chance.
const LEAST_KM: f64 = 50.0;

/// A measure, its value of a member, and the smallest spread that means anything in its unit.
type Measure = (&'static str, fn(&ReportMember) -> Option<f64>, f64);

const MEASURES: [Measure; 4] = [
    ("distance_km", |member| Some(member.distance_km), 10.0),
    ("harsh_per_100_km", |member| member.harsh_per_100_km, 1.0),
    ("idle_share", |member| member.idle_share, 0.02),
    ("score", |member| member.score, 1.0),
];

pub(super) fn among(kind: &str, members: &[ReportMember]) -> Vec<ReportOutlier> {
    let mut found = Vec::new();
    for (measure, value, least_spread) in MEASURES {
        let known: Vec<(&ReportMember, f64)> = members
            .iter()
            .filter(|member| measure == "distance_km" || member.distance_km >= LEAST_KM)
            .filter_map(|member| value(member).map(|value| (member, value)))
            .collect();
        if known.len() < LEAST_MEMBERS {
            continue;
        }
        let middle = median(known.iter().map(|(_, value)| *value).collect());
        let spread = median(known.iter().map(|(_, value)| (value - middle).abs()).collect()).max(least_spread);
        let far = known
            .iter()
            .filter(|(_, value)| (NORMAL * (value - middle) / spread).abs() > FAR);
        found.extend(far.map(|(member, value)| ReportOutlier {
            kind: kind.to_owned(),
            id: member.id,
            external_ref: member.external_ref.clone(),
            measure: measure.to_owned(),
            value: *value,
            median: middle,
        }));
    }
    found
}

/// Of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        0 => (values[half - 1] + values[half]) / 2.0,
        _ => values[half],
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn member(number: u128, harsh: f64) -> ReportMember {
        ReportMember {
            id: Uuid::from_u128(number),
            external_ref: None,
            trips: 10,
            distance_km: 400.0 + number as f64,
            idle_share: Some(0.1),
            harsh_per_100_km: Some(harsh),
            score: None,
        }
    }

    #[test]
    fn one_far_from_the_others_is_named_and_no_other() {
        let mut members: Vec<_> = (0..20).map(|n| member(n, 4.0 + n as f64 / 10.0)).collect();
        assert_eq!(among("driver", &members), []);
        members.push(member(20, 30.0));
        let found = among("driver", &members);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].id, found[0].measure.as_str()),
            (Uuid::from_u128(20), "harsh_per_100_km")
        );
        assert_eq!(found[0].median, 5.0);
        // The same rate over a few kilometres says nothing, and of a few nobody is far.
        members[20].distance_km = 30.0;
        assert!(among("driver", &members).iter().all(|far| far.measure == "distance_km"));
        assert_eq!(among("driver", &members[18..]), []);
    }
}
