//! Content encodings of payloads, undone whole or piece by piece; always within bounds, since a small one can stand for a large
//! memory.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
};

use flate2::{read, write};
use zstd::{
    stream::raw::{Decoder, InBuffer, Operation, OutBuffer},
    zstd_safe::DParameter,
};

use crate::envelope::ContentEncoding;

/// The largest window a zstd frame may ask for, as a power of two: what it says is allocated before a byte of it is read.
const ZSTD_WINDOW_LOG: u32 = 24;

/// What is inflated at a time, bytes.
pub const PIECE: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    #[error("the payload unpacks to more than the {0} bytes a message may have")]
    TooLong(usize),
    #[error("the payload is said to be {encoding} and is not: {why}")]
    Broken { encoding: &'static str, why: String },
}

impl ContentEncoding {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The payload without its content encoding; at most `limit` bytes.
pub fn unpack(payload: &[u8], encoding: ContentEncoding, limit: usize) -> Result<Cow<'_, [u8]>, UnpackError> {
    let mut unpacked = Vec::new();
    // One more than allowed tells a payload that is too long from one that just fits.
    let most = limit as u64 + 1;
    let read = match encoding {
        ContentEncoding::Identity if payload.len() > limit => return Err(UnpackError::TooLong(limit)),
        ContentEncoding::Identity => return Ok(Cow::Borrowed(payload)),
        ContentEncoding::Gzip => read::MultiGzDecoder::new(payload).take(most).read_to_end(&mut unpacked),
        ContentEncoding::Zstd => {
            let reader = zstd::Decoder::with_buffer(payload).and_then(|mut reader| {
                reader.window_log_max(ZSTD_WINDOW_LOG)?;
                Ok(reader)
            });
            reader.and_then(|reader| reader.take(most).read_to_end(&mut unpacked))
        }
    };
    read.map_err(|error| UnpackError::Broken {
        encoding: encoding.as_str(),
        why: error.to_string(),
    })?;
    if unpacked.len() > limit {
        return Err(UnpackError::TooLong(limit));
    }
    Ok(Cow::Owned(unpacked))
}

/// Undoes a content encoding while the body comes in.
pub struct Inflater(State);

enum State {
    Plain,
    Gzip(Box<write::MultiGzDecoder<Vec<u8>>>),
    Zstd {
        decoder: Box<Decoder<'static>>,
        between_frames: bool,
    },
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            State::Plain => "Inflater(identity)",
            State::Gzip(_) => "Inflater(gzip)",
            State::Zstd { .. } => "Inflater(zstd)",
        })
    }
}

impl Inflater {
    pub fn of(encoding: ContentEncoding) -> io::Result<Self> {
        Ok(Self(match encoding {
            ContentEncoding::Identity => State::Plain,
            ContentEncoding::Gzip => State::Gzip(Box::new(write::MultiGzDecoder::new(Vec::new()))),
            ContentEncoding::Zstd => {
                let mut decoder = Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                State::Zstd {
                    decoder: Box::new(decoder),
                    between_frames: true,
                }
            }
        }))
    }

    /// Inflates some of `input` and gives how much of it, appending about a [`PIECE`] at most.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        match &mut self.0 {
            State::Plain => {
                let taken = input.len().min(PIECE);
                out.extend_from_slice(&input[..taken]);
                Ok(taken)
            }
            State::Gzip(decoder) => {
                let taken = decoder.write(input)?;
                out.append(decoder.get_mut());
                // It takes nothing more once what follows is no further member.
                if taken == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "bytes after the end that are no gzip",
                    ));
                }
                Ok(taken)
            }
            State::Zstd {
                decoder,
                between_frames,
            } => {
                if *between_frames {
                    decoder.reinit()?;
                }
                let from = out.len();
                out.resize(from + PIECE, 0);
                let mut source = InBuffer::around(input);
                let (hint, written) = {
                    let mut target = OutBuffer::around(&mut out[from..]);
                    let hint = decoder.run(&mut source, &mut target);
                    (hint, target.pos())
                };
                out.truncate(from + written);
                *between_frames = hint? == 0;
                Ok(source.pos())
            }
        }
    }

    /// What is left once the whole body has come. An error where it ends before what it holds does.
    pub fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before its end");
        match &mut self.0 {
            State::Plain => Ok(()),
            State::Gzip(decoder) => {
                let ended = decoder.try_finish();
                out.append(decoder.get_mut());
                ended.map_err(|_| cut())
            }
            State::Zstd { .. } => {
                // What it still held back came out before its last input was taken.
                loop {
                    let before = out.len();
                    if matches!(
                        self.0,
                        State::Zstd {
                            between_frames: true,
                            ..
                        }
                    ) {
                        return Ok(());
                    }
                    self.step(&[], out)?;
                    if out.len() == before {
                        return Err(cut());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = write::GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_what_breaks_off_is_told() {
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 19).unwrap();
        let packers: [(_, &dyn Fn(&[u8]) -> Vec<u8>); 2] =
            [(ContentEncoding::Gzip, &gzip), (ContentEncoding::Zstd, &zstd)];
        for (encoding, pack) in packers {
            assert_eq!(unpack(&pack(&[b' '; 100]), encoding, 100).unwrap().len(), 100);
            let bomb = pack(&vec![0; 10 << 20]);
            assert_eq!(unpack(&bomb, encoding, 1 << 20), Err(UnpackError::TooLong(1 << 20)));
            let whole = pack(b"[1,2,3]");
            for broken in [&b"no such thing"[..], &whole[..whole.len() - 3]] {
                let error = unpack(broken, encoding, 100).unwrap_err();
                assert!(matches!(error, UnpackError::Broken { .. }), "{encoding:?}: {error}");
            }
        }
        assert_eq!(
            unpack(b"abc", ContentEncoding::Identity, 2),
            Err(UnpackError::TooLong(2))
        );
    }

    #[test]
    fn a_zstd_frame_may_not_ask_for_any_window() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[7; 1000]).unwrap();
        let asking = encoder.finish().unwrap();
        assert!(unpack(&asking, ContentEncoding::Zstd, 1 << 20).is_err());
    }
}
