//! The comparison at a glance: a bar for each server, with the range of its rounds.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::figures::{Figure, Figures};
use crate::problem::Problem;
use crate::report::number;
use crate::servers::Subject;
use crate::stats::{Spread, spread};

/// What is shown, and what it is called there.
const PANELS: [(Figure, &str); 4] = [
    (Figure::AfterOffer, "Memory per idle connection after an offer, KiB"),
    (Figure::Burst, "CPU per signal in bursts of 8, µs"),
    (Figure::Fanout, "CPU per delivery in rooms of 100, µs"),
    (Figure::Entry, "CPU to take a client in, µs"),
];

const SIZE: (u32, u32) = (960, 520);
/// Where bars begin and end at most, from the left of a panel.
const BARS: (i32, i32) = (110, 400);
const FIRST_ROW: i32 = 44;
const ROW: i32 = 38;
const OURS: RGBColor = RGBColor(16, 122, 87);
const OTHERS: RGBColor = RGBColor(160, 160, 155);
const INK: RGBColor = RGBColor(40, 40, 38);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the figures into an SVG file.
pub(crate) fn draw(figures: &Figures, path: &Path) -> Result<(), Problem> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    let drawn = root.fill(&WHITE).and_then(|()| {
        for (panel, (figure, title)) in root.split_evenly((2, 2)).iter().zip(PANELS) {
            draw_panel(panel, title, &bars(figures, figure))?;
        }
        root.present()
    });
    drawn.map_err(|error| Problem::Drawing(error.to_string()))
}

/// The servers to which a figure applies.
fn bars(figures: &Figures, figure: Figure) -> Vec<(Subject, Spread)> {
    let bar = |subject| Some((subject, spread(figures.of(figure, subject))?));
    Subject::ALL.into_iter().filter_map(bar).collect()
}

fn draw_panel(
    panel: &Panel<'_>,
    title: &str,
    bars: &[(Subject, Spread)],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    panel.draw(&Text::new(
        title.to_owned(),
        (16, 14),
        ("sans-serif", 16).into_font().color(&INK),
    ))?;
    let longest = bars.iter().map(|(_, bar)| bar.most).fold(f64::MIN_POSITIVE, f64::max);
    for (row, (subject, bar)) in (0..).zip(bars) {
        let top = FIRST_ROW + row * ROW;
        let label = ("sans-serif", 14).into_font().color(&INK);
        panel.draw(&Text::new(subject.name(), (16, top + 6), label.clone()))?;
        let at = |value: f64| BARS.0 + pixels(value / longest);
        let colour = if *subject == Subject::Signal { OURS } else { OTHERS };
        let corners = [(BARS.0, top), (at(bar.median), top + 24)];
        panel.draw(&Rectangle::new(corners, colour.filled()))?;
        let middle = top + 12;
        panel.draw(&PathElement::new([(at(bar.least), middle), (at(bar.most), middle)], INK))?;
        panel.draw(&Text::new(number(bar.median), (at(bar.most) + 8, top + 6), label))?;
    }
    Ok(())
}

/// How far a share of the longest bar goes, in pixels.
#[expect(clippy::cast_possible_truncation, reason = "a bar has a few hundred pixels")]
fn pixels(share: f64) -> i32 {
    (f64::from(BARS.1 - BARS.0) * share).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_that_was_measured_has_a_bar_with_its_median() {
        let mut figures = Figures::default();
        for value in [3.0, 4.0, 5.0] {
            figures.push(Figure::AfterOffer, Subject::Signal, value);
            figures.push(Figure::AfterOffer, Subject::SocketIo, value * 6.0);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plot.svg");
        draw(&figures, &path).expect("it is drawn");
        let svg = std::fs::read_to_string(&path).expect("a file");
        for word in ["Memory per idle connection", "signal-node", "socket.io", "4.00", "24.0"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
    }
}
