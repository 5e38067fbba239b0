//! Streams of batches, taken apart as they come in: inflated piece by piece, and cut where one batch ends. No more of one is in
//! memory than one batch and a piece.

use std::{io, mem, ops::Range};

use crate::{
    encoding::Inflater,
    envelope::{ContentEncoding, ContentType},
    protobuf::Length,
};

/// How batches lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One a line, as JSON. Empty lines are none.
    Lines,
    /// Each after its length as a varint, as protobuf.
    Delimited,
}

impl Framing {
    pub fn content_type(self) -> ContentType {
        match self {
            Self::Lines => ContentType::Json,
            Self::Delimited => ContentType::Protobuf,
        }
    }
}

/// What was cut out of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Batch(Vec<u8>),
    /// Longer than a batch may be; passed over.
    TooLong,
}

/// Cuts a stream where one batch ends and the next begins.
#[derive(Debug)]
struct Cutter {
    framing: Framing,
    /// Bytes of a batch at most.
    most: usize,
    pending: Vec<u8>,
    /// How far `pending` is known to hold no end of a line.
    searched: usize,
    passing: Passing,
}

/// Whether what comes is of a batch that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    No,
    ToEndOfLine,
    Bytes(u64),
}

impl Cutter {
    fn new(framing: Framing, most: usize) -> Self {
        Self {
            framing,
            most,
            pending: Vec::new(),
            searched: 0,
            passing: Passing::No,
        }
    }

    /// Cuts what is complete. An error where the stream cannot be followed any further.
    fn cut(&mut self, frames: &mut Vec<Frame>) -> Result<(), String> {
        let mut from = 0;
        let cut = loop {
            let cut = match self.framing {
                Framing::Lines => self.cut_line(from, frames),
                Framing::Delimited => match self.cut_message(from, frames) {
                    Ok(cut) => cut,
                    Err(error) => break Err(error),
                },
            };
            match cut {
                Some(to) => from = to,
                None => break Ok(()),
            }
        };
        self.pending.drain(..from);
        self.searched = self.searched.saturating_sub(from);
        cut
    }

    /// Where the next begins, if this one has ended.
    fn cut_line(&mut self, from: usize, frames: &mut Vec<Frame>) -> Option<usize> {
        let search = from.max(self.searched);
        let Some(length) = self.pending[search..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.pending.len();
            if self.pending.len() - from > self.most && self.passing == Passing::No {
                self.passing = Passing::ToEndOfLine;
                frames.push(Frame::TooLong);
            }
            // What is passed over need not be kept.
            return (self.passing != Passing::No && from < self.pending.len()).then_some(self.pending.len());
        };
        let to = search + length + 1;
        self.searched = to;
        if mem::replace(&mut self.passing, Passing::No) == Passing::No {
            self.push_line(from..to, frames);
        }
        Some(to)
    }

    fn push_line(&self, line: Range<usize>, frames: &mut Vec<Frame>) {
        let line = self.pending[line].trim_ascii();
        if line.len() > self.most {
            frames.push(Frame::TooLong);
        } else if !line.is_empty() {
            frames.push(Frame::Batch(line.to_vec()));
        }
    }

    fn cut_message(&mut self, from: usize, frames: &mut Vec<Frame>) -> Result<Option<usize>, String> {
        let there = &self.pending[from..];
        if let Passing::Bytes(left) = self.passing {
            let passed = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - passed as u64;
            self.passing = if left == 0 { Passing::No } else { Passing::Bytes(left) };
            return Ok((passed > 0).then_some(from + passed));
        }
        match Length::of(there) {
            Length::Incomplete => Ok(None),
            Length::Wrong => Err("wanted messages with their length before them, got what is no length".to_owned()),
            Length::Is { length, after } if length > self.most as u64 => {
                self.passing = Passing::Bytes(length);
                frames.push(Frame::TooLong);
                Ok(Some(from + after))
            }
            Length::Is { length, after } => Ok(there.get(after..after + length as usize).map(|message| {
                frames.push(Frame::Batch(message.to_vec()));
                from + after + message.len()
            })),
        }
    }

    /// What is left once the whole stream has come: the last line need not be ended.
    fn end(&mut self, frames: &mut Vec<Frame>) -> Result<(), String> {
        if self.framing == Framing::Lines {
            if self.passing == Passing::No {
                self.push_line(0..self.pending.len(), frames);
            }
            self.pending.clear();
            return Ok(());
        }
        if self.pending.is_empty() && self.passing == Passing::No {
            return Ok(());
        }
        Err("the body ends inside of a message".to_owned())
    }
}

/// A stream of batches that comes in.
#[derive(Debug)]
pub struct Incoming {
    inflater: Inflater,
    cutter: Cutter,
}

impl Incoming {
    pub fn new(encoding: ContentEncoding, framing: Framing, most: usize) -> io::Result<Self> {
        Ok(Self {
            inflater: Inflater::of(encoding)?,
            cutter: Cutter::new(framing, most),
        })
    }

    /// Takes some of `input`, and gives how much. An error, in words, where nothing more can be made of the stream.
    pub fn take(&mut self, input: &[u8], frames: &mut Vec<Frame>) -> Result<usize, String> {
        let taken = self.inflater.step(input, &mut self.cutter.pending).map_err(no_more)?;
        self.cutter.cut(frames)?;
        Ok(taken)
    }

    /// The body has come to its end.
    pub fn end(&mut self, frames: &mut Vec<Frame>) -> Result<(), String> {
        let ended = self.inflater.end(&mut self.cutter.pending).map_err(no_more);
        self.cutter.cut(frames)?;
        // Of a body that was cut off the last line is no batch.
        ended?;
        self.cutter.end(frames)
    }
}

fn no_more(error: io::Error) -> String {
    format!("the body does not inflate any further: {error}")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;
    use crate::{encoding::PIECE, protobuf::put_delimited};

    const MOST: usize = 50;

    fn pack(bytes: &[u8], encoding: ContentEncoding) -> Vec<u8> {
        match encoding {
            ContentEncoding::Identity => bytes.to_vec(),
            ContentEncoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            ContentEncoding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    /// All frames of a body that comes in pieces of so many bytes, and how it ended.
    fn frames(
        body: &[u8],
        encoding: ContentEncoding,
        framing: Framing,
        piece: usize,
    ) -> (Vec<Frame>, Result<(), String>) {
        let mut incoming = Incoming::new(encoding, framing, MOST).unwrap();
        let mut frames = Vec::new();
        for mut piece in body.chunks(piece) {
            while !piece.is_empty() {
                match incoming.take(piece, &mut frames) {
                    Ok(taken) => piece = &piece[taken..],
                    Err(error) => return (frames, Err(error)),
                }
                assert!(incoming.cutter.pending.len() <= MOST + 2 * PIECE);
            }
        }
        let ended = incoming.end(&mut frames);
        (frames, ended)
    }

    fn batch(text: &str) -> Frame {
        Frame::Batch(text.as_bytes().to_vec())
    }

    const ENCODINGS: [ContentEncoding; 3] = [ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Zstd];

    #[test]
    fn lines_are_batches_and_empty_ones_are_none() {
        let body = format!("{{\"a\":1}}\r\n\n  \n{}\n{{\"b\":2}}", "x".repeat(MOST + 1));
        for encoding in ENCODINGS {
            for piece in [1, 7, 1000] {
                let (frames, ended) = frames(&pack(body.as_bytes(), encoding), encoding, Framing::Lines, piece);
                assert_eq!(
                    frames,
                    [batch("{\"a\":1}"), Frame::TooLong, batch("{\"b\":2}")],
                    "{encoding:?} {piece}"
                );
                assert_eq!(ended, Ok(()));
            }
        }
    }

    #[test]
    fn messages_have_their_length_before_them() {
        let mut body = Vec::new();
        for message in ["one", "", &"x".repeat(MOST + 1), "four"] {
            put_delimited(message.as_bytes(), &mut body);
        }
        for encoding in ENCODINGS {
            for piece in [1, 7, 1000] {
                let (cut, ended) = frames(&pack(&body, encoding), encoding, Framing::Delimited, piece);
                assert_eq!(
                    cut,
                    [batch("one"), batch(""), Frame::TooLong, batch("four")],
                    "{encoding:?} {piece}"
                );
                assert_eq!(ended, Ok(()));
            }
        }
        let (cut, ended) = frames(
            &body[..body.len() - 1],
            ContentEncoding::Identity,
            Framing::Delimited,
            9,
        );
        assert_eq!((cut.len(), ended.is_err()), (3, true));
        assert!(
            frames(&[0xff; 20], ContentEncoding::Identity, Framing::Delimited, 9)
                .1
                .is_err()
        );
    }

    #[test]
    fn of_a_body_that_was_cut_off_whole_lines_are_taken() {
        let body = "{\"a\":1}\n".repeat(20_000);
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
            let packed = pack(body.as_bytes(), encoding);
            let (frames, ended) = frames(&packed[..packed.len() - 9], encoding, Framing::Lines, 11);
            assert!(ended.is_err(), "{encoding:?}");
            assert!(frames.iter().all(|frame| *frame == batch("{\"a\":1}")));
        }
    }

    #[test]
    fn several_members_are_one_stream_and_what_is_none_is_told() {
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
            let mut packed = pack(b"one\ntw", encoding);
            packed.extend(pack(b"o\nthree", encoding));
            let (read, ended) = frames(&packed, encoding, Framing::Lines, 5);
            assert_eq!(
                (read, ended),
                (vec![batch("one"), batch("two"), batch("three")], Ok(()))
            );
            packed.extend_from_slice(b"something else altogether");
            assert!(frames(&packed, encoding, Framing::Lines, 5).1.is_err(), "{encoding:?}");
            assert!(
                frames(b"something else altogether", encoding, Framing::Lines, 5)
                    .1
                    .is_err()
            );
        }
    }

    #[test]
    fn a_bomb_is_passed_over_piece_by_piece() {
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd] {
            let packed = pack(&vec![b'x'; 20 << 20], encoding);
            assert_eq!(
                frames(&packed, encoding, Framing::Lines, 4096),
                (vec![Frame::TooLong], Ok(())),
                "{encoding:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(lines in prop::collection::vec("[a-z]{0,60}", 0..20), piece in 1..40_usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = lines.join("\n");
            for encoding in ENCODINGS {
                let packed = pack(body.as_bytes(), encoding);
                prop_assert_eq!(frames(&packed, encoding, Framing::Lines, piece), frames(&packed, encoding, Framing::Lines, 1 << 20));
                for framing in [Framing::Lines, Framing::Delimited] {
                    let (whole, pieces) = (frames(&bytes, encoding, framing, 1 << 20), frames(&bytes, encoding, framing, piece));
                    prop_assert_eq!(whole.1.is_ok(), pieces.1.is_ok());
                }
            }
        }
    }
}
