//! Files of telemetry, canonical CSV (plain or gzip) and Parquet, turned into the batches that devices send.
//!
//! A reader judges nothing but the file: a cell that does not read travels on as it is and is refused where a device's
//! would be, by name and into a dead letter. Only a row that cannot be told apart or has no vehicle ends here, as
//! [`BadRow`].

mod batches;
mod columnar;
mod text;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use odograph_domain::sample::{FIELDS, FieldError, FieldKind, Sample, parse_ts};
use serde_json::{Map, Value};

pub use batches::{BatchOptions, Batches, FileBatch, Gathered, batches};

/// A row with its vehicle; its sample may still be one that does not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Line of a CSV (the header is line 1), number of the row in Parquet (from 1).
    pub line: u64,
    pub vehicle: String,
    pub driver: Option<String>,
    pub sample: Result<Sample, Unread>,
}

/// A row's fields as they came, and why they are no sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Unread {
    pub fields: Map<String, Value>,
    pub detail: String,
}

/// A row that cannot be used, and that no vehicle can be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    pub line: u64,
    /// What was found and what was wanted.
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    Row(Box<Row>),
    Bad(BadRow),
}

/// Why a whole file cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path} cannot be opened: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} is {what}; wanted CSV, gzip of CSV, or Parquet")]
    Kind { path: PathBuf, what: &'static str },
    #[error("a column named {wanted} is needed, found {}", list(.found))]
    MissingColumn { wanted: &'static str, found: Vec<String> },
    #[error("the column {0} is there twice")]
    DoubleColumn(String),
    #[error("the file cannot be read after line {line}: {detail}")]
    Read { line: u64, detail: String },
    #[error("not a readable Parquet file: {0}")]
    Parquet(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// The rows of a file, streamed. Ends after the first error.
pub struct Rows {
    source: Source,
    unknown: Vec<String>,
    read: Arc<AtomicU64>,
    total: u64,
    failed: bool,
}

enum Source {
    Text(text::TextRows),
    Columnar(Box<columnar::ColumnarRows>),
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("unknown", &self.unknown)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// Opens a file by what is in it, not by its name.
pub fn open(path: &Path) -> Result<Rows, FileError> {
    let failed = |source| FileError::Open {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let total = file.metadata().map_err(failed)?.len();
    let mut first = Vec::new();
    file.by_ref().take(4).read_to_end(&mut first).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let kind = |what| {
        Err(FileError::Kind {
            path: path.to_owned(),
            what,
        })
    };
    let read = Arc::new(AtomicU64::new(0));
    let (source, unknown) = match first.as_slice() {
        b"PAR1" => {
            let (rows, unknown) = columnar::ColumnarRows::open(file, read.clone(), total)?;
            (Source::Columnar(Box::new(rows)), unknown)
        }
        [0x28, 0xb5, 0x2f, 0xfd] => return kind("zstd"),
        [b'P', b'K', 3, 4] => return kind("a zip archive"),
        [] => return kind("empty"),
        start => {
            let counted = BufReader::new(Counting {
                inner: file,
                read: read.clone(),
            });
            let bytes: Box<dyn BufRead + Send> = if start.starts_with(&[0x1f, 0x8b]) {
                Box::new(BufReader::new(MultiGzDecoder::new(counted)))
            } else {
                Box::new(counted)
            };
            let (rows, unknown) = text::TextRows::open(bytes)?;
            (Source::Text(rows), unknown)
        }
    };
    Ok(Rows {
        source,
        unknown,
        read,
        total,
        failed: false,
    })
}

impl Rows {
    /// Columns that are no canonical field: kept with every sample.
    pub fn unknown_columns(&self) -> &[String] {
        &self.unknown
    }

    /// Bytes of the file read so far, and in all: for a progress bar.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed).min(self.total), self.total)
    }
}

impl Iterator for Rows {
    type Item = Result<Line, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = match &mut self.source {
            Source::Text(rows) => rows.next(),
            Source::Columnar(rows) => rows.next(),
        };
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

struct Counting<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.read.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

/// What a column is to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Vehicle,
    Driver,
    Time,
    /// Index into [`FIELDS`].
    Field(usize),
    Extra,
}

/// The meaning of each column, and the names of those that have none here.
fn columns(names: &[String]) -> Result<(Vec<Column>, Vec<String>), FileError> {
    let mut seen = BTreeMap::new();
    let mut unknown = Vec::new();
    for name in names {
        if seen.insert(name.as_str(), ()).is_some() {
            return Err(FileError::DoubleColumn(name.clone()));
        }
    }
    for wanted in ["vehicle_id", "ts"] {
        if !seen.contains_key(wanted) {
            let found = names.iter().take(50).cloned().collect();
            return Err(FileError::MissingColumn { wanted, found });
        }
    }
    let columns = names.iter().map(|name| match name.as_str() {
        "vehicle_id" => Column::Vehicle,
        "driver_id" => Column::Driver,
        "ts" => Column::Time,
        other => FIELDS.iter().position(|field| field.name == other).map_or_else(
            || {
                unknown.push(name.clone());
                Column::Extra
            },
            Column::Field,
        ),
    });
    let columns = columns.collect();
    Ok((columns, unknown))
}

/// Makes a row of its cells as text. An empty cell is unknown.
fn row_of_text<'a>(
    line: u64,
    names: &[String],
    columns: &[Column],
    cells: impl Iterator<Item = &'a str> + Clone,
) -> Line {
    let find = |wanted: Column| {
        let at = columns.iter().position(|column| *column == wanted)?;
        cells.clone().nth(at).map(str::trim).filter(|cell| !cell.is_empty())
    };
    let Some(vehicle) = find(Column::Vehicle) else {
        return Line::Bad(BadRow {
            line,
            detail: "vehicle_id: every row needs it, got none".to_owned(),
        });
    };
    let sample = sample_of_text(names, columns, find(Column::Time), cells.clone());
    let sample = sample.map_err(|error| Unread {
        fields: as_they_came(names, columns, cells.clone()),
        detail: error.to_string(),
    });
    let driver = find(Column::Driver).map(str::to_owned);
    Line::Row(Box::new(Row {
        line,
        vehicle: vehicle.to_owned(),
        driver,
        sample,
    }))
}

fn sample_of_text<'a>(
    names: &[String],
    columns: &[Column],
    ts: Option<&str>,
    cells: impl Iterator<Item = &'a str>,
) -> Result<Sample, FieldError> {
    let mut sample = Sample::at(parse_ts(ts.ok_or(FieldError::NoTime)?)?);
    for ((name, column), cell) in names.iter().zip(columns).zip(cells) {
        match column {
            Column::Field(index) => {
                if is_not_finite(FIELDS[*index].kind, cell) {
                    // JSON has no such number: it would arrive as unknown instead of being refused.
                    let wanted = "a finite number";
                    return Err(FieldError::Value {
                        name: name.clone(),
                        wanted,
                        got: cell.trim().to_owned(),
                    });
                }
                sample.set_text(name, cell)?;
            }
            Column::Extra => sample.set_text(name, cell)?,
            Column::Vehicle | Column::Driver | Column::Time => {}
        }
    }
    Ok(sample)
}

fn is_not_finite(kind: FieldKind, cell: &str) -> bool {
    let numeric = matches!(kind, FieldKind::Number | FieldKind::Wheels);
    // Cheap to see first: every spelling of a number that is not finite has an N or an i.
    numeric
        && cell.contains(['n', 'N', 'i', 'I', 'e', 'E'])
        && cell
            .split([' ', ';', '[', ']'])
            .any(|part| part.trim().parse::<f64>().is_ok_and(|n| !n.is_finite()))
}

/// The cells of a row that does not read: numbers where they are, else texts.
fn as_they_came<'a>(names: &[String], columns: &[Column], cells: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let mut fields = Map::new();
    for ((name, column), cell) in names.iter().zip(columns).zip(cells) {
        let cell = cell.trim();
        if cell.is_empty() || matches!(column, Column::Vehicle | Column::Driver) {
            continue;
        }
        let mut one = Sample::at(odograph_domain::time::EventTime::new(chrono::DateTime::UNIX_EPOCH));
        let read = match column {
            Column::Field(index) if !is_not_finite(FIELDS[*index].kind, cell) => one.set_text(name, cell).is_ok(),
            _ => false,
        };
        let value = if read { one.get_json(name) } else { None };
        fields.insert(name.clone(), value.unwrap_or_else(|| Value::from(cell)));
    }
    fields
}
