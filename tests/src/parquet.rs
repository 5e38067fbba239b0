//! Rows as a Parquet file, with a column of the natural type for each of theirs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parquet::{
    basic::{ConvertedType, Repetition, Type as PhysicalType},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType},
    file::{properties::WriterProperties, writer::SerializedColumnWriter, writer::SerializedFileWriter},
    schema::types::Type,
};

use crate::telemetry::Rows;

/// Writes the rows; an empty cell is a null. Numbers are doubles, flags booleans, everything else text.
pub fn write(rows: &Rows, folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    let columns: Vec<_> = rows
        .header
        .iter()
        .enumerate()
        .map(|(at, name)| (at, name, kind(rows, at)))
        .collect();
    let fields = columns.iter().map(|(_, name, kind)| {
        let converted = if *kind == PhysicalType::BYTE_ARRAY {
            ConvertedType::UTF8
        } else {
            ConvertedType::NONE
        };
        let column = Type::primitive_type_builder(name, *kind).with_repetition(Repetition::OPTIONAL);
        Arc::new(column.with_converted_type(converted).build().expect("a column"))
    });
    let schema = Type::group_type_builder("telemetry")
        .with_fields(fields.collect())
        .build()
        .expect("a schema");
    let target = std::fs::File::create(&file).expect("a file in a temporary folder");
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(target, Arc::new(schema), properties).expect("a Parquet file");
    // Several row groups, as larger files have.
    for part in rows.rows.chunks(1000) {
        let mut group = writer.next_row_group().expect("a row group");
        for (at, _, kind) in &columns {
            let cells: Vec<&str> = part.iter().map(|row| row[*at].as_str()).collect();
            let column = group
                .next_column()
                .expect("a column")
                .expect("as many columns as in the schema");
            write_column(column, *kind, &cells);
        }
        group.close().expect("a whole row group");
    }
    writer.close().expect("a whole Parquet file");
    file
}

fn kind(rows: &Rows, at: usize) -> PhysicalType {
    let mut cells = rows
        .rows
        .iter()
        .map(|row| row[at].as_str())
        .filter(|cell| !cell.is_empty())
        .peekable();
    if cells.peek().is_none() || cells.clone().all(|cell| cell.parse::<f64>().is_ok()) {
        PhysicalType::DOUBLE
    } else if cells.all(|cell| matches!(cell, "true" | "false")) {
        PhysicalType::BOOLEAN
    } else {
        PhysicalType::BYTE_ARRAY
    }
}

fn write_column(mut column: SerializedColumnWriter<'_>, kind: PhysicalType, cells: &[&str]) {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(!cell.is_empty())).collect();
    let present = cells.iter().filter(|cell| !cell.is_empty());
    let written = match kind {
        PhysicalType::DOUBLE => {
            let values: Vec<f64> = present.map(|cell| cell.parse().expect("a number")).collect();
            column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)
        }
        PhysicalType::BOOLEAN => {
            let values: Vec<bool> = present.map(|cell| *cell == "true").collect();
            column.typed::<BoolType>().write_batch(&values, Some(&levels), None)
        }
        _ => {
            let values: Vec<ByteArray> = present.map(|cell| ByteArray::from(*cell)).collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, Some(&levels), None)
        }
    };
    written.expect("a column's values");
    column.close().expect("a whole column");
}
