//! How the demo looks: numbered scenes, lines with their time, aligned tables. Colours where a terminal is there.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table};

/// Where the text of a line begins: after time and word.
const INDENT: usize = 23;

/// Who a line is about; all words have the same width on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Pool,
    Event,
    Plugin,
    Call,
    Refused,
}

impl Who {
    fn word(self) -> &'static str {
        match self {
            Who::Pool => "pool",
            Who::Event => "event",
            Who::Plugin => "plugin",
            Who::Call => "call",
            Who::Refused => "refused",
        }
    }

    fn style(self) -> Style {
        let colour = match self {
            Who::Pool => AnsiColor::Cyan,
            Who::Event => AnsiColor::Yellow,
            Who::Plugin => AnsiColor::Magenta,
            Who::Call => AnsiColor::Green,
            Who::Refused => AnsiColor::Red,
        };
        colour.on_default().bold()
    }
}

/// The screen.
pub(super) struct Screen {
    began: Instant,
    scene: u32,
    /// Columns of the terminal; none where there is none.
    width: Option<usize>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let width = std::io::stdout().is_terminal().then(textwrap::termwidth);
        Screen { began: Instant::now(), scene: 0, width }
    }

    /// A new scene.
    pub(super) fn scene(&mut self, title: impl Display) {
        self.scene += 1;
        let style = Style::new().bold();
        anstream::println!("\n{style}{}. {title}{style:#}", self.scene);
    }

    /// A line of what happens, with the time since the beginning.
    pub(super) fn line(&self, who: Who, text: impl Display) {
        let style = who.style();
        let dim = Style::new().dimmed();
        let seconds = self.began.elapsed().as_secs_f64();
        let lines = under_each_other(&text.to_string(), self.width);
        anstream::println!("  {dim}{seconds:>8.3} s{dim:#}  {style}{:<8}{style:#} {lines}", who.word());
    }

    /// Words between the lines.
    pub(super) fn remark(&self, text: impl Display) {
        anstream::println!("  {text}");
    }

    /// Rows under headings.
    pub(super) fn table<R: Into<Vec<String>>>(&self, headings: &[&str], rows: impl IntoIterator<Item = R>) {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().map(ToString::to_string));
        for row in rows {
            table.add_row(row.into());
        }
        for line in table.lines() {
            anstream::println!("  {}", line.trim_end());
        }
    }
}

/// Lines that are broken to the width and indented to stand under the first.
fn under_each_other(text: &str, width: Option<usize>) -> String {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(INDENT).max(40));
    let options = textwrap::Options::new(room)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .word_separator(textwrap::WordSeparator::AsciiSpace);
    let broken = text.lines().flat_map(|line| {
        // Lines to paste stay whole.
        if line.contains(" = ") { vec![line.into()] } else { textwrap::wrap(line, &options) }
    });
    broken.collect::<Vec<_>>().join(&format!("\n{:INDENT$}", ""))
}

/// A duration as people read it.
pub(super) fn short(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1000 => format!("{micros} us"),
        1000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1000.0),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_only_on_a_terminal() {
        let text = "one two three four five six seven eight nine ten\nsecond";
        assert_eq!(under_each_other(text, None).lines().count(), 2);
        let broken = under_each_other(text, Some(63));
        assert!(broken.lines().count() == 3 && broken.lines().all(|line| line.len() <= 63), "{broken}");
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        for (micros, text) in [(7, "7 us"), (1500, "1.5 ms"), (2_345_678, "2.35 s")] {
            assert_eq!(short(Duration::from_micros(micros)), text);
        }
    }
}
