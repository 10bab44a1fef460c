//! One figure with what it is compared with and what it must reach.

use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    name: String,
    figure: f64,
    unit: &'static str,
    against: Option<(String, f64)>,
    goal: Option<Goal>,
}

/// What must be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// The figure at most so much.
    AtMost(f64),
    /// The figure at least so much.
    AtLeast(f64),
    /// The figure at most so much more than what it is compared with.
    AtMostMore(f64),
    /// The figure at least so many times what it is compared with.
    Times(f64),
}

impl Row {
    /// A figure on its own.
    pub(crate) fn new(name: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Row { name: name.into(), figure, unit, against: None, goal: None }
    }

    /// Compared with another figure of the same unit.
    pub(crate) fn against(mut self, what: impl Into<String>, figure: f64) -> Self {
        self.against = Some((what.into(), figure));
        self
    }

    /// With a goal.
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// The figure divided by what it is compared with.
    fn ratio(&self) -> Option<f64> {
        self.against.as_ref().map(|(_, other)| self.figure / other)
    }

    /// Whether the goal is reached; none without a goal, or without what the goal speaks of.
    fn met(&self) -> Option<bool> {
        match self.goal? {
            Goal::AtMost(bound) => Some(self.figure <= bound),
            Goal::AtLeast(bound) => Some(self.figure >= bound),
            Goal::AtMostMore(more) => self.against.as_ref().map(|(_, other)| self.figure <= other + more),
            Goal::Times(times) => self.ratio().map(|ratio| ratio >= times),
        }
    }

    fn goal_text(&self) -> Option<String> {
        Some(match self.goal? {
            Goal::AtMost(bound) => format!("at most {} {}", shown(bound), self.unit),
            Goal::AtLeast(bound) => format!("at least {} {}", shown(bound), self.unit),
            Goal::AtMostMore(more) => format!("at most {} {} more", shown(more), self.unit),
            Goal::Times(times) => format!("at least {} times", shown(times)),
        })
    }

    /// The cells of the table.
    pub(crate) fn cells(&self) -> [String; 7] {
        let against = self.against.as_ref().map(|(what, figure)| format!("{what}: {}", shown(*figure)));
        let met = self.met().map(|met| if met { "yes" } else { "NO" });
        [
            self.name.clone(),
            shown(self.figure),
            self.unit.to_owned(),
            against.unwrap_or_default(),
            self.ratio().map(shown).unwrap_or_default(),
            self.goal_text().unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
        ]
    }

    /// The row for programs. What is missing is null.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "figure": self.figure,
            "unit": self.unit,
            "against": self.against.as_ref().map(|(what, figure)| json!({ "name": what, "figure": figure })),
            "ratio": self.ratio(),
            "goal": self.goal_text(),
            "met": self.met(),
        })
    }
}

/// Three digits that mean something, thousands apart.
fn shown(number: f64) -> String {
    match number.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{number:.0}");
            let mut out = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
        size if size >= 100.0 || number.fract() == 0.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_figure_difference_and_ratio() {
        let row = |figure, goal| Row::new("x", figure, "ms").against("y", 2.0).goal(goal);
        for (row, met) in [
            (row(3.0, Goal::AtMost(3.0)), Some(true)),
            (row(3.1, Goal::AtMost(3.0)), Some(false)),
            (row(3.0, Goal::AtLeast(3.0)), Some(true)),
            (row(2.9, Goal::AtLeast(3.0)), Some(false)),
            (row(2.5, Goal::AtMostMore(0.5)), Some(true)),
            (row(2.6, Goal::AtMostMore(0.5)), Some(false)),
            (row(1.0, Goal::Times(0.5)), Some(true)),
            (row(0.9, Goal::Times(0.5)), Some(false)),
            (Row::new("x", 1.0, "ms").goal(Goal::Times(0.5)), None),
            (Row::new("x", 1.0, "ms"), None),
        ] {
            assert_eq!(row.met(), met, "{row:?}");
        }
    }

    #[test]
    fn a_row_for_programs_has_every_column() {
        let row = Row::new("x", 5.0, "ms").against("y", 2.0).goal(Goal::Times(2.0)).to_json();
        let expected = json!({
            "name": "x", "figure": 5.0, "unit": "ms", "against": { "name": "y", "figure": 2.0 }, "ratio": 2.5,
            "goal": "at least 2 times", "met": true,
        });
        assert_eq!(row, expected);
        assert_eq!(Row::new("x", 5.0, "ms").to_json()["goal"], Value::Null);
    }

    #[test]
    fn numbers_are_shown_as_far_as_they_mean_something() {
        for (number, text) in [
            (1_234_567.8, "1,234,568"),
            (1000.0, "1,000"),
            (123.4, "123"),
            (12.34, "12.3"),
            (2.0, "2"),
            (0.12345, "0.123"),
        ] {
            assert_eq!(shown(number), text);
        }
    }
}
