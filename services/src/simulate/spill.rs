//! Putting a whole fleet's batches in order of time without holding them: sorted runs on disk, merged when read. Memory is
//! one run's size, whatever the fleet's.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use super::render::Sendable;

/// A run is written when this much is held.
const HELD_BYTES: usize = 64 << 20;

/// By when it is sent; the rest makes the order total.
type Key = (i64, u32, u32);

fn key(batch: &Sendable) -> Key {
    (batch.sent_ms, batch.vehicle, batch.place)
}

#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    held: Vec<Sendable>,
    held_bytes: usize,
}

impl Spill {
    /// Runs beyond the first `keep` are of an attempt that nothing vouches for.
    pub(super) fn open(folder: &Path, keep: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for run in (keep..).map(|run| run_path(folder, run)) {
            match fs::remove_file(run) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            held: Vec::new(),
            held_bytes: 0,
        })
    }

    pub(super) fn add(&mut self, batches: Vec<Sendable>) {
        self.held_bytes += batches
            .iter()
            .map(|batch| batch.body.len() + batch.last.len())
            .sum::<usize>();
        self.held.extend(batches);
    }

    pub(super) fn is_full(&self) -> bool {
        self.held_bytes >= HELD_BYTES
    }

    /// Writes what is held as run number `run`. Whether there was anything.
    pub(super) fn flush(&mut self, run: usize) -> io::Result<bool> {
        if self.held.is_empty() {
            return Ok(false);
        }
        self.held.sort_by_key(key);
        let mut out = BufWriter::new(File::create(run_path(&self.folder, run))?);
        for batch in self.held.drain(..) {
            write(&mut out, &batch)?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        self.held_bytes = 0;
        Ok(true)
    }
}

fn run_path(folder: &Path, run: usize) -> PathBuf {
    folder.join(format!("{run:05}.run"))
}

fn write(out: &mut impl Write, batch: &Sendable) -> io::Result<()> {
    out.write_all(&batch.sent_ms.to_le_bytes())?;
    for part in [
        batch.vehicle,
        batch.place,
        batch.samples,
        batch.body.len() as u32,
        batch.last.len() as u32,
    ] {
        out.write_all(&part.to_le_bytes())?;
    }
    out.write_all(&batch.body)?;
    out.write_all(&batch.last)
}

fn read(from: &mut impl Read) -> io::Result<Option<Sendable>> {
    let mut head = [0; 28];
    match from.read(&mut head[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut head[1..])?,
    }
    let mut time = [0; 8];
    time.copy_from_slice(&head[..8]);
    let number = |place: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&head[8 + 4 * place..12 + 4 * place]);
        u32::from_le_bytes(bytes)
    };
    let mut body = vec![0; number(3) as usize];
    from.read_exact(&mut body)?;
    let mut last = vec![0; number(4) as usize];
    from.read_exact(&mut last)?;
    Ok(Some(Sendable {
        sent_ms: i64::from_le_bytes(time),
        vehicle: number(0),
        place: number(1),
        samples: number(2),
        body,
        last,
    }))
}

/// All runs as one, in order.
pub(super) struct Merged {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    batches: Vec<Option<Sendable>>,
}

impl Merged {
    pub(super) fn open(folder: &Path, runs: usize) -> io::Result<Self> {
        let mut merged = Self {
            runs: Vec::with_capacity(runs),
            heads: BinaryHeap::new(),
            batches: vec![None; runs],
        };
        for run in 0..runs {
            merged.runs.push(BufReader::new(File::open(run_path(folder, run))?));
            merged.advance(run)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        self.batches[run] = read(&mut self.runs[run])?;
        if let Some(batch) = &self.batches[run] {
            self.heads.push(Reverse((key(batch), run)));
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Sendable>> {
        let Some(Reverse((_, run))) = self.heads.pop() else {
            return Ok(None);
        };
        let batch = self.batches[run].take();
        self.advance(run)?;
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_in_order_of_time_and_leftovers_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let batch = |vehicle: u32, place: u32| Sendable {
            vehicle,
            place,
            sent_ms: i64::from((vehicle * 7919 + place * 104_729) % 1000),
            samples: place,
            body: vec![vehicle as u8; place as usize],
            last: vec![place as u8],
        };
        let mut spill = Spill::open(folder.path(), 0).unwrap();
        let mut wanted = Vec::new();
        for run in 0..5 {
            for vehicle in 0..10 {
                let batches: Vec<_> = (0..9).map(|place| batch(run * 10 + vehicle, place)).collect();
                wanted.extend(batches.clone());
                spill.add(batches);
            }
            assert!(spill.flush(run as usize).unwrap());
        }
        assert!(!spill.flush(5).unwrap());
        wanted.sort_by_key(key);
        let mut merged = Merged::open(folder.path(), 5).unwrap();
        let found: Vec<_> = std::iter::from_fn(|| merged.next().unwrap()).collect();
        assert_eq!(found, wanted);
        drop(Spill::open(folder.path(), 3).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
