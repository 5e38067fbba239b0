//! Columns of a Parquet file, and how they are written.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use parquet::{
    basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type,
};

use crate::error::{Result, StoreError};

/// A column's cells; `None` is a null.
pub(crate) enum Cells {
    Text(Vec<Option<String>>),
    Instant(Vec<Option<DateTime<Utc>>>),
    Day(Vec<Option<NaiveDate>>),
    Whole(Vec<Option<i32>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
}

pub(crate) struct Column {
    name: String,
    required: bool,
    cells: Cells,
}

/// A file of these columns, a row group each time they are given; `empty`: the same columns without a cell.
pub(crate) fn write(
    name: &str,
    empty: Vec<Column>,
    groups: impl Iterator<Item = Result<Vec<Column>>>,
    properties: WriterProperties,
) -> Result<Vec<u8>> {
    let failed = |cause: ParquetError| StoreError::corrupt(format_args!("a Parquet file: {cause}"));
    let schema = Arc::new(schema(name, &empty).map_err(failed)?);
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties)).map_err(failed)?;
    for group in groups {
        write_group(&mut writer, group?).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(file)
}

fn write_group(writer: &mut SerializedFileWriter<&mut Vec<u8>>, columns: Vec<Column>) -> ParquetResult<()> {
    let mut group = writer.next_row_group()?;
    for column in columns {
        column.write(&mut group)?;
    }
    group.close()?;
    Ok(())
}

fn schema(name: &str, columns: &[Column]) -> ParquetResult<Type> {
    let fields = columns.iter().map(|column| Ok(Arc::new(column.field()?)));
    let fields = fields.collect::<ParquetResult<Vec<_>>>()?;
    Type::group_type_builder(name).with_fields(fields).build()
}

pub(crate) fn column(name: &str, cells: Cells) -> Column {
    Column {
        name: name.to_owned(),
        required: false,
        cells,
    }
}

impl Column {
    pub(crate) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn field(&self) -> ParquetResult<Type> {
        let (physical, logical) = match self.cells {
            Cells::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Cells::Instant(_) => (
                PhysicalType::INT64,
                Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            ),
            Cells::Day(_) => (PhysicalType::INT32, Some(LogicalType::Date)),
            Cells::Whole(_) => (PhysicalType::INT32, None),
            Cells::Number(_) => (PhysicalType::DOUBLE, None),
            Cells::Flag(_) => (PhysicalType::BOOLEAN, None),
        };
        let repetition = if self.required {
            Repetition::REQUIRED
        } else {
            Repetition::OPTIONAL
        };
        Type::primitive_type_builder(&self.name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()
    }

    fn write(self, group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>) -> ParquetResult<()> {
        let required = self.required;
        match self.cells {
            Cells::Text(cells) => {
                let cells = cells
                    .into_iter()
                    .map(|cell| cell.map(|text| ByteArray::from(text.into_bytes())));
                put::<ByteArrayType>(group, required, cells.collect())
            }
            Cells::Instant(cells) => {
                let cells = cells.into_iter().map(|cell| cell.map(|at| at.timestamp_micros()));
                put::<Int64Type>(group, required, cells.collect())
            }
            Cells::Day(cells) => {
                let since_1970 = |day: NaiveDate| day.to_epoch_days();
                let cells = cells.into_iter().map(|cell| cell.map(since_1970));
                put::<Int32Type>(group, required, cells.collect())
            }
            Cells::Whole(cells) => put::<Int32Type>(group, required, cells),
            Cells::Number(cells) => put::<DoubleType>(group, required, cells),
            Cells::Flag(cells) => put::<BoolType>(group, required, cells),
        }
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    required: bool,
    cells: Vec<Option<T::T>>,
) -> ParquetResult<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("fewer columns than the schema has".to_owned()));
    };
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    let levels = (!required).then_some(levels.as_slice());
    column.typed::<T>().write_batch(&values, levels, None)?;
    column.close()
}
