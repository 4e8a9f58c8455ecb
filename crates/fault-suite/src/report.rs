//! What a scenario found: figures against their targets, and what the checks say.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::check::Verdict;

#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    /// How much it was.
    pub value: f64,
    pub unit: String,
    /// What it must be; nothing if it is only told.
    pub target: Option<Target>,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Figure {
    /// A figure that is only told.
    #[must_use]
    pub fn told(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned(), target: None }
    }

    /// A figure that must not be greater.
    #[must_use]
    pub fn at_most(name: impl Into<String>, value: f64, most: f64, unit: &str) -> Self {
        Self { target: Some(Target::AtMost(most)), ..Self::told(name, value, unit) }
    }

    /// A figure that must not be smaller.
    #[must_use]
    pub fn at_least(name: impl Into<String>, value: f64, least: f64, unit: &str) -> Self {
        Self { target: Some(Target::AtLeast(least)), ..Self::told(name, value, unit) }
    }

    /// Whether it is what it must be. What is not a number never is.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.target {
            None => true,
            Some(Target::AtMost(most)) => self.value <= most,
            Some(Target::AtLeast(least)) => self.value >= least,
        }
    }

    fn row(&self, scenario: &str) -> String {
        let target = match self.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("≤ {}", number(most)),
            Some(Target::AtLeast(least)) => format!("≥ {}", number(least)),
        };
        let held = match (self.target, self.holds()) {
            (None, _) => "",
            (Some(_), true) => "yes",
            (Some(_), false) => "**no**",
        };
        let value = number(self.value);
        format!("| {scenario} | {} | {value} {} | {target} | {held} |", self.name, self.unit)
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// What came of a scenario.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub scenario: String,
    /// Of everything that was drawn.
    pub seed: u64,
    /// Whether every check and every figure holds.
    pub held: bool,
    /// Why it did not come to its end, if so.
    pub failure: Option<String>,
    pub figures: Vec<Figure>,
    /// What each check found.
    pub verdicts: Vec<Count>,
    /// The first violations in words.
    pub violations: Vec<String>,
}

/// How much a check found.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    pub check: String,
    /// How often it was broken.
    pub violations: usize,
}

/// So many violations of each check are told in words.
const WORDS: usize = 5;

impl Outcome {
    /// Puts together what was found.
    #[must_use]
    pub fn new(
        scenario: &str,
        seed: u64,
        failure: Option<String>,
        figures: Vec<Figure>,
        verdicts: &[Verdict],
    ) -> Self {
        let kept = verdicts.iter().all(|verdict| verdict.violations.is_empty());
        let words = verdicts.iter().flat_map(|verdict| {
            let first = verdict.violations.iter().take(WORDS);
            first.map(|violation| format!("{}: {violation}", verdict.check))
        });
        Self {
            scenario: scenario.to_owned(),
            seed,
            held: failure.is_none() && kept && figures.iter().all(Figure::holds),
            failure,
            violations: words.collect(),
            verdicts: verdicts
                .iter()
                .map(|verdict| Count {
                    check: verdict.check.to_owned(),
                    violations: verdict.violations.len(),
                })
                .collect(),
            figures,
        }
    }

    /// The rows of the table in docs/RELIABILITY.md.
    #[must_use]
    pub fn rows(&self) -> String {
        let figures: Vec<_> =
            self.figures.iter().map(|figure| figure.row(&self.scenario)).collect();
        let broken: usize = self.verdicts.iter().map(|count| count.violations).sum();
        let checks = Figure::at_most(
            format!("violations found by {} checks", self.verdicts.len()),
            count(broken),
            0.0,
            "",
        );
        [&figures[..], &[checks.row(&self.scenario)]].concat().join("\n")
    }

    /// What a person reads at the end of a run.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!("{}\n{}\n", HEADER, self.rows());
        for count in self.verdicts.iter().filter(|count| count.violations > 0) {
            let _ = writeln!(text, "{}: {} violations", count.check, count.violations);
        }
        for violation in &self.violations {
            let _ = writeln!(text, "  {violation}");
        }
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "{} did not come to its end: {failure}", self.scenario);
        }
        text
    }
}

/// The head of the table.
pub const HEADER: &str = "| scenario | figure | measured | target | held |\n|---|---|---|---|---|";

/// A count as a figure.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub fn count(count: usize) -> f64 {
    count as f64
}
