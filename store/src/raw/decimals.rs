//! Numbers as devices write them, with few decimals: whole numbers of the last decimal, each told by its difference from the one
//! before. In eight bytes of a double the last bits of 48.3 are noise to a compressor; in tenths it is 483.
//!
//! A byte for the decimals, a byte for the width of a difference, the first number (zigzag varint), then the differences
//! (zigzag), the lowest bytes of all first.

use super::bytes::{Reader, put_varint, unzigzag, zigzag};
use crate::error::{Result, StoreError};

const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Up to here every whole number is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The numbers, if they come back from it to the bit; `None` if they do not, as what a computer worked out does not.
pub(super) fn encode(numbers: &[f64]) -> Option<Vec<u8>> {
    let mut decimals = 0;
    for number in numbers {
        decimals = (decimals..POWERS.len()).find(|decimals| whole(*number, *decimals).is_some())?;
    }
    let wholes: Vec<i64> = numbers
        .iter()
        .map(|number| whole(*number, decimals))
        .collect::<Option<_>>()?;
    let steps: Vec<u64> = wholes.windows(2).map(|pair| zigzag(pair[1] - pair[0])).collect();
    let widest = steps.iter().fold(0, |all, step| all | step);
    let width = (u64::BITS - widest.leading_zeros()).div_ceil(8) as usize;
    let mut out = vec![decimals as u8, width as u8];
    put_varint(&mut out, zigzag(*wholes.first()?));
    for byte in 0..width {
        out.extend(steps.iter().map(|step| (step >> (8 * byte)) as u8));
    }
    Some(out)
}

fn whole(number: f64, decimals: usize) -> Option<i64> {
    let scaled = (number * POWERS[decimals]).round();
    // Not a number is not less either.
    let whole = (scaled.abs() < EXACT).then_some(scaled as i64)?;
    (number_of(whole, decimals).to_bits() == number.to_bits()).then_some(whole)
}

/// Rounded once, as a number is that is read from text.
fn number_of(whole: i64, decimals: usize) -> f64 {
    whole as f64 / POWERS[decimals]
}

pub(super) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>> {
    let (decimals, width) = (usize::from(reader.byte()?), usize::from(reader.byte()?));
    if decimals >= POWERS.len() || width > 8 {
        return Err(StoreError::corrupt("a raw block has decimals that are none"));
    }
    let Some(others) = count.checked_sub(1) else {
        return Ok(vec![]);
    };
    let mut at = unzigzag(reader.varint()?);
    let planes = reader.take(
        width
            .checked_mul(others)
            .ok_or_else(|| StoreError::corrupt("too long a column"))?,
    )?;
    let mut numbers = Vec::with_capacity(count);
    numbers.push(number_of(at, decimals));
    for place in 0..others {
        let step = (0..width).fold(0, |step, byte| {
            step | u64::from(planes[byte * others + place]) << (8 * byte)
        });
        at = at.wrapping_add(unzigzag(step));
        numbers.push(number_of(at, decimals));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(numbers: &[f64]) -> Vec<u64> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back_to_the_bit(numbers in prop::collection::vec(any::<f64>(), 1..50)) {
            if let Some(encoded) = encode(&numbers) {
                let back = decode(&mut Reader::new(&encoded), numbers.len()).unwrap();
                prop_assert_eq!(bits(&back), bits(&numbers));
            }
        }

        #[test]
        fn numbers_of_few_decimals_are_always_encoded(
            wholes in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..50),
            decimals in 0usize..8,
        ) {
            // As they come: from text.
            let read = |whole: &i64| format!("{whole}e-{decimals}").parse::<f64>().unwrap();
            let numbers: Vec<f64> = wholes.iter().map(read).collect();
            let encoded = encode(&numbers).expect("numbers of few decimals");
            prop_assert!(encoded.len() <= 12 + numbers.len() * 5);
            prop_assert_eq!(bits(&decode(&mut Reader::new(&encoded), numbers.len()).unwrap()), bits(&numbers));
        }

        #[test]
        fn any_bytes_decode_without_a_panic(bytes: Vec<u8>, count in 0usize..1000) {
            let _ = decode(&mut Reader::new(&bytes), count);
        }
    }

    #[test]
    fn what_has_no_few_decimals_is_left_to_others() {
        for number in [-0.0, f64::NAN, f64::INFINITY, 1.0 / 3.0, 1e300, 2.5e-12] {
            assert_eq!(encode(&[1.0, number]), None, "{number}");
        }
    }
}
