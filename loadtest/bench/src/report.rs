//! The tables, for people: printed, and put between the markers of a page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::figures::{Figure, Figures};
use crate::problem::Problem;
use crate::servers::Subject;
use crate::stats::spread;
use crate::targets::TARGETS;

/// Puts a text between two markers of a page.
pub(crate) fn write(page: &Path, name: &str, text: &str) -> Result<(), Problem> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let missing = || Problem::Markers(page.to_owned(), name.to_owned());
    let old = fs::read_to_string(page)?;
    let (before, rest) = old.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(fs::write(page, format!("{before}{begin}\n{text}\n{end}{after}"))?)
}

/// The table of figures: a line each, a column for each server, medians and ranges.
pub(crate) fn figures(figures: &Figures) -> String {
    let mut text = "| median (range) |".to_owned();
    for subject in Subject::ALL {
        let _ = write!(text, " {} |", subject.name());
    }
    text += "\n|---|---|---|---|---|---|\n";
    for figure in figures.figures() {
        let _ = write!(text, "| {}, {} |", figure.name(), figure.unit());
        for subject in Subject::ALL {
            let _ = write!(text, " {} |", cell(figures, figure, subject));
        }
        text.push('\n');
    }
    text
}

fn cell(figures: &Figures, figure: Figure, subject: Subject) -> String {
    match spread(figures.of(figure, subject)) {
        None => "–".to_owned(),
        Some(spread) => {
            format!("{} ({}–{})", number(spread.median), number(spread.least), number(spread.most))
        }
    }
}

/// The table of targets.
pub(crate) fn targets(figures: &Figures) -> String {
    let mut text =
        "| target | at most | measured: median (range) | reached |\n|---|---|---|---|\n".to_owned();
    for target in &TARGETS {
        let Some(measured) = target.measured(figures) else {
            let _ = writeln!(
                text,
                "| {} | {} | not measured | – |",
                target.text,
                bound(target.by.is_some(), target.at_most)
            );
            continue;
        };
        let shown = |value| bound(target.by.is_some(), value);
        let reached = if measured.median <= target.at_most { "yes" } else { "**no**" };
        let _ = writeln!(
            text,
            "| {} | {} | {} ({}–{}) | {reached} |",
            target.text,
            shown(target.at_most),
            shown(measured.median),
            shown(measured.least),
            shown(measured.most)
        );
    }
    text
}

/// Writes a ratio below 1 as a part of the other, as in `1/8.0`.
fn bound(is_ratio: bool, value: f64) -> String {
    if is_ratio && value < 1.0 {
        format!("1/{}", number(1.0 / value))
    } else if is_ratio {
        format!("{} ×", number(value))
    } else {
        number(value)
    }
}

/// Writes a number with two or three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_below_one_is_written_as_a_part() {
        assert_eq!(bound(true, 0.125), "1/8.00");
        assert_eq!(bound(true, 1.5), "1.50 ×");
        assert_eq!(bound(false, 0.5), "0.50");
    }

    #[test]
    fn a_page_without_markers_is_left_alone() {
        let page = tempfile::NamedTempFile::new().unwrap();
        fs::write(page.path(), "no markers").unwrap();
        assert!(write(page.path(), "measured", "x").is_err());
        assert_eq!(fs::read_to_string(page.path()).unwrap(), "no markers");
    }

    #[test]
    fn the_text_between_the_markers_is_replaced() {
        let page = tempfile::NamedTempFile::new().unwrap();
        fs::write(page.path(), "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nz").unwrap();
        write(page.path(), "t", "new").unwrap();
        assert_eq!(
            fs::read_to_string(page.path()).unwrap(),
            "a\n<!-- t: begin -->\nnew\n<!-- t: end -->\nz"
        );
    }
}
