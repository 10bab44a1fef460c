//! The name that was probably meant.

/// The known name most like `given`, when it is like enough to be a slip of the hand.
pub fn nearest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = given.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().max(given.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `; did you mean NAME?` or nothing.
pub fn hint<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    nearest(given, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["power_state", "name_label", "tags"];
        assert_eq!(nearest("powerstate", known), Some("power_state"));
        assert_eq!(nearest("NAME_LABEL", known), Some("name_label"));
        assert_eq!(nearest("resident_on", known), None);
    }
}
