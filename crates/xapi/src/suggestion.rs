//! "Did you mean": the known name that looks most like one that is unknown.

use smol_str::SmolStr;

/// How alike two names must be, from 0 to 1, to be worth a word.
const ALIKE_MIN: f64 = 0.8;

/// So little is no difference.
const AS_GOOD: f64 = 0.02;

/// The known name that is most like `name`, if one is alike enough. Differences of case count little.
pub fn for_name<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<SmolStr> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.as_ref().to_lowercase()), candidate))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        // Of two that are as good as alike the shorter one: nobody adds letters by mistake that make another name.
        .max_by(|(a, one), (b, other)| {
            let longer = other.as_ref().len().cmp(&one.as_ref().len());
            if (a - b).abs() < AS_GOOD { longer } else { a.total_cmp(b) }
        })
        .map(|(_, candidate)| SmolStr::new(candidate))
}

/// The known name that `name` is most likely a slip of: at most two letters are other, missing or too many. For names
/// that may be right although they are unknown.
pub fn for_slip<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<SmolStr> {
    let lower = name.to_lowercase();
    let distance = |candidate: &S| strsim::osa_distance(&lower, &candidate.as_ref().to_lowercase());
    known
        .into_iter()
        .map(|candidate| (distance(&candidate), candidate))
        .filter(|(letters, _)| *letters <= 2 && letters * 3 <= lower.len())
        .min_by_key(|(letters, _)| *letters)
        .map(|(_, candidate)| SmolStr::new(candidate))
}

/// `, did you mean "NAME"?` for the end of an error's text; nothing without a suggestion.
#[must_use]
pub fn shown(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}
