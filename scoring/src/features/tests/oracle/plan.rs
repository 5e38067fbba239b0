//! The plan: from the frame of samples to one row a trip.

use std::sync::Arc;

use chrono_tz::Tz;
use polars::prelude::*;

use super::{column as c, kernels};
use crate::{behaviour, mileage::fix::flag};

/// At or above this on average the car moves, m/s: walking pace, above what drift and creeping sensors show.
const MOVING_MS: f64 = 1.0;
/// Beyond this an interval's speed says nothing about where and when the car was driven.
const DAY_S: i64 = 86_400;

/// One row a trip, in the order of the trips.
pub(super) fn plan(frame: DataFrame, zones: Arc<[Tz]>) -> LazyFrame {
    frame
        .lazy()
        .with_columns([kernels::flags()])
        .with_columns([kernels::gps_m(), kernels::chord_m(), kernels::odometer_m()])
        .with_columns([
            kernels::speed_m(),
            kernels::along(),
            kernels::across(),
            kernels::impossible(),
            dt_ms(),
        ])
        .with_columns([moved_m(), night(), weekend(), over_kmh()])
        .with_columns([pace_ms()])
        .with_columns([
            moving(),
            col(c::PACE_MS).lt(lit(MOVING_MS)).fill_null(lit(false)).alias(c::IDLE),
        ])
        .group_by_stable([col(c::TRIP)])
        .agg(aggregates(zones))
}

/// Milliseconds since the row before, 0 on a trip's first.
fn dt_ms() -> Expr {
    let same_trip = col(c::TRIP).eq(col(c::TRIP).shift(lit(1)));
    when(same_trip)
        .then(col(c::T_MS) - col(c::T_MS).shift(lit(1)))
        .otherwise(lit(0_i64))
        .alias(c::DT_MS)
}

/// Metres since the row before, by the source that is best for *when* the car moved.
fn moved_m() -> Expr {
    coalesce(&[col(c::SPEED_M), col(c::GPS_M), col(c::ODOMETER_M), col(c::CHORD_M)]).alias(c::MOVED_M)
}

fn pace_ms() -> Expr {
    let seconds = col(c::DT_MS).cast(DataType::Float64) / lit(1000.0);
    when(col(c::DT_MS).gt(lit(0_i64)))
        .then(col(c::MOVED_M) / seconds)
        .otherwise(lit(NULL))
        .alias(c::PACE_MS)
}

fn moving() -> Expr {
    col(c::PACE_MS)
        .gt_eq(lit(MOVING_MS))
        .fill_null(lit(false))
        .alias(c::MOVING)
}

fn local_s() -> Expr {
    // Whole numbers divide to whole numbers, downwards: no accepted sample is from before 2000.
    col(c::T_MS) / lit(1000_i64) + col(c::OFFSET_S)
}

/// From 22:00 to 05:00 by the insured's clock.
fn night() -> Expr {
    let second = local_s() % lit(DAY_S);
    second
        .clone()
        .lt(lit(5 * 3600_i64))
        .or(second.gt_eq(lit(22 * 3600_i64)))
        .alias(c::NIGHT)
}

/// Saturday or Sunday by the insured's calendar. The first of January 1970 was a Thursday.
fn weekend() -> Expr {
    let from_sunday = (local_s() / lit(DAY_S) + lit(4_i64)) % lit(7_i64);
    from_sunday
        .clone()
        .eq(lit(0_i64))
        .or(from_sunday.eq(lit(6_i64)))
        .alias(c::WEEKEND)
}

fn over_kmh() -> Expr {
    (col(c::SPEED) - col(c::LIMIT)).alias(c::OVER_KMH)
}

fn aggregates(zones: Arc<[Tz]>) -> Vec<Expr> {
    let moving = || col(c::MOVING);
    let time = |when: Expr, name: &str| col(c::DT_MS).filter(when).sum().alias(name);
    let over = || col(c::OVER_KMH).gt(lit(behaviour::SPEEDING_TOLERANCE_KMH));
    let marked = |bit: u32, name: &str| {
        (col(c::FLAGS).cast(DataType::UInt32).and(lit(bit)))
            .gt(lit(0_u32))
            .sum()
            .alias(name)
    };
    let evidence = || {
        col(c::LAT)
            .is_not_null()
            .or(col(c::SPEED).is_not_null())
            .or(col(c::ODOMETER).is_not_null())
    };
    let micrometres = (col(c::MOVED_M) * lit(1e6)).cast(DataType::Int64);
    vec![
        len().alias(c::SAMPLES),
        evidence().sum().alias(c::EVIDENCE_ROWS),
        col(c::LAT).count().alias(c::POSITIONS),
        col(c::HDOP).median().alias(c::HDOP_MEDIAN),
        marked(flag::GOOD, c::GOOD),
        marked(flag::POOR, c::POOR),
        marked(flag::TELEPORT, c::TELEPORTS),
        marked(flag::FROZEN, c::FROZEN),
        marked(flag::DRIFT, c::DRIFTS),
        (col(c::IMPOSSIBLE).gt(lit(0.0))).sum().alias(c::IMPOSSIBLE),
        time(moving(), c::MOVING_MS),
        time(col(c::IDLE), c::IDLE_MS),
        // Whole micrometres: integers add up to the same in any order.
        micrometres.filter(moving()).sum().alias(c::MOVED_UM),
        time(moving().and(col(c::NIGHT)), c::NIGHT_MS),
        time(moving().and(col(c::WEEKEND)), c::WEEKEND_MS),
        time(moving().and(col(c::OVER_KMH).is_not_null()), c::LIMIT_KNOWN_MS),
        time(moving().and(over()), c::SPEEDING_MS),
        time(moving().and(col(c::PHONE).is_not_null()), c::PHONE_KNOWN_MS),
        time(moving().and(col(c::PHONE).gt(lit(0.5))), c::PHONE_MS),
        time(moving().and(col(c::ALONG).is_not_null()), c::ALONG_MS),
        time(moving().and(col(c::ACROSS).is_not_null()), c::ACROSS_MS),
        kernels::top_kmh(),
        kernels::events(c::BRAKING_EVENTS, c::ALONG, -1.0, behaviour::BRAKING),
        kernels::events(c::ACCELERATION_EVENTS, c::ALONG, 1.0, behaviour::ACCELERATION),
        kernels::events(c::CORNERING_EVENTS, c::ACROSS, 0.0, behaviour::CORNERING),
        kernels::speeding_events(),
        kernels::events(c::PHONE_EVENTS, c::PHONE, 1.0, behaviour::PHONE),
        kernels::mileage(zones),
    ]
}
