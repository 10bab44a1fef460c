//! What a daemon logs: one JSON object a line, kept in a file and in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::watch;

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The whole line as it came.
    pub raw: String,
    fields: Value,
}

impl Line {
    fn new(raw: String) -> Line {
        let fields = serde_json::from_str(&raw).unwrap_or(Value::Null);
        Line { raw, fields }
    }

    /// A field as text; empty where there is none. The text of a line that is no JSON is its `message`.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        match self.fields.get(field) {
            Some(Value::String(text)) => text,
            None if self.fields.is_null() && field == "message" => &self.raw,
            _ => "",
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        self.text("message")
    }

    /// The level: `ERROR`, `WARN`, `INFO`, `DEBUG`.
    #[must_use]
    pub fn level(&self) -> &str {
        self.text("level")
    }

    /// A field that is a whole number.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field).and_then(Value::as_u64)
    }

    /// A field that is true or false.
    #[must_use]
    pub fn truth(&self, field: &str) -> Option<bool> {
        self.fields.get(field).and_then(Value::as_bool)
    }
}

/// The log of one process: filled by its own thread, which ends with the process.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    /// How many lines there are, and whether more can come.
    count: watch::Receiver<(usize, bool)>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    pub(crate) fn read(from: impl Read + Send + 'static, file: &Path) -> Log {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel((0, true));
        let mut file = File::create(file).expect("the log's file can be made");
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                // A log that cannot be kept is still read.
                _ = file.write_all(&line);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                locked(&kept).push(Line::new(text));
                counter.send_modify(|(count, _)| *count += 1);
                line.clear();
            }
            counter.send_modify(|(_, more)| *more = false);
        });
        Log { lines, count, reader: Some(reader) }
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        locked(&self.lines).clone()
    }

    pub(crate) fn len(&self) -> usize {
        locked(&self.lines).len()
    }

    /// The first line from number `from` on that fits; `None` when the log ends without one.
    pub(crate) async fn find(&self, from: usize, fits: impl Fn(&Line) -> bool) -> Option<Line> {
        let mut count = self.count.clone();
        let mut next = from;
        loop {
            let (_, more) = *count.borrow_and_update();
            {
                let lines = locked(&self.lines);
                if let Some(found) = lines.iter().skip(next).find(|line| fits(line)) {
                    return Some(found.clone());
                }
                next = next.max(lines.len());
            }
            if !more || count.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Returns when the process has closed its log.
    pub(crate) async fn closed(&self) {
        // A reader that is gone has read all there was.
        _ = self.count.clone().wait_for(|(_, more)| !more).await;
    }

    /// The last lines, for a message.
    pub(crate) fn tail(&self) -> String {
        let lines = locked(&self.lines);
        let skipped = lines.len().saturating_sub(40);
        let short = |line: &Line| line.raw.chars().take(600).collect::<String>();
        let tail: Vec<String> = lines.iter().skip(skipped).map(short).collect();
        format!("the last of {} lines of the log:\n  {}", lines.len(), tail.join("\n  "))
    }

    /// Waits for the thread; the process must have ended.
    pub(crate) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading a log does not panic");
        }
    }
}

fn locked(lines: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
