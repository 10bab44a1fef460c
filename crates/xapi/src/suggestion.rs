//! "Did you mean": the known name that looks most like one that is unknown.

use smol_str::SmolStr;

/// How alike two names must be, from 0 to 1, to be worth a word.
const ALIKE_MIN: f64 = 0.8;

/// The known name that is most like `name`, if one is alike enough. Differences of case count little.
pub(crate) fn for_name(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<SmolStr> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| SmolStr::new_static(candidate))
}

/// The end of an error's text.
pub(crate) fn shown(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}
