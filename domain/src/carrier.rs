//! Carrier v1: several envelopes in one message of the queue. A broker's work is by the message, whatever its size, so what
//! is published together and goes to the same partition travels together.
//!
//! Layout: the four bytes `ODM1`, then for each envelope its length as a big-endian `u32` and its bytes. Persisted in queues,
//! so guarded by a golden file. A message that does not begin so is an envelope by itself.

const MAGIC: &[u8; 4] = b"ODM1";

/// What one message of the queue may hold together; an envelope larger than that travels alone.
pub const BYTES: usize = 128 << 10;
/// Envelopes in one message at most.
pub const ENVELOPES: usize = 1024;

/// Puts encoded envelopes, in order, into as few messages as [`BYTES`] and [`ENVELOPES`] allow; one that would be alone goes as it is.
pub fn pack(envelopes: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut together: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    for envelope in envelopes {
        let full = bytes + envelope.len() > BYTES || together.len() == ENVELOPES;
        if full && !together.is_empty() {
            messages.push(join(std::mem::take(&mut together)));
            bytes = 0;
        }
        bytes += envelope.len();
        together.push(envelope);
    }
    if !together.is_empty() {
        messages.push(join(together));
    }
    messages
}

fn join(mut envelopes: Vec<Vec<u8>>) -> Vec<u8> {
    if envelopes.len() == 1 {
        return envelopes.remove(0);
    }
    let length = envelopes.iter().map(|envelope| 4 + envelope.len()).sum::<usize>();
    let mut message = Vec::with_capacity(MAGIC.len() + length);
    message.extend_from_slice(MAGIC);
    for envelope in envelopes {
        message.extend_from_slice(&(envelope.len() as u32).to_be_bytes());
        message.extend_from_slice(&envelope);
    }
    message
}

/// The encoded envelopes of a message, in order. What follows the last that is whole comes as one more, which is then no
/// envelope: whoever opens it says so, and nothing is lost.
pub fn unpack(message: &[u8]) -> Vec<&[u8]> {
    let Some(mut rest) = message.strip_prefix(MAGIC).filter(|rest| !rest.is_empty()) else {
        return vec![message];
    };
    let mut envelopes = Vec::new();
    while !rest.is_empty() {
        if envelopes.len() == ENVELOPES {
            // Nobody packs so many: what this is has to be looked at whole.
            return vec![message];
        }
        match split(rest) {
            Some((envelope, after)) => {
                envelopes.push(envelope);
                rest = after;
            }
            None => {
                envelopes.push(rest);
                break;
            }
        }
    }
    envelopes
}

fn split(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    after.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_what_it_was() {
        let packed = pack(vec![b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        assert_eq!(packed, [b"ODM1\0\0\0\x03one\0\0\0\0\0\0\0\x05three".to_vec()]);
        assert_eq!(unpack(&packed[0]), [b"one".as_slice(), b"", b"three"]);
    }

    #[test]
    fn one_alone_and_one_that_is_large_travel_as_they_are() {
        assert_eq!(pack(vec![b"ODO1".to_vec()]), [b"ODO1".to_vec()]);
        assert_eq!(unpack(b"ODO1"), [b"ODO1"]);
        let large = vec![7; BYTES + 1];
        let packed = pack(vec![b"a".to_vec(), large.clone(), b"b".to_vec(), b"c".to_vec()]);
        assert_eq!(packed.len(), 3);
        assert_eq!(packed[1], large);
        let all: Vec<&[u8]> = packed.iter().flat_map(|message| unpack(message)).collect();
        assert_eq!(all, [b"a".as_slice(), &large, b"b", b"c"]);
        assert_eq!(pack(Vec::new()), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn one_that_holds_more_than_anybody_packs_is_left_whole() {
        let mut message = MAGIC.to_vec();
        message.extend([0; 4 * (ENVELOPES + 1)]);
        assert_eq!(unpack(&message), [message.as_slice()]);
        assert_eq!(unpack(&message[..message.len() - 4]).len(), ENVELOPES);
    }

    #[test]
    fn what_was_cut_off_comes_last_and_the_whole_ones_before() {
        let packed = pack(vec![b"one".to_vec(), b"two".to_vec()]).remove(0);
        for end in 4..packed.len() {
            let parts = unpack(&packed[..end]);
            let whole = usize::from(end >= 11);
            // A bare beginning is a message of its own, which is no envelope.
            let cut = usize::from(end != 11);
            assert_eq!(parts.len(), whole + cut, "{end}");
            assert!(whole == 0 || parts[0] == b"one");
        }
    }
}
