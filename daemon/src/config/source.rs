//! A configuration file as text: reading it, and finding lines and columns in it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::problem::{Place, Problem};

/// A configuration larger than this is a mistake: somebody named the wrong file.
const MAXIMUM_BYTES: u64 = 4 * 1024 * 1024;

/// The text of one file.
pub(super) struct Source {
    /// The file as it was named.
    pub(super) file: Arc<Path>,
    /// All of its text.
    pub(super) text: String,
}

impl Source {
    /// Reads a file as UTF-8 text.
    pub(super) fn read(file: &Path) -> Result<Source, Box<Problem>> {
        let metadata = std::fs::metadata(file).map_err(|error| Box::new(cannot_read(file, &error)))?;
        if metadata.is_dir() {
            return Err(Problem::file(file, "this is a folder, not a configuration file").into());
        }
        if metadata.len() > MAXIMUM_BYTES {
            let what =
                format!("the file has {} bytes; a configuration has at most {MAXIMUM_BYTES}", metadata.len());
            return Err(Problem::file(file, what).into());
        }
        let bytes = std::fs::read(file).map_err(|error| Box::new(cannot_read(file, &error)))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Source { file: file.into(), text }),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(Problem::file(
                    file,
                    format!("the file is no UTF-8 text: the first wrong byte is in line {line}"),
                )
                .into())
            }
        }
    }

    /// The place of a range of bytes. A range past the end, or inside a character, gives the nearest place before.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let text = self.text.as_str();
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[line_start..line_end].trim_end_matches('\r');
        Place {
            file: self.file.clone(),
            line: text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end.min(line_end)].chars().count().max(1),
            text: without_secrets(line).into(),
        }
    }
}

fn floor(text: &str, mut index: usize) -> usize {
    index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Words in a key that make its value one to hide.
const SECRET_WORDS: [&str; 4] = ["passw", "secret", "token", "passphrase"];

/// The line as it may be shown: a text written under a key that speaks of a secret, and an address with a password in
/// it, are cut off. Problems are printed and logged, and people do write passwords where they do not belong.
fn without_secrets(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let secret = SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word)).find_map(|(start, _)| {
        let equals = start + line[start..].find('=')?;
        let value = line[equals + 1..].trim_start();
        value.starts_with(['"', '\'']).then_some(line.len() - value.len())
    });
    let address = line.find("://").filter(|start| line[*start..].contains('@')).map(|start| start + 3);
    match secret.into_iter().chain(address).min() {
        Some(cut) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

/// Says why a file cannot be read in words that fit the two common cases.
pub(super) fn cannot_read(file: &Path, error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::NotFound => Problem::file(file, "there is no such file"),
        std::io::ErrorKind::PermissionDenied => {
            Problem::file(file, "the file cannot be read: permission denied")
                .instead("check its owner and mode")
        }
        _ => Problem::file(file, format!("the file cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let source = Source { file: Path::new("x.toml").into(), text: "a = 1\nbü = \"é\"\r\n".into() };
        for (span, expected) in [
            (0..1, (1, 1, 1, "a = 1")),
            (6..9, (2, 1, 2, "bü = \"é\"")),
            (12..16, (2, 6, 3, "bü = \"é\"")),
            (5..5, (1, 6, 1, "a = 1")),
            (400..500, (3, 1, 1, "")),
            // Inside the two bytes of a letter.
            (8..9, (2, 2, 1, "bü = \"é\"")),
        ] {
            let place = source.place(span.clone());
            assert_eq!((place.line, place.column, place.width, &*place.text), expected, "{span:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for (line, shown) in [
            ("password = \"hunter2\"", "password = …"),
            ("Api_Token='x'", "Api_Token=…"),
            ("{ password = \"a\", url = \"b\" }", "{ password = …"),
            ("url = \"https://root:pw@host\"", "url = \"https://…"),
            ("password = { file = \"lab.password\" }", "password = { file = \"lab.password\" }"),
            ("url = \"https://host\" # root@host", "url = \"https://…"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }
}
