//! Files of telemetry, as people have them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeSet, fs, io::Write, path::PathBuf, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use odograph_domain::sample::Sample;
use odograph_ingest::file::{BadRow, BatchOptions, FileBatch, FileError, Gathered, Line, Row, batches, open};
use parquet::{
    data_type::{BoolType, ByteArrayType, DoubleType, Int64Type},
    file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use serde_json::Value;
use tempfile::TempDir;

fn file(bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("telemetry");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn lines(bytes: impl AsRef<[u8]>) -> (Vec<Row>, Vec<BadRow>) {
    let (_folder, path) = file(bytes);
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for line in open(&path).unwrap() {
        match line.unwrap() {
            Line::Row(row) => rows.push(*row),
            Line::Bad(row) => bad.push(row),
        }
    }
    (rows, bad)
}

fn gathered(bytes: impl AsRef<[u8]>, samples: usize) -> Vec<FileBatch> {
    let (_folder, path) = file(bytes);
    let all = batches(
        open(&path).unwrap(),
        BatchOptions {
            samples,
            ..BatchOptions::default()
        },
    );
    let batches = all.filter_map(|gathered| match gathered.unwrap() {
        Gathered::Batch(batch) => Some(batch),
        Gathered::Bad(_) => None,
    });
    batches.collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

const MESSY: &str = "\u{feff}vehicle_id,ts, speed_kmh ,colour,dtc,driver_id\r\n\
    v1,2026-01-31T07:15:00Z,12.5,red,P0301;P0302,\"anna, b\"\r\n\
    \r\n\
    ,,,,,\r\n\
    v1,2026-01-31T07:15:01Z,fast,,,\r\n\
    v1,2026-01-31T07:15:02Z,NaN,,,\r\n\
    ,2026-01-31T07:15:03Z,1,,,\r\n\
    v1,2026-01-31T07:15:04Z\r\n\
    v1,yesterday,1,,,\r\n\
    v1,2026-01-31T07:15:05Z,,,,\r\n";

#[test]
fn a_messy_csv_is_read_to_its_end() {
    for bytes in [MESSY.as_bytes().to_vec(), gzip(MESSY.as_bytes())] {
        let (rows, bad) = lines(bytes);
        assert_eq!((rows.len(), bad.len()), (5, 2));
        assert_eq!((rows[0].line, rows[0].driver.as_deref()), (2, Some("anna, b")));
        let first = rows[0].sample.as_ref().unwrap();
        assert_eq!(
            (first.speed_kmh, first.dtc.as_ref().map(Vec::len)),
            (Some(12.5), Some(2))
        );
        assert_eq!(first.extra["colour"], "red");
        let detail = |row: usize| rows[row].sample.as_ref().unwrap_err().detail.as_str();
        assert_eq!(detail(1), "speed_kmh: wanted a number, got fast");
        assert_eq!(detail(2), "speed_kmh: wanted a finite number, got NaN");
        assert!(detail(3).contains("yesterday"));
        assert_eq!(rows[4].sample.as_ref().unwrap().speed_kmh, None);
        assert!(
            bad[0].detail.contains("vehicle_id") && bad[1].detail.contains("got 2"),
            "{bad:?}"
        );
    }
}

#[test]
fn a_file_of_another_kind_is_told() {
    let error = |bytes: &[u8]| {
        let (_folder, path) = file(bytes);
        open(&path).unwrap_err().to_string()
    };
    assert!(error(b"a,b\n1,2\n").ends_with("a column named vehicle_id is needed, found a, b"));
    assert!(error(b"vehicle_id,time\n").contains("named ts is needed, found vehicle_id, time"));
    assert!(error(b"vehicle_id,ts,ts\n").contains("ts is there twice"));
    assert!(error(b"").contains("is empty"));
    assert!(error(b"PK\x03\x04zip").contains("zip"));
    assert!(error(b"PAR1 and then nothing").contains("Parquet"));
    assert!(matches!(open("/no/such/file".as_ref()), Err(FileError::Open { .. })));
    let (_folder, path) = file(&gzip(MESSY.as_bytes())[..60]);
    assert!(
        open(&path).is_err() || open(&path).unwrap().any(|line| line.is_err()),
        "a torn gzip is not silent"
    );
}

fn rows(from: usize, to: usize) -> Vec<String> {
    (from..to)
        .map(|i| format!("v1,2026-01-31T{:02}:{:02}:{:02}Z,{i}", i / 3600, i / 60 % 60, i % 60))
        .collect()
}

fn csv(rows: &[String]) -> String {
    format!("vehicle_id,ts,speed_kmh\n{}\n", rows.join("\n"))
}

fn samples(batches: &[FileBatch]) -> usize {
    batches.iter().map(|batch| batch.samples as usize).sum()
}

#[test]
fn overlapping_files_share_their_batches() {
    let ids = |from, to| -> BTreeSet<String> {
        gathered(csv(&rows(from, to)), 100)
            .into_iter()
            .map(|batch| batch.batch_id)
            .collect()
    };
    let whole = gathered(csv(&rows(0, 4000)), 100);
    assert_eq!(samples(&whole), 4000);
    assert!(whole.iter().all(|batch| batch.samples <= 100));
    let whole = ids(0, 4000);
    let (a, b) = (ids(0, 2500), ids(1500, 4000));
    let shared = a.intersection(&b).count();
    assert!(shared >= 8, "{shared} of {} batches are the same", a.len());
    assert!(a.union(&b).filter(|id| !whole.contains(*id)).count() <= 8);
    assert_eq!(whole, ids(0, 4000));
}

#[test]
fn shuffled_rows_are_gathered_by_vehicle() {
    let mut mixed = rows(0, 3000);
    mixed.extend(rows(0, 3000).into_iter().map(|row| row.replace("v1", "v2")));
    mixed.sort_by_key(|row| {
        row.bytes().fold(7u64, |hash, b| {
            hash.wrapping_mul(31).wrapping_add(u64::from(b)).rotate_left(5)
        })
    });
    let batches = gathered(csv(&mixed), 600);
    assert_eq!(samples(&batches), 6000);
    assert!(batches.len() < 80, "{}", batches.len());
    for batch in &batches {
        let json: Value = serde_json::from_slice(&batch.payload).unwrap();
        assert_eq!(
            (&json["schema"], &json["vehicle"]),
            (&1.into(), &batch.vehicle.as_str().into())
        );
        let times: Vec<&str> = json["samples"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["ts"].as_str().unwrap())
            .collect();
        assert!(times.is_sorted());
    }
}

#[test]
fn what_does_not_read_travels_on_to_be_refused_by_name() {
    let batches = gathered(MESSY, 600);
    let all: Vec<Value> = batches
        .iter()
        .map(|batch| serde_json::from_slice(&batch.payload).unwrap())
        .collect();
    let samples: Vec<&Value> = all
        .iter()
        .flat_map(|batch| batch["samples"].as_array().unwrap())
        .collect();
    let bad = samples
        .iter()
        .filter(|sample| serde_json::from_value::<Sample>((**sample).clone()).is_err());
    assert_eq!((samples.len(), bad.count()), (5, 3));
    assert!(all.iter().any(|batch| batch["driver"] == "anna, b"));
}

#[test]
fn parquet() {
    let schema = "message telemetry {
        required binary vehicle_id (UTF8);
        required int64 ts (TIMESTAMP(MICROS, true));
        optional double speed_kmh;
        optional boolean ignition;
        required int64 trip_number;
    }";
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in 0..5 {
        let mut next = group.next_column().unwrap().unwrap();
        match column {
            0 => next
                .typed::<ByteArrayType>()
                .write_batch(&["v1".into(), "v1".into()], None, None),
            1 => next
                .typed::<Int64Type>()
                .write_batch(&[1_770_000_000_123_456, 1_770_000_001_000_000], None, None),
            2 => next.typed::<DoubleType>().write_batch(&[50.5], Some(&[1, 0]), None),
            3 => next.typed::<BoolType>().write_batch(&[true], Some(&[0, 1]), None),
            _ => next.typed::<Int64Type>().write_batch(&[7, 8], None, None),
        }
        .unwrap();
        next.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();

    let (rows, bad) = lines(&bytes);
    assert!(bad.is_empty());
    let samples: Vec<&Sample> = rows.iter().map(|row| row.sample.as_ref().unwrap()).collect();
    assert_eq!(samples[0].ts.millis(), 1_770_000_000_123);
    assert_eq!((samples[0].speed_kmh, samples[0].ignition), (Some(50.5), None));
    assert_eq!((samples[1].speed_kmh, samples[1].ignition), (None, Some(true)));
    assert_eq!(samples[1].extra["trip_number"], "8");
}
