//! Trips as an open Parquet file. Its columns are those of `docs/lake.md`, schema version 1.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use odograph_domain::{event::BehaviourKind, features::QualityMark};
use parquet::{
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
    },
};

use super::table::{Cells, Column, column, write};
use crate::{
    error::{Result, StoreError},
    tenant::from_json,
    trips::StoredRow,
};

const SCHEMA: &str = "odograph-trips-1";
/// Rows of a row group at most: an engine skips by vehicle within a large file, and opens none of a small one twice.
const ROW_GROUP: usize = 100_000;
const ZSTD: i32 = 6;

/// A trip as it goes into the lake, and how many of its events are of each kind; none where behaviour is not kept.
pub(super) struct LakeTrip {
    pub(super) row: StoredRow,
    pub(super) events: BTreeMap<String, i32>,
}

/// A file of these trips, which must be sorted by vehicle and start.
pub(super) fn encode(trips: &[LakeTrip]) -> Result<Vec<u8>> {
    let groups = trips.chunks(ROW_GROUP).map(columns);
    write("trip", columns(&[])?, groups, properties()?)
}

fn properties() -> Result<WriterProperties> {
    let ascending = |column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    };
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD).map_err(StoreError::corrupt)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        // By vehicle, then by start: the first two columns.
        .set_sorting_columns(Some(vec![ascending(0), ascending(1)]))
        .set_key_value_metadata(Some(vec![KeyValue::new("odograph.schema".to_owned(), SCHEMA.to_owned())]))
        .set_created_by(concat!("odograph ", env!("CARGO_PKG_VERSION")).to_owned())
        .build())
}

/// All columns in their order. Names and meaning are documented: a change of either is a new schema version.
fn columns(trips: &[LakeTrip]) -> Result<Vec<Column>> {
    let text = |name: &str, of: fn(&StoredRow) -> Option<String>| {
        column(name, Cells::Text(trips.iter().map(|trip| of(&trip.row)).collect()))
    };
    let instant = |name: &str, of: fn(&StoredRow) -> DateTime<Utc>| {
        let cells = trips.iter().map(|trip| Some(of(&trip.row))).collect();
        column(name, Cells::Instant(cells)).required()
    };
    let whole = |name: &str, of: fn(&StoredRow) -> i32| {
        let cells = trips.iter().map(|trip| Some(of(&trip.row))).collect();
        column(name, Cells::Whole(cells)).required()
    };
    let number = |name: &str, of: fn(&StoredRow) -> Option<f64>| {
        column(name, Cells::Number(trips.iter().map(|trip| of(&trip.row)).collect()))
    };
    let flag = |name: &str, of: fn(&StoredRow) -> Option<bool>| {
        column(name, Cells::Flag(trips.iter().map(|trip| of(&trip.row)).collect()))
    };
    let days = trips.iter().map(|trip| Some(trip.row.start_day)).collect();
    let mut columns = vec![
        text("vehicle_id", |t| Some(t.vehicle_id.to_string())).required(),
        instant("started_at", |t| t.started_at),
        instant("ended_at", |t| t.ended_at),
        text("trip_id", |t| Some(t.id.to_string())).required(),
        whole("version", |t| t.version),
        text("driver_id", |t| t.driver_id.map(|driver| driver.to_string())),
        column("local_day", Cells::Day(days)).required(),
        text("time_zone", |t| Some(t.time_zone.clone())).required(),
        text("state", |t| Some(state(&t.ended_by).to_owned())).required(),
        text("started_by", |t| Some(t.started_by.clone())).required(),
        text("ended_by", |t| Some(t.ended_by.clone())).required(),
        number("distance_m", |t| Some(t.billable_m)).required(),
        text("mileage_source", |t| t.mileage_source.clone()),
        text("mileage_grade", |t| Some(t.mileage_grade.clone())).required(),
        text("mileage_reasons", |t| Some(t.mileage_reasons.join(","))).required(),
        number("odometer_m", |t| t.odometer_m),
        number("speed_m", |t| t.speed_m),
        number("gps_m", |t| t.gps_m),
        whole("samples", |t| t.samples),
        number("duration_s", |t| Some(t.duration_s)).required(),
        number("moving_s", |t| Some(t.moving_s)).required(),
        number("idle_s", |t| Some(t.idle_s)).required(),
        number("fix_share", |t| t.fix_share),
        number("hdop_median", |t| t.hdop_median),
        whole("plan_version", |t| i32::from(t.plan_version)),
        instant("derived_at", |t| t.derived_at),
    ];
    columns.extend(marks(trips)?);
    columns.extend([
        number("mean_speed_kmh", |t| t.mean_speed_kmh),
        number("top_speed_kmh", |t| t.top_speed_kmh),
        number("night_share", |t| t.night_share),
        number("weekend_share", |t| t.weekend_share),
        number("speeding_share", |t| t.speeding_share),
        number("limit_known_s", |t| t.limit_known_s),
        number("phone_share", |t| t.phone_share),
        number("phone_known_s", |t| t.phone_known_s),
        flag("braking_seen", |t| t.braking_seen),
        flag("cornering_seen", |t| t.cornering_seen),
    ]);
    columns.extend(BehaviourKind::ALL.iter().map(|kind| {
        let count = |trip: &LakeTrip| {
            let count = trip.events.get(kind.as_str()).copied().unwrap_or_default();
            // Nothing is said of events where behaviour is not kept.
            trip.row.braking_seen.is_some().then_some(count)
        };
        let cells = trips.iter().map(count).collect();
        column(&format!("{}_events", kind.as_str()), Cells::Whole(cells))
    }));
    Ok(columns)
}

/// A column for each quality mark: how many samples have it.
fn marks(trips: &[LakeTrip]) -> Result<Vec<Column>> {
    let counted = trips
        .iter()
        .map(|trip| from_json::<BTreeMap<QualityMark, u32>>(trip.row.marks.clone(), "a trip's quality marks"))
        .collect::<Result<Vec<_>>>()?;
    let of = |mark: &QualityMark| {
        let cells = counted
            .iter()
            .map(|marks| Some(i32::try_from(marks.get(mark).copied().unwrap_or_default()).unwrap_or(i32::MAX)));
        column(&format!("mark_{}", mark.as_str()), Cells::Whole(cells.collect())).required()
    };
    Ok(QualityMark::ALL.iter().map(of).collect())
}

fn state(ended_by: &str) -> &'static str {
    if ended_by == "silence" { "provisional" } else { "closed" }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::reader::{FileReader as _, SerializedFileReader},
        schema::printer::print_schema,
    };
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn trip(number: u128, behaviour: bool) -> LakeTrip {
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let kept = behaviour.then_some(0.25);
        let row = StoredRow {
            id: Uuid::from_u128(number),
            vehicle_id: Uuid::from_u128(1),
            driver_id: behaviour.then_some(Uuid::from_u128(2)),
            started_at: at,
            ended_at: at,
            started_by: "movement".to_owned(),
            ended_by: "silence".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            start_day: at.date_naive(),
            version: 1,
            derived_at: at,
            plan_version: 1,
            samples: 10,
            duration_s: 9.0,
            moving_s: 8.0,
            idle_s: 1.0,
            fix_share: None,
            hdop_median: None,
            marks: json!({ "teleport": 2 }),
            odometer_m: Some(100.0),
            speed_m: None,
            gps_m: None,
            billable_m: 100.0,
            mileage_source: Some("odometer".to_owned()),
            mileage_grade: "B".to_owned(),
            mileage_reasons: vec!["single_source".to_owned()],
            mean_speed_kmh: kept,
            top_speed_kmh: kept,
            night_share: kept,
            weekend_share: kept,
            speeding_share: None,
            limit_known_s: kept,
            phone_share: None,
            phone_known_s: kept,
            braking_seen: behaviour.then_some(true),
            cornering_seen: behaviour.then_some(false),
        };
        LakeTrip {
            row,
            events: BTreeMap::from([("harsh_braking".to_owned(), 3)]),
        }
    }

    fn reader(trips: &[LakeTrip]) -> SerializedFileReader<bytes::Bytes> {
        SerializedFileReader::new(bytes::Bytes::from(encode(trips).unwrap())).unwrap()
    }

    #[test]
    fn the_schema_is_that_of_the_golden_file() {
        let reader = reader(&[trip(1, true)]);
        let mut schema = Vec::new();
        print_schema(&mut schema, reader.metadata().file_metadata().schema());
        let golden = include_str!("../../tests/golden/trips-schema-v1.txt");
        assert_eq!(String::from_utf8(schema).unwrap(), golden);
    }

    #[test]
    fn trips_come_back_and_those_without_behaviour_have_none() {
        let reader = reader(&[trip(1, true), trip(2, false)]);
        let meta = reader.metadata();
        assert_eq!(meta.file_metadata().num_rows(), 2);
        let sorted = meta.row_group(0).sorting_columns().unwrap();
        assert_eq!((sorted[0].column_idx, sorted[1].column_idx), (0, 1));
        assert!(
            meta.row_group(0)
                .columns()
                .iter()
                .all(|column| column.statistics().is_some())
        );
        let rows: Vec<BTreeMap<String, String>> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                row.unwrap()
                    .into_columns()
                    .into_iter()
                    .map(|(name, cell)| (name, cell.to_string()))
                    .collect()
            })
            .collect();
        let (with, without) = (&rows[0], &rows[1]);
        assert_eq!(
            (with["harsh_braking_events"].as_str(), with["speeding_events"].as_str()),
            ("3", "0")
        );
        assert_eq!((with["mark_teleport"].as_str(), with["mark_hole"].as_str()), ("2", "0"));
        let behaviour = [
            "mean_speed_kmh",
            "night_share",
            "braking_seen",
            "harsh_braking_events",
            "phone_known_s",
        ];
        for name in behaviour {
            assert_ne!(with[name], "null", "{name}");
            assert_eq!(without[name], "null", "{name}");
        }
        assert_eq!(without["distance_m"].parse::<f64>().unwrap(), 100.0);
    }
}
