//! What a fleet drove in some days, in one look.

use chrono::NaiveDate;
use odograph_domain::{
    event::BehaviourKind,
    id::{FleetId, IdOrRef},
};
use rust_decimal::prelude::ToPrimitive;

use crate::{
    error::{Result, StoreError},
    fleets::find_fleet,
    tenant::{TenantStore, named},
};

/// Of the vehicles that are in the fleet now, over trips that started on insured-local days.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSummary {
    pub fleet: FleetId,
    pub vehicles: i64,
    /// Vehicles with a trip.
    pub active_vehicles: i64,
    /// Drivers that are known to have driven.
    pub drivers: i64,
    pub trips: i64,
    pub distance_m: f64,
    pub duration_s: f64,
    pub idle_s: f64,
    /// Distance of the trips of which behaviour may be kept: what the events are from.
    pub behaviour_m: f64,
    pub events: Vec<(BehaviourKind, i64)>,
    pub score: Option<FleetScore>,
}

/// Over the drivers who drove and have a score: each one's newest up to the last day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetScore {
    pub drivers: i64,
    /// Weighted by what each drove in the fleet's vehicles.
    pub mean: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl TenantStore {
    /// Both days inclusive.
    pub async fn fleet_summary(
        &self,
        fleet: &IdOrRef<FleetId>,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<FleetSummary> {
        let tenant = self.tenant_id();
        let mut tx = self.begin().await?;
        let fleet = find_fleet(&mut tx, tenant, fleet).await?.id;
        let totals = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM fleet_vehicle WHERE tenant_id = $1 AND fleet_id = $2) AS "vehicles!",
                      count(DISTINCT t.vehicle_id) AS "active_vehicles!", count(DISTINCT t.driver_id) AS "drivers!",
                      count(*) AS "trips!", coalesce(sum(f.billable_m), 0) AS "distance_m!",
                      coalesce(sum(f.duration_s), 0) AS "duration_s!", coalesce(sum(f.idle_s), 0) AS "idle_s!",
                      coalesce(sum(f.billable_m) FILTER (WHERE f.mean_speed_kmh IS NOT NULL), 0) AS "behaviour_m!"
               FROM fleet_reach v
               JOIN trip t ON t.tenant_id = v.tenant_id AND t.vehicle_id = v.vehicle_id
                 AND (v.starts_at IS NULL OR v.starts_at <= t.started_at) AND (v.ends_at IS NULL OR t.started_at < v.ends_at)
               JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id
               WHERE v.tenant_id = $1 AND v.fleet_id = $2 AND t.start_day BETWEEN $3 AND $4"#,
            tenant.uuid(),
            fleet.uuid(),
            from,
            to,
        )
        .fetch_one(&mut *tx)
        .await?;
        let events = sqlx::query!(
            r#"SELECT e.kind, count(*) AS "count!"
               FROM fleet_reach v
               JOIN trip t ON t.tenant_id = v.tenant_id AND t.vehicle_id = v.vehicle_id
                 AND (v.starts_at IS NULL OR v.starts_at <= t.started_at) AND (v.ends_at IS NULL OR t.started_at < v.ends_at)
               JOIN behaviour_event e ON e.tenant_id = t.tenant_id AND e.trip_id = t.id
               WHERE v.tenant_id = $1 AND v.fleet_id = $2 AND t.start_day BETWEEN $3 AND $4
               GROUP BY e.kind ORDER BY e.kind"#,
            tenant.uuid(),
            fleet.uuid(),
            from,
            to,
        )
        .fetch_all(&mut *tx)
        .await?;
        let scores = sqlx::query!(
            r#"SELECT d.metres AS "metres!", s.value AS "value!"
               FROM (SELECT t.driver_id, sum(f.billable_m) AS metres
                     FROM fleet_reach v
                     JOIN trip t ON t.tenant_id = v.tenant_id AND t.vehicle_id = v.vehicle_id
                       AND (v.starts_at IS NULL OR v.starts_at <= t.started_at) AND (v.ends_at IS NULL OR t.started_at < v.ends_at)
                     JOIN trip_features f ON f.tenant_id = t.tenant_id AND f.trip_id = t.id
                     WHERE v.tenant_id = $1 AND v.fleet_id = $2 AND t.start_day BETWEEN $3 AND $4
                     GROUP BY t.driver_id) AS d
               JOIN LATERAL (SELECT value FROM score WHERE tenant_id = $1 AND driver_id = d.driver_id AND as_of <= $4
                             ORDER BY as_of DESC LIMIT 1) AS s ON true"#,
            tenant.uuid(),
            fleet.uuid(),
            from,
            to,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let events = events
            .into_iter()
            .map(|row| Ok((named(&row.kind, BehaviourKind::parse)?, row.count)));
        let scores = scores.into_iter().map(|row| {
            let value = row.value.to_f64().ok_or_else(|| StoreError::corrupt("a score"))?;
            Ok((row.metres, value))
        });
        Ok(FleetSummary {
            fleet,
            vehicles: totals.vehicles,
            active_vehicles: totals.active_vehicles,
            drivers: totals.drivers,
            trips: totals.trips,
            distance_m: totals.distance_m,
            duration_s: totals.duration_s,
            idle_s: totals.idle_s,
            behaviour_m: totals.behaviour_m,
            events: events.collect::<Result<_>>()?,
            score: mean(&scores.collect::<Result<Vec<_>>>()?),
        })
    }
}

/// `scores`: metres driven, and the score.
fn mean(scores: &[(f64, f64)]) -> Option<FleetScore> {
    let metres: f64 = scores.iter().map(|(metres, _)| metres).sum();
    let sum: f64 = scores.iter().map(|(metres, value)| metres * value).sum();
    let values = scores.iter().map(|(_, value)| *value);
    (metres > 0.0).then(|| FleetScore {
        drivers: scores.len() as i64,
        mean: sum / metres,
        lowest: values.clone().fold(f64::INFINITY, f64::min),
        highest: values.fold(f64::NEG_INFINITY, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drives_more_counts_more() {
        let score = mean(&[(3_000.0, 80.0), (1_000.0, 40.0)]).unwrap();
        assert_eq!(
            (score.drivers, score.mean, score.lowest, score.highest),
            (2, 70.0, 40.0, 80.0)
        );
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[(0.0, 50.0)]), None);
    }
}
