//! What a plugin says in one delivery: bounded, handed on at once, the last lines kept for the report.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::delivery::Terms;
use crate::discretion::without_secrets;
use crate::pool::LogSink;
use crate::report::{Level, LogLine, Source};

/// Lines kept for the report.
const KEPT: usize = 50;
/// Longest line, bytes; the rest is cut.
const LINE_MAX: usize = 8 * 1024;

pub(crate) struct LogBook {
    sink: Arc<dyn LogSink>,
    /// Whose secrets are kept out of all lines.
    terms: Option<Arc<Terms>>,
    left: usize,
    pub(crate) dropped: usize,
    kept: VecDeque<LogLine>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl LogBook {
    pub(crate) fn new(sink: Arc<dyn LogSink>, allowed: usize) -> Self {
        LogBook {
            sink,
            terms: None,
            left: allowed,
            dropped: 0,
            kept: VecDeque::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// Keeps the secrets of these terms out of all lines.
    pub(crate) fn keeping(self, terms: Arc<Terms>) -> Self {
        LogBook { terms: Some(terms), ..self }
    }

    /// A line from the plugin; dropped and counted once the limit is reached.
    pub(crate) fn plugin(&mut self, mut line: LogLine) {
        cut(&mut line.message);
        let size = line.message.len()
            + line.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if size > self.left {
            if self.dropped == 0 {
                self.host(
                    Level::Warn,
                    "the plugin's log limit is reached: further lines are dropped",
                    Vec::new(),
                );
            }
            self.left = 0;
            self.dropped += size;
            return;
        }
        self.left -= size;
        self.write(line);
    }

    /// A line about the plugin. Not counted: the host says little.
    pub(crate) fn host(&mut self, level: Level, message: impl Into<String>, fields: Vec<(String, String)>) {
        self.write(LogLine { source: Source::Host, level, message: message.into(), fields });
    }

    /// Bytes from standard output or error, split into lines.
    pub(crate) fn bytes(&mut self, source: Source, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let pending = self.pending(source);
            if pending.len() < LINE_MAX {
                pending.extend_from_slice(&part[..part.len().min(LINE_MAX)]);
            }
            if part.ends_with(b"\n") {
                self.end_line(source);
            }
        }
    }

    /// The lines kept, oldest first, with what stood unfinished on standard output and error.
    pub(crate) fn close(&mut self) -> Vec<LogLine> {
        for source in [Source::Stdout, Source::Stderr] {
            if !self.pending(source).is_empty() {
                self.end_line(source);
            }
        }
        if self.dropped > 0 {
            let dropped = vec![("bytes".to_owned(), self.dropped.to_string())];
            self.host(Level::Warn, "log lines of the plugin were dropped", dropped);
        }
        std::mem::take(&mut self.kept).into()
    }

    fn pending(&mut self, source: Source) -> &mut Vec<u8> {
        if source == Source::Stderr { &mut self.stderr } else { &mut self.stdout }
    }

    fn end_line(&mut self, source: Source) {
        let bytes = std::mem::take(self.pending(source));
        let message = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        let level = if source == Source::Stderr { Level::Warn } else { Level::Info };
        self.plugin(LogLine { source, level, message, fields: Vec::new() });
    }

    fn write(&mut self, mut line: LogLine) {
        if let Some(terms) = &self.terms {
            let values = line.fields.iter_mut().map(|(_, value)| value);
            for text in values.chain(std::iter::once(&mut line.message)) {
                without_secrets(text, &terms.secrets);
            }
        }
        self.sink.line(&line);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }
}

fn cut(text: &mut String) {
    if text.len() > LINE_MAX {
        let end = (0..=LINE_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl LogSink for Heard {
        fn line(&self, line: &LogLine) {
            self.0.lock().unwrap().push(line.to_string());
        }
    }

    fn said(message: &str) -> LogLine {
        LogLine { source: Source::Plugin, level: Level::Info, message: message.into(), fields: Vec::new() }
    }

    #[test]
    fn lines_over_the_limit_are_dropped_and_counted() {
        let heard = Arc::new(Heard::default());
        let mut book = LogBook::new(heard.clone(), 10);
        for message in ["12345678", "123", "1"] {
            book.plugin(said(message));
        }
        assert_eq!(book.dropped, 4);
        assert_eq!(book.close().len(), 3);
        assert_eq!(
            *heard.0.lock().unwrap(),
            [
                "info: 12345678",
                "warn: the plugin's log limit is reached: further lines are dropped",
                "warn: log lines of the plugin were dropped bytes=\"4\"",
            ]
        );
    }

    #[test]
    fn secrets_are_kept_out_of_what_is_said() {
        let heard = Arc::new(Heard::default());
        let terms = Terms {
            grant: crate::Grant::compile(&crate::RawGrant::default()).unwrap(),
            spending: crate::Spending::default(),
            settings: serde_json::Map::new(),
            secrets: [("token".to_owned(), "s3cret".into())].into(),
            limits: crate::Limits::default(),
            dry_run: false,
        };
        let mut book = LogBook::new(heard.clone(), 1000).keeping(Arc::new(terms));
        let fields = vec![("sent".to_owned(), "s3cret".to_owned())];
        book.plugin(LogLine { fields, ..said("it is s3cret, s3cret!") });
        book.bytes(Source::Stdout, b"s3cret\n");
        assert_eq!(
            *heard.0.lock().unwrap(),
            ["info: it is (secret token), (secret token)! sent=\"(secret token)\"", "info: (secret token)"]
        );
        assert!(!format!("{:?}", book.close()).contains("s3cret"));
    }

    #[test]
    fn output_is_split_into_lines_and_the_rest_told_at_the_end() {
        let mut book = LogBook::new(Arc::new(Heard::default()), 1000);
        book.bytes(Source::Stderr, b"one\ntw");
        book.bytes(Source::Stderr, b"o\r\n\xff");
        let lines: Vec<String> = book.close().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["one", "two", "\u{fffd}"]);
    }

    #[test]
    fn a_long_line_is_cut_and_only_the_last_are_kept() {
        let mut book = LogBook::new(Arc::new(Heard::default()), usize::MAX);
        book.plugin(said(&"é".repeat(LINE_MAX)));
        assert!(book.kept[0].message.len() <= LINE_MAX + '…'.len_utf8());
        for number in 0..100 {
            book.plugin(said(&number.to_string()));
        }
        let kept = book.close();
        assert_eq!((kept.len(), kept[KEPT - 1].message.as_str()), (KEPT, "99"));
    }
}
