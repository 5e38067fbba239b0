//! From the store to figures.

use chrono::{DateTime, Days, TimeZone as _, Utc};
use odograph_domain::{
    event::BehaviourKind,
    id::{DriverId, TripId},
    policy::Policy,
    score::Score,
};
use odograph_store::{
    Driven, DrivenBehaviour, DriverRecord, FleetRecord, Listed, Member, Page, PremiumRow, Result, Span, TenantStore,
    Thresholds, TripFilter, Whose,
};
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use uuid::Uuid;

use super::{
    figures::{
        DriverReport, FleetReport, ReportBehaviour, ReportChange, ReportCount, ReportDay, ReportDriven, ReportHour,
        ReportMade, ReportMap, ReportMember, ReportMileage, ReportPremium, ReportRate, ReportReason, ReportScore,
        ReportScoreDay, ReportStep, ReportTotals, ReportTrack, ReportUnit,
    },
    outliers,
    period::Period,
};

/// Trips drawn on a map at most, and points of each.
const MOST_TRACKS: usize = 40;
const MOST_POINTS: usize = 250;

/// What is asked for, and what whoever asks may see.
#[derive(Debug, Clone)]
pub struct Ask {
    pub period: Period,
    pub now: DateTime<Utc>,
    /// Whether the map may be drawn. Each track that is read is audited.
    pub tracks: bool,
    /// Whether the driver's name may be told; that it is read is audited.
    pub identity: bool,
    /// From which peak on a behaviour event counts.
    pub event_threshold: fn(BehaviourKind) -> f64,
}

impl Ask {
    fn span(&self, whose: Whose) -> Span {
        Span {
            whose,
            from: self.period.from,
            to: self.period.to,
        }
    }

    fn thresholds(&self) -> Thresholds {
        let least = |kind: &BehaviourKind| (*kind, (self.event_threshold)(*kind));
        BehaviourKind::ALL.iter().map(least).collect()
    }
}

pub async fn driver(store: &TenantStore, record: DriverRecord, ask: &Ask) -> Result<DriverReport> {
    let (span, thresholds) = (ask.span(Whose::Driver(record.id)), ask.thresholds());
    let name = match ask.identity {
        true => store
            .driver_identity(record.id)
            .await?
            .and_then(|identity| identity.name),
        false => None,
    };
    let driven = store.driven(&span, &thresholds).await?;
    let portfolio = store.driven_behaviour(&ask.span(Whose::Everybody), &thresholds).await?;
    let scores = every(|page| store.scores(record.id, (Some(span.from), Some(span.to)), false, page)).await?;
    let vehicles = store.members_by_vehicle(&span, &thresholds).await?;
    Ok(DriverReport {
        driver: record.id.uuid(),
        external_ref: record.external_ref.map(|reference| reference.to_string()),
        name,
        score: score(scores.into_iter().map(|row| row.score).collect()),
        premiums: premiums(store, record.id, &ask.period).await?,
        vehicles: vehicles.into_iter().map(member).collect(),
        map: map(store, record.id, ask).await?,
        made: made(&driven, ask.now),
        driven: figures(&ask.period, driven, portfolio.as_ref()),
    })
}

/// Of a fleet, or of everything the tenant has.
pub async fn fleet(store: &TenantStore, fleet: Option<FleetRecord>, ask: &Ask) -> Result<FleetReport> {
    let whose = fleet.as_ref().map_or(Whose::Everybody, |fleet| Whose::Fleet(fleet.id));
    let (span, thresholds) = (ask.span(whose), ask.thresholds());
    let driven = store.driven(&span, &thresholds).await?;
    let portfolio = match whose {
        Whose::Everybody => None,
        _ => {
            let everybody = ask.span(Whose::Everybody);
            store.driven_behaviour(&everybody, &thresholds).await?
        }
    };
    let drivers = store.members_by_driver(&span, &thresholds).await?;
    let drivers: Vec<_> = drivers.into_iter().map(member).collect();
    let vehicles = store.members_by_vehicle(&span, &thresholds).await?;
    let vehicles: Vec<_> = vehicles.into_iter().map(member).collect();
    let mut far = outliers::among("driver", &drivers);
    far.extend(outliers::among("vehicle", &vehicles));
    let name = fleet.as_ref().map_or("All vehicles", |fleet| &fleet.name).to_owned();
    Ok(FleetReport {
        fleet: fleet.map(|fleet| fleet.id.uuid()),
        name,
        made: made(&driven, ask.now),
        driven: figures(&ask.period, driven, portfolio.as_ref()),
        drivers,
        vehicles,
        outliers: far,
    })
}

async fn every<T, F: Future<Output = Result<Listed<T>>>>(read: impl Fn(Page) -> F) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let listed = read(Page { after, limit: 200 }).await?;
        items.extend(listed.items);
        after = listed.next;
        if after.is_none() {
            return Ok(items);
        }
    }
}

fn km(metres: i64) -> f64 {
    metres as f64 / 1000.0
}

fn share(part: i64, rest: i64) -> Option<f64> {
    (part + rest > 0).then(|| part as f64 / (part + rest) as f64)
}

fn figures(period: &Period, driven: Driven, portfolio: Option<&DrivenBehaviour>) -> ReportDriven {
    let sum = |of: fn(&odograph_store::DrivenDay) -> i64| driven.days.iter().map(of).sum::<i64>();
    let (moving_s, idle_s) = (sum(|day| day.moving_s), sum(|day| day.idle_s));
    let totals = ReportTotals {
        trips: sum(|day| day.trips),
        distance_km: km(sum(|day| day.metres)),
        days_driven: driven.days.len() as i64,
        vehicles: driven.from.vehicles,
        drivers: driven.from.drivers,
        moving_h: moving_s as f64 / 3600.0,
        idle_h: idle_s as f64 / 3600.0,
        idle_share: share(idle_s, moving_s),
    };
    let day = |day: &odograph_store::DrivenDay| ReportDay {
        day: day.day,
        trips: day.trips,
        distance_km: km(day.metres),
    };
    let hour = |hour: &odograph_store::DrivenHour| ReportHour {
        weekday: hour.weekday,
        hour: hour.hour,
        trips: hour.trips,
        distance_km: km(hour.metres),
    };
    let mileage = |part: &odograph_store::MileageShare| ReportMileage {
        grade: part.grade.as_str().to_owned(),
        source: part.source.map(|source| source.as_str().to_owned()),
        trips: part.trips,
        distance_km: km(part.metres),
    };
    ReportDriven {
        period: period.to_string(),
        from: period.from,
        to: period.to,
        totals,
        days: driven.days.iter().map(day).collect(),
        hours: driven.hours.iter().map(hour).collect(),
        mileage: driven.mileage.iter().map(mileage).collect(),
        mileage_reasons: driven
            .mileage_reasons
            .iter()
            .map(|(reason, count)| ReportCount {
                code: reason.as_str().to_owned(),
                count: *count,
            })
            .collect(),
        behaviour: driven.behaviour.map(|own| behaviour(&own, portfolio)),
    }
}

/// What of the driving a share is of.
type ShareOf = fn(&DrivenBehaviour) -> Option<f64>;

fn behaviour(own: &DrivenBehaviour, portfolio: Option<&DrivenBehaviour>) -> ReportBehaviour {
    let counted = [
        BehaviourKind::HarshBraking,
        BehaviourKind::HarshAcceleration,
        BehaviourKind::HarshCornering,
    ];
    let events = counted.map(|kind| ReportRate {
        code: kind.as_str().to_owned(),
        unit: ReportUnit::Per100Km,
        events: Some(own.count(kind)),
        value: own.per_100_km(kind),
        portfolio: portfolio.and_then(|all| all.per_100_km(kind)),
    });
    let shares: [(&str, ShareOf); 3] = [
        ("speeding", |of| of.speeding_share),
        ("phone_use", |of| of.phone_share),
        ("night", |of| of.night_share),
    ];
    let shares = shares.map(|(code, of)| ReportRate {
        code: code.to_owned(),
        unit: ReportUnit::ShareOfTime,
        events: None,
        value: of(own),
        portfolio: portfolio.and_then(of),
    });
    ReportBehaviour {
        trips: own.trips,
        top_speed_kmh: own.top_speed_kmh,
        rates: events.into_iter().chain(shares).collect(),
    }
}

fn decimal(value: Decimal) -> f64 {
    value.to_f64().unwrap_or_default()
}

/// Newest first in.
fn score(mut scores: Vec<Score>) -> Option<ReportScore> {
    scores.reverse();
    let (first, last) = (scores.first()?, scores.last()?);
    let points = |score: &Score, code: &str| {
        let reasons = score.reasons.iter().filter(|reason| reason.code == code);
        reasons.map(|reason| reason.points).sum::<Decimal>()
    };
    let mut changes: Vec<_> = last
        .reasons
        .iter()
        .map(|reason| ReportChange {
            code: reason.code.clone(),
            points: decimal(points(last, &reason.code) - points(first, &reason.code)),
        })
        .filter(|change| change.points != 0.0)
        .collect();
    changes.sort_by(|a, b| b.points.abs().total_cmp(&a.points.abs()));
    Some(ReportScore {
        days: scores
            .iter()
            .map(|score| ReportScoreDay {
                day: score.as_of,
                score: decimal(score.value),
            })
            .collect(),
        window_days: last.window_days,
        exposure_km: last.exposure_km,
        reasons: last
            .reasons
            .iter()
            .map(|reason| ReportReason {
                code: reason.code.clone(),
                text: reason.text.clone(),
                points: decimal(reason.points),
            })
            .collect(),
        changes,
        model: format!("{} {}", last.model.name, last.model.version),
        parameters_sha256: last.model.parameters_sha256.clone(),
    })
}

async fn premiums(store: &TenantStore, driver: DriverId, period: &Period) -> Result<Vec<ReportPremium>> {
    let months = period.months();
    let mut found = Vec::new();
    for policy in store.policies_of_driver(driver).await? {
        let mut rows = every(|page| store.premiums(policy.id, None, false, page)).await?;
        // A month that was also somebody else's tells how that one drives.
        let own = |month| {
            let stretches = policy.stretches(month);
            !stretches.is_empty()
                && stretches
                    .iter()
                    .all(|stretch| stretch.terms.main_driver == Some(driver))
        };
        rows.retain(|row| months.contains(&row.rated.inputs.period) && own(row.rated.inputs.period));
        rows.sort_by_key(|row| row.rated.inputs.period);
        found.extend(rows.into_iter().map(|row| premium(row, &policy)));
    }
    Ok(found)
}

fn premium(row: PremiumRow, policy: &Policy) -> ReportPremium {
    let inputs = &row.rated.inputs;
    ReportPremium {
        policy: policy.id.uuid(),
        external_ref: policy.external_ref.as_ref().map(ToString::to_string),
        period: inputs.period.to_string(),
        product: inputs.product.as_str().to_owned(),
        amount: row.rated.premium.amount.to_string(),
        currency: row.rated.premium.currency.to_string(),
        version: row.version,
        plan_version: inputs.plan_version,
        steps: row
            .rated
            .steps
            .iter()
            .map(|step| ReportStep {
                step: step.step.clone(),
                explanation: step.explanation.clone(),
                value: shown(step.value),
            })
            .collect(),
    }
}

/// Four decimals where they say something, two at least.
fn shown(value: Decimal) -> String {
    let mut value = value.round_dp(4).normalize();
    if value.scale() < 2 {
        value.rescale(2);
    }
    value.to_string()
}

fn member<Id: Into<Uuid>>(member: Member<Id>) -> ReportMember {
    let seen_km = km(member.behaviour_metres);
    ReportMember {
        id: member.id.into(),
        external_ref: member.external_ref,
        trips: member.trips,
        distance_km: km(member.metres),
        idle_share: share(member.idle_s, member.moving_s),
        harsh_per_100_km: (seen_km > 0.0).then(|| member.harsh_events as f64 * 100.0 / seen_km),
        score: member.score.map(decimal),
    }
}

async fn map(store: &TenantStore, driver: DriverId, ask: &Ask) -> Result<ReportMap> {
    if !ask.tracks {
        return Ok(ReportMap {
            none_because: Some("whoever asked for this report may not read tracks (scope tracks:read)".to_owned()),
            trips: Vec::new(),
            left_out: 0,
        });
    }
    let trips = trips(store, driver, &ask.period).await?;
    let opened = store.clone().with_tracks();
    let mut drawn = Vec::new();
    for trip in trips.iter().take(MOST_TRACKS) {
        let samples = opened.track(*trip).await?;
        let fixes = samples.iter().filter_map(|raw| raw.sample.lat.zip(raw.sample.lon));
        let points = thinned(fixes.map(|(lat, lon)| [lat, lon]).collect());
        if points.len() > 1 {
            drawn.push(ReportTrack {
                trip: trip.uuid(),
                points,
            });
        }
    }
    let none_because = drawn.is_empty().then(|| match trips.is_empty() {
        true => "there are no trips in this period".to_owned(),
        false => "the devices sent no positions".to_owned(),
    });
    Ok(ReportMap {
        none_because,
        trips: drawn,
        left_out: trips.len().saturating_sub(MOST_TRACKS),
    })
}

/// The latest first.
async fn trips(store: &TenantStore, driver: DriverId, period: &Period) -> Result<Vec<TripId>> {
    // Wide enough for every time zone; the trip's own decides.
    let midnight = |day: chrono::NaiveDate| Utc.from_utc_datetime(&day.and_time(chrono::NaiveTime::MIN));
    let filter = TripFilter {
        driver: Some(driver),
        from: Some(midnight(period.from - Days::new(1))),
        to: Some(midnight(period.to + Days::new(2))),
        ..TripFilter::default()
    };
    let rows = every(|page| store.trips(filter.clone(), page)).await?;
    let within = |row: &odograph_store::TripRow| (period.from..=period.to).contains(&row.record.local_day());
    Ok(rows.iter().filter(|row| within(row)).map(|row| row.record.id).collect())
}

/// Evenly thinned to what a sketch can show, the ends kept.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let last = points.len() - 1;
    (0..MOST_POINTS)
        .map(|at| points[at * last / (MOST_POINTS - 1)])
        .collect()
}

fn made(driven: &Driven, now: DateTime<Utc>) -> ReportMade {
    ReportMade {
        generated_at: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time_zones: driven.from.time_zones.clone(),
        feature_plans: driven.from.plan_versions.map(|(lowest, highest)| [lowest, highest]),
        derived_at: driven.from.derived_at,
    }
}
