//! CSV.

use std::io::BufRead;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::{BadRow, Column, FileError, Line, columns, row_of_text};

pub(super) struct TextRows {
    reader: Reader<Box<dyn BufRead + Send>>,
    record: ByteRecord,
    names: Vec<String>,
    columns: Vec<Column>,
}

impl TextRows {
    pub(super) fn open(mut bytes: Box<dyn BufRead + Send>) -> Result<(Self, Vec<String>), FileError> {
        let failed = |detail: String| FileError::Read { line: 0, detail };
        let start = bytes.fill_buf().map_err(|e| failed(e.to_string()))?;
        if start.starts_with(b"\xef\xbb\xbf") {
            bytes.consume(3);
        } else if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(failed("the text is UTF-16, wanted UTF-8".to_owned()));
        }
        // Rows of another length than the header are told one by one; they must not end the file. The carriage returns
        // of CRLF fall to the trimming of cells: taken as terminators they would shift the line numbers.
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(bytes);
        let header = reader.byte_headers().map_err(|e| failed(e.to_string()))?;
        let names: Vec<String> = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_owned())
            .collect();
        let (columns, unknown) = columns(&names)?;
        Ok((
            Self {
                reader,
                record: ByteRecord::new(),
                names,
                columns,
            },
            unknown,
        ))
    }

    pub(super) fn next(&mut self) -> Option<Result<Line, FileError>> {
        loop {
            let line_before = self.reader.position().line();
            match self.reader.read_byte_record(&mut self.record) {
                Ok(false) => return None,
                Ok(true) => {}
                Err(error) => {
                    return Some(Err(FileError::Read {
                        line: line_before,
                        detail: error.to_string(),
                    }));
                }
            }
            let line = self.record.position().map_or(line_before, csv::Position::line);
            // A line of white space, or of nothing but separators, is a blank line.
            if self.record.iter().all(|cell| cell.trim_ascii().is_empty()) {
                continue;
            }
            return Some(Ok(self.line(line)));
        }
    }

    fn line(&self, line: u64) -> Line {
        let bad = |detail: String| Line::Bad(BadRow { line, detail });
        let (got, wanted) = (self.record.len(), self.names.len());
        let surplus_is_empty = self.record.iter().skip(wanted).all(|cell| cell.trim_ascii().is_empty());
        if got < wanted || !surplus_is_empty {
            return bad(format!("wanted {wanted} cells as in the header, got {got}"));
        }
        let mut cells = Vec::with_capacity(wanted);
        for (cell, name) in self.record.iter().zip(&self.names) {
            match std::str::from_utf8(cell) {
                Ok(cell) => cells.push(cell),
                Err(_) => return bad(format!("{name}: wanted UTF-8 text, got other bytes")),
            }
        }
        row_of_text(line, &self.names, &self.columns, cells.iter().copied())
    }
}
