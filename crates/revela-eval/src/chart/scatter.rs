//! Two systems against each other, one point a query.

use std::collections::BTreeMap;

use maud::html;

use super::Svg;
use super::frame::{Bottom, Frame, Mark, Outline};
use super::line::short;
use super::scale::{Mapping, Reach, Scale};
use super::theme::{fill, label, n};

/// What two systems score on one query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryPoint {
    /// The query's id.
    pub query: String,
    /// What the first system scores.
    pub x: f64,
    /// What the second scores.
    pub y: f64,
}

/// Every query as a point: across what one system scores, upwards what the other does.
///
/// Queries that score the same share one point, which grows with their number. Points above the
/// diagonal are queries where the second system is better.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScatterChart {
    /// The title.
    pub title: String,
    /// The system across.
    pub x_name: String,
    /// The system upwards.
    pub y_name: String,
    /// What is scored, with its unit.
    pub quantity: String,
    /// The queries.
    pub points: Vec<QueryPoint>,
}

/// Queries whose scores are the same to this many parts of one share a point.
const GRAIN: f64 = 1e6;

impl ScatterChart {
    /// The chart as SVG.
    pub fn to_svg(&self) -> Svg {
        let shown: Vec<_> = self.points.iter().filter(|p| shows(p)).collect();
        let ends = || shown.iter().flat_map(|p| [p.x, p.y]);
        let axis = || Mapping::over(ends(), Scale::Linear, Reach::Margin, 5);
        let (x, y) = (axis(), axis());
        let [above, below, level] = self.sides(&shown);
        let (x_label, y_label) =
            (format!("{} ({})", self.x_name, self.quantity), format!("{} ({})", self.y_name, self.quantity));
        let outline = Outline {
            title: &self.title,
            x_label: &x_label,
            y_label: &y_label,
            legend: vec![(0, &above), (1, &below), (6, &level)],
            mark: Mark::Dot,
            width: 560.0,
            plot_height: 480.0,
            empty: shown.is_empty(),
            note: match self.points.len() - shown.len() {
                0 => String::new(),
                hidden => format!("{hidden} of {} points are not finite numbers", self.points.len()),
            },
        };
        let frame = Frame::new(outline, &y);
        let most = merged(&shown).values().map(Vec::len).max().unwrap_or(1);
        let plotted = html! {
            line class="rv-level" x1=(n(frame.x(0.0))) y1=(n(frame.y(0.0))) x2=(n(frame.x(1.0))) y2=(n(frame.y(1.0))) {}
            @for group in merged(&shown).values() {
                @if let Some(point) = group.first() {
                    circle class={ "rv-dot " (fill(side(point))) } cx=(n(frame.x(x.place(point.x))))
                        cy=(n(frame.y(y.place(point.y)))) r=(n(radius(group.len(), most))) {
                        title { (tooltip(group)) }
                    }
                }
            }
        };
        frame.finish(&Bottom::Numbers(&x), &y, &plotted)
    }

    /// Legend: where each system is better, and on how many queries.
    fn sides(&self, shown: &[&QueryPoint]) -> [String; 3] {
        let count = |wanted: usize| shown.iter().filter(|point| side(point) == wanted).count();
        [
            format!("{} is better: {} queries", self.y_name, count(0)),
            format!("{} is better: {}", self.x_name, count(1)),
            format!("equal: {}", count(6)),
        ]
    }
}

fn shows(point: &QueryPoint) -> bool {
    Scale::Linear.shows(point.x) && Scale::Linear.shows(point.y)
}

/// The series whose colour a point has.
fn side(point: &QueryPoint) -> usize {
    if point.y > point.x + 1.0 / GRAIN {
        0
    } else if point.x > point.y + 1.0 / GRAIN {
        1
    } else {
        6
    }
}

fn merged<'a>(shown: &[&'a QueryPoint]) -> BTreeMap<(i128, i128), Vec<&'a QueryPoint>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    // Conversion to a whole number saturates, so that no number is too large.
    let key = |value: f64| (value * GRAIN).round() as i128;
    for &point in shown {
        groups.entry((key(point.x), key(point.y))).or_default().push(point);
    }
    groups
}

/// The area grows with the number of queries; the largest point stays small enough to see others by.
fn radius(count: usize, most: usize) -> f64 {
    let single: f64 = 3.5;
    let scale = (12.0 / (single * (most as f64).sqrt())).min(1.0);
    (single * scale * (count as f64).sqrt()).max(2.5)
}

fn tooltip(group: &[&QueryPoint]) -> String {
    let ids: Vec<&str> = group.iter().take(5).map(|point| point.query.as_str()).collect();
    let more = if group.len() > 5 { format!(" and {} more", group.len() - 5) } else { String::new() };
    let scores =
        group.first().map(|point| format!("{}, {}", short(point.x), short(point.y))).unwrap_or_default();
    label(&format!("{}{more}: {scores}", ids.join(", ")), 200)
}
