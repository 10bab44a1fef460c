//! Bytes of JSON text looked at several at once.

/// So many times eight bytes of a text are looked at one after another.
const SHORT_WORDS: usize = 6;
/// Any number of so many digits fits 64 bits.
const DIGITS_MAX: usize = 18;

/// Where the first quote or backslash is. Most texts are short, shorter than what calling a search pays for.
#[inline]
pub(super) fn end_of_plain(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let (words, _) = bytes.as_chunks::<8>();
    let mut passed = 0;
    for word in words.iter().take(SHORT_WORDS) {
        let word = u64::from_le_bytes(*word);
        let (quote, slash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
        // A byte that is zero sets its top bit; the lowest one set is right, those above may be not.
        let found = ((quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & TOPS;
        if found != 0 {
            return Some(passed + (found.trailing_zeros() / 8) as usize);
        }
        passed += 8;
    }
    let rest = bytes.get(passed..).unwrap_or_default();
    memchr::memchr2(b'"', b'\\', rest).map(|at| passed + at)
}

/// The whole number that the bytes begin with and its length, where it is a short one that is plainly at its end.
#[inline]
pub(super) fn whole_number(bytes: &[u8]) -> Option<(i64, usize)> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let mut number = 0;
    let mut length = 0;
    while let Some(digit @ b'0'..=b'9') = digits.get(length)
        && length < DIGITS_MAX
    {
        number = number * 10 + i64::from(digit - b'0');
        length += 1;
    }
    let led_by_zero = length > 1 && digits.starts_with(b"0");
    let ends = matches!(digits.get(length), Some(b',' | b'}' | b']'));
    if length == 0 || led_by_zero || !ends {
        return None;
    }
    let negative = bytes.len() > digits.len();
    Some(if negative { (-number, length + 1) } else { (number, length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_is_found_wherever_it_is() {
        for length in 0..120 {
            for end in ["\"", "\\"] {
                let text = format!("{}{end}\"more", "é".repeat(length / 2) + &"x".repeat(length % 2));
                assert_eq!(end_of_plain(text.as_bytes()), Some(text.find(end).unwrap_or_default()), "{text}");
            }
            assert_eq!(end_of_plain("x".repeat(length).as_bytes()), None);
        }
    }

    #[test]
    fn only_numbers_that_are_plain_are_read_here() {
        let read = |text: &str| whole_number(text.as_bytes());
        assert_eq!(read("0,"), Some((0, 1)));
        assert_eq!(read("-12}"), Some((-12, 3)));
        assert_eq!(read("999999999999999999]"), Some((999_999_999_999_999_999, 18)));
        for other in ["", "-", "-,", "1", "01,", "-01,", "1.0,", "1e3,", "1 ,", "1000000000000000000,", "x,"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
