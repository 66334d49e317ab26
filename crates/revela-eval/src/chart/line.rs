//! Lines over a numeric axis: losses over steps, recall against speed.

use maud::{Markup, html};

use super::Svg;
use super::frame::{Bottom, Frame, Mark, Outline, WIDTH};
use super::scale::{Axis, Mapping, Reach};
use super::theme::{fill, label, n, stroke};

/// One point of a line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// What else its tooltip says, such as "ef_search 64"; may be empty.
    pub label: String,
}

/// A named line, through its points in the order given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its points.
    pub points: Vec<Point>,
}

impl Series {
    /// A line through points without labels.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let point = |(x, y)| Point { x, y, label: String::new() };
        Self { name: name.into(), points: points.into_iter().map(point).collect() }
    }
}

/// A level to compare lines with, such as another system's score; drawn as a dotted line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Level {
    /// What it is.
    pub name: String,
    /// How high it is.
    pub value: f64,
}

/// Several lines.
///
/// Long ones are thinned to what the eye can tell apart, keeping every extreme, and drawn faintly with
/// their moving average over them, so that the course of noisy losses shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineChart {
    /// The title.
    pub title: String,
    /// The axis across.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Levels to compare with.
    pub levels: Vec<Level>,
}

/// Lines of up to this many points show each of them as a dot.
const DOTS: usize = 40;
/// Lines from this many points on are drawn faintly, with their mean over them.
const LONG: usize = 400;
/// Columns that a long line is thinned to; each keeps its first, lowest, highest and last point.
const COLUMNS: usize = 600;

impl LineChart {
    /// The chart as SVG.
    pub fn to_svg(&self) -> Svg {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|p| self.shows(p));
        let x = Mapping::over(points().map(|p| p.x), self.x.scale, Reach::Data, 7);
        let levels = self.levels.iter().map(|level| level.value);
        let y = Mapping::over(points().map(|p| p.y).chain(levels), self.y.scale, Reach::Tick, 5);
        let legend = self.series.iter().enumerate().map(|(i, series)| (i, series.name.as_str()));
        let outline = Outline {
            title: &self.title,
            x_label: &self.x.label,
            y_label: &self.y.label,
            legend: legend.collect(),
            mark: Mark::Line,
            width: WIDTH,
            plot_height: 280.0,
            empty: points().next().is_none(),
            note: self.note(),
        };
        let frame = Frame::new(outline, &y);
        let plotted = html! {
            @for level in self.levels.iter().filter(|level| self.y.scale.shows(level.value)) {
                @let at = frame.y(y.place(level.value));
                line class="rv-level" x1=(n(frame.x(0.0))) x2=(n(frame.x(1.0))) y1=(n(at)) y2=(n(at)) {}
                text class="rv-muted rv-end rv-halo" x=(n(frame.x(1.0))) y=(n(at - 5.0)) { (label(&level.name, 60)) }
            }
            @for (index, series) in self.series.iter().enumerate() {
                (self.line(index, series, &frame, &x, &y))
            }
        };
        frame.finish(&Bottom::Numbers(&x), &y, &plotted)
    }

    fn shows(&self, point: &Point) -> bool {
        self.x.scale.shows(point.x) && self.y.scale.shows(point.y)
    }

    fn note(&self) -> String {
        let all: usize = self.series.iter().map(|series| series.points.len()).sum();
        let shown = self.series.iter().flat_map(|series| &series.points).filter(|p| self.shows(p)).count();
        let mut notes = Vec::new();
        if shown < all {
            notes.push(format!("{} of {all} points cannot be shown on these axes", all - shown));
        }
        if let Some(window) = self.window() {
            notes.push(format!("faint: every point; strong: mean of {window} points around"));
        }
        notes.join("; ")
    }

    /// How many points are averaged, if any line is so long that its noise would hide its course.
    fn window(&self) -> Option<usize> {
        let longest = self.series.iter().map(|series| series.points.len()).max().unwrap_or(0);
        (longest >= LONG).then_some(longest / 50)
    }

    fn line(&self, index: usize, series: &Series, frame: &Frame<'_>, x: &Mapping, y: &Mapping) -> Markup {
        let place = |at: (f64, f64)| (frame.x(x.place(at.0)), frame.y(y.place(at.1)));
        // A line breaks where a point cannot be shown.
        let pieces = series.points.split(|point| !self.shows(point)).filter(|piece| !piece.is_empty());
        let dots = series.points.len() <= DOTS;
        let window = self.window().filter(|_| series.points.len() >= LONG);
        html! {
            @for piece in pieces {
                @if piece.len() > 1 {
                    @let line: Vec<_> = piece.iter().map(|point| place((point.x, point.y))).collect();
                    @let faint = if window.is_some() { " rv-faint" } else { "" };
                    polyline class={ "rv-line " (stroke(index)) (faint) } points=(coordinates(&thinned(&line))) {}
                }
                @if let Some(window) = window {
                    @let line: Vec<_> = averaged(piece, window).into_iter().map(place).collect();
                    polyline class={ "rv-line " (stroke(index)) } points=(coordinates(&line)) {}
                }
                @if dots || piece.len() == 1 {
                    @for point in piece {
                        @let (cx, cy) = place((point.x, point.y));
                        circle class=(fill(index)) cx=(n(cx)) cy=(n(cy)) r="3.5" { title { (tooltip(series, point)) } }
                    }
                }
            }
        }
    }
}

fn coordinates(places: &[(f64, f64)]) -> String {
    let texts: Vec<String> = places.iter().map(|(x, y)| format!("{},{}", n(*x), n(*y))).collect();
    texts.join(" ")
}

/// The mean height around some hundred points, evenly chosen along the line.
fn averaged(points: &[Point], window: usize) -> Vec<(f64, f64)> {
    let last = points.len().saturating_sub(1);
    let count = last.min(300);
    let mean_around = |step: usize| {
        let centre = step * last / count.max(1);
        // Towards the ends the window shrinks, so that a steep start is not smoothed away, but not to
        // nothing, which would end the line in noise.
        let half = centre.min(last - centre).clamp(window / 8, window / 2);
        let around = points.get(centre.saturating_sub(half)..=(centre + half).min(last))?;
        let mean = around.iter().map(|point| point.y / around.len() as f64).sum();
        Some((points.get(centre)?.x, mean))
    };
    (0..=count).filter_map(mean_around).collect()
}

fn tooltip(series: &Series, point: &Point) -> String {
    let more = if point.label.is_empty() { String::new() } else { format!(" ({})", point.label) };
    label(&format!("{}: {}, {}{more}", series.name, short(point.x), short(point.y)), 200)
}

/// A number as a tooltip shows it.
pub(super) fn short(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e7).contains(&value.abs()) { format!("{value:.3e}") } else { n3(value) }
}

fn n3(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Keeps of each column of the plot the first, lowest, highest and last place.
fn thinned(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if places.len() <= 4 * COLUMNS {
        return places.to_vec();
    }
    let mut kept = Vec::with_capacity(4 * COLUMNS);
    for column in places.chunks(places.len().div_ceil(COLUMNS)) {
        let by_height = |a: &(usize, &(f64, f64)), b: &(usize, &(f64, f64))| a.1.1.total_cmp(&b.1.1);
        let low = column.iter().enumerate().min_by(by_height).map_or(0, |(i, _)| i);
        let high = column.iter().enumerate().max_by(by_height).map_or(0, |(i, _)| i);
        let mut chosen = [0, low, high, column.len() - 1];
        chosen.sort_unstable();
        kept.extend(chosen.iter().filter_map(|&i| column.get(i)).copied());
    }
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_ends_and_spikes() {
        let mut places: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        places[54_321].1 = 1e6;
        places[54_322].1 = -1e6;
        let kept = thinned(&places);
        assert!(kept.len() <= 4 * COLUMNS);
        for must in [0, 54_321, 54_322, 99_999] {
            assert!(kept.contains(&places[must]));
        }
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        assert_eq!(thinned(&places[..10]), &places[..10]);
    }

    #[test]
    fn averages_follow_the_course_and_end_where_the_line_ends() {
        let noisy = |i: u32| (f64::from(i), f64::from(i) + if i.is_multiple_of(2) { 50.0 } else { -50.0 });
        let line = Series::new("", (0..5001).map(noisy));
        let averages = averaged(&line.points, 100);
        assert_eq!(averages.len(), 301);
        assert_eq!((averages[0].0, averages[300].0), (0.0, 5000.0));
        assert!(averages[10..290].iter().all(|(x, y)| (x - y).abs() <= 2.0), "the noise is gone");
        assert!(averages.iter().all(|(x, y)| (x - y).abs() <= 10.0), "and nearly gone at the ends");
        assert_eq!(averaged(&line.points[..1], 100), [(0.0, 50.0)]);
    }
}
