//! xapi's tokens: the largest generations of what was told, zero-padded, objects before the comma and messages behind it.
//! Opaque by contract; that texts compare as the numbers do is what xapi itself relies on (section 5.3 of how it behaves).

/// Digits of one part.
const DIGITS: usize = 20;

/// Whether the first token's place among objects lies before the second's. Tokens of another form lie nowhere.
pub(super) fn is_before(one: &str, other: &str) -> bool {
    matches!((objects(one), objects(other)), (Some(one), Some(other)) if one < other)
}

fn objects(token: &str) -> Option<&str> {
    let (objects, _messages) = token.split_once(',')?;
    (objects.len() == DIGITS && objects.bytes().all(|digit| digit.is_ascii_digit())).then_some(objects)
}

#[cfg(test)]
mod tests {
    use super::is_before;

    #[test]
    fn tokens_compare_by_their_place_among_objects() {
        let (low, high) =
            ("00000000000000000009,00000000000000000005", "00000000000000000010,00000000000000000000");
        assert!(is_before(low, high) && !is_before(high, low) && !is_before(low, low));
        assert!(!is_before("", high) && !is_before("9", "10") && !is_before("x", "y"));
    }
}
