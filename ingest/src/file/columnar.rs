//! Parquet, by its record interface.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use odograph_domain::time::EventTime;
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical},
    file::{reader::FileReader, serialized_reader::SerializedFileReader},
    record::{Field, Row as Record, reader::RowIter},
    schema::types::{Type, TypePtr},
};

use super::{BadRow, Column, FileError, Line, columns, row_of_text};

pub(super) struct ColumnarRows {
    rows: RowIter<'static>,
    names: Vec<String>,
    columns: Vec<Column>,
    /// Unit of whole numbers that are times, by column: parts of a second.
    units: Vec<Option<i64>>,
    line: u64,
    total_rows: u64,
    read: Arc<AtomicU64>,
    total_bytes: u64,
}

impl ColumnarRows {
    pub(super) fn open(file: File, read: Arc<AtomicU64>, total_bytes: u64) -> Result<(Self, Vec<String>), FileError> {
        let reader = guarded(|| SerializedFileReader::new(file).map_err(|e| e.to_string()))?;
        let metadata = reader.metadata().file_metadata();
        let total_rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let root = metadata.schema_descr().root_schema_ptr();
        let fields: Vec<TypePtr> = root
            .get_fields()
            .iter()
            .filter(|field| readable(field))
            .cloned()
            .collect();
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        let units = fields.iter().map(|field| time_unit(field)).collect();
        let (columns, mut unknown) = columns(&names)?;
        let left_out = root.get_fields().iter().filter(|field| !readable(field));
        unknown.extend(left_out.map(|field| format!("{} (nested or of a type that is not read)", field.name())));
        let projection = Type::group_type_builder(root.name()).with_fields(fields).build();
        let rows = guarded(|| {
            let projection = projection.map_err(|e| e.to_string())?;
            RowIter::from_file_into(Box::new(reader))
                .project(Some(projection))
                .map_err(|e| e.to_string())
        })?;
        let rows = Self {
            rows,
            names,
            columns,
            units,
            line: 0,
            total_rows,
            read,
            total_bytes,
        };
        Ok((rows, unknown))
    }

    pub(super) fn next(&mut self) -> Option<Result<Line, FileError>> {
        let record = match guarded(|| self.rows.next().transpose().map_err(|e| e.to_string())) {
            Ok(record) => record?,
            Err(error) => {
                let detail = error.to_string();
                return Some(Err(FileError::Read {
                    line: self.line,
                    detail,
                }));
            }
        };
        self.line += 1;
        let share = u128::from(self.total_bytes) * u128::from(self.line) / u128::from(self.total_rows.max(1));
        self.read
            .store(u64::try_from(share).unwrap_or(u64::MAX), Ordering::Relaxed);
        Some(Ok(self.to_line(&record)))
    }

    fn to_line(&self, record: &Record) -> Line {
        let mut cells = Vec::with_capacity(self.names.len());
        for ((_, field), unit) in record.get_column_iter().zip(&self.units) {
            match cell(field, *unit) {
                Some(cell) => cells.push(cell),
                None => {
                    let detail = "wanted numbers, flags, texts, times and lists of them, got another type".to_owned();
                    return Line::Bad(BadRow {
                        line: self.line,
                        detail,
                    });
                }
            }
        }
        row_of_text(self.line, &self.names, &self.columns, cells.iter().map(String::as_str))
    }
}

/// The library gives up on some damaged files by a panic: here that is a file that cannot be read.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, FileError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(FileError::Parquet),
        Err(_) => Err(FileError::Parquet("its content is damaged".to_owned())),
    }
}

/// Plain columns, and lists of them, of types that the record interface can give.
fn readable(field: &Type) -> bool {
    if field.is_primitive() {
        let kind = field.get_basic_info().converted_type();
        return match field.get_physical_type() {
            Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE => true,
            Physical::INT32 => !matches!(kind, ConvertedType::DECIMAL | ConvertedType::TIME_MILLIS),
            Physical::INT64 => !matches!(kind, ConvertedType::DECIMAL | ConvertedType::TIME_MICROS),
            Physical::BYTE_ARRAY => {
                matches!(
                    kind,
                    ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON | ConvertedType::NONE
                )
            }
            Physical::FIXED_LEN_BYTE_ARRAY => false,
        };
    }
    field.get_basic_info().converted_type() == ConvertedType::LIST && leaf(field).is_some_and(readable)
}

/// The one leaf of a list.
fn leaf(field: &Type) -> Option<&Type> {
    if field.is_primitive() {
        return Some(field);
    }
    match field.get_fields() {
        [one] => leaf(one),
        _ => None,
    }
}

fn time_unit(field: &Type) -> Option<i64> {
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => Some(match time.unit {
            TimeUnit::MILLIS => 1_000,
            TimeUnit::MICROS => 1_000_000,
            TimeUnit::NANOS => 1_000_000_000,
        }),
        _ => None,
    }
}

/// A value as a CSV would hold it. `None` for types that no canonical field has.
fn cell(field: &Field, unit: Option<i64>) -> Option<String> {
    let time = |ms: i64| EventTime::from_millis(ms).map_or_else(|| ms.to_string(), |ts| ts.to_string());
    Some(match field {
        Field::Null => String::new(),
        Field::Bool(flag) => flag.to_string(),
        Field::Byte(n) => n.to_string(),
        Field::Short(n) => n.to_string(),
        Field::Int(n) => n.to_string(),
        Field::Long(n) => unit.map_or_else(|| n.to_string(), |unit| time(n.div_euclid((unit / 1_000).max(1)))),
        Field::UByte(n) => n.to_string(),
        Field::UShort(n) => n.to_string(),
        Field::UInt(n) => n.to_string(),
        Field::ULong(n) => n.to_string(),
        Field::Float(n) => n.to_string(),
        Field::Double(n) => n.to_string(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).ok()?.to_owned(),
        Field::TimestampMillis(ms) => time(*ms),
        Field::TimestampMicros(us) => time(us.div_euclid(1_000)),
        Field::ListInternal(list) => {
            let items: Option<Vec<String>> = list.elements().iter().map(|item| cell(item, None)).collect();
            items?.join(" ")
        }
        _ => return None,
    })
}
