//! What all charts share: title, legend, axes, grid, notes.

use maud::{Markup, html};

use super::Svg;
use super::scale::Mapping;
use super::theme::{fill, label, n, stroke, style, text_width};

/// The width of most charts, in units of the drawing; a page scales it as it likes.
pub(super) const WIDTH: f64 = 720.0;
const MARGIN: f64 = 12.0;
const TICK_SIZE: f64 = 12.0;
const LABEL_SIZE: f64 = 13.0;
const LEGEND_ROW: f64 = 20.0;

/// How a series is shown in the legend.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A piece of its line.
    Line,
    /// A patch of its colour.
    Patch,
    /// A dot.
    Dot,
}

/// What stands along the x axis.
pub(super) enum Bottom<'a> {
    /// Numbers.
    Numbers(&'a Mapping),
    /// Names, spread evenly.
    Names(&'a [String]),
}

/// What a frame is drawn from.
pub(super) struct Outline<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    /// Names in the legend, with the series whose colours they have.
    pub(super) legend: Vec<(usize, &'a str)>,
    pub(super) mark: Mark,
    pub(super) width: f64,
    /// Height of the plot itself.
    pub(super) plot_height: f64,
    /// Whether there is nothing to draw; the chart then says so.
    pub(super) empty: bool,
    pub(super) note: String,
}

/// Where the plot lies.
pub(super) struct Frame<'a> {
    outline: Outline<'a>,
    legend: Vec<(f64, f64, usize, String)>,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    height: f64,
}

impl<'a> Frame<'a> {
    pub(super) fn new(outline: Outline<'a>, y: &Mapping) -> Self {
        let widest = y.ticks.iter().map(|tick| text_width(&tick.1, TICK_SIZE)).fold(0.0, f64::max);
        let title = if outline.title.is_empty() { 0.0 } else { 28.0 };
        let (legend, rows) = lay_out_legend(&outline, title + MARGIN);
        let top = MARGIN + title + rows as f64 * LEGEND_ROW + 28.0;
        let bottom = top + if outline.empty { 80.0 } else { outline.plot_height };
        let below = if outline.x_label.is_empty() { 30.0 } else { 52.0 };
        let height = bottom + below + if outline.note.is_empty() { 0.0 } else { 18.0 };
        let (left, right) = (MARGIN + widest + 8.0, outline.width - MARGIN - 8.0);
        Self { outline, legend, left, right, top, bottom, height }
    }

    /// The place of a share of the x axis.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left + share * (self.right - self.left)
    }

    /// The place of a share of the y axis, which grows upwards.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    /// The whole drawing around what is plotted.
    pub(super) fn finish(self, x: &Bottom<'_>, y: &Mapping, plotted: &Markup) -> Svg {
        let title = label(self.outline.title, 90);
        let size = format!("0 0 {} {}", n(self.outline.width), n(self.height));
        let drawing = html! {
            svg xmlns="http://www.w3.org/2000/svg" class="rv-chart" role="img" aria-label=(title)
                width=(n(self.outline.width)) height=(n(self.height)) viewBox=(size) {
                style { (style()) }
                @if !title.is_empty() {
                    text class="rv-ink rv-title" x=(n(MARGIN)) y=(n(MARGIN + 14.0)) { (title) }
                }
                (self.legend_markup())
                text class="rv-muted rv-label" x=(n(MARGIN)) y=(n(self.top - 14.0)) {
                    (label(self.outline.y_label, 100))
                }
                @if self.outline.empty {
                    text class="rv-muted rv-label rv-mid" x=(n(self.x(0.5))) y=(n(self.y(0.5))) { "no data" }
                } @else {
                    (self.y_axis(y))
                    (self.x_axis(x))
                    (plotted)
                }
                @if !self.outline.note.is_empty() {
                    text class="rv-muted rv-note" x=(n(MARGIN)) y=(n(self.height - 8.0)) { (self.outline.note) }
                }
            }
        };
        Svg(drawing.into_string())
    }

    fn legend_markup(&self) -> Markup {
        html! {
            @for (x, y, series, name) in &self.legend {
                @match self.outline.mark {
                    Mark::Line => line class={ "rv-line " (stroke(*series)) } x1=(n(*x)) x2=(n(x + 20.0))
                        y1=(n(y - 4.0)) y2=(n(y - 4.0)) {},
                    Mark::Patch => rect class=(fill(*series)) x=(n(*x)) y=(n(y - 10.0)) width="12" height="12"
                        rx="2" {},
                    Mark::Dot => circle class=(fill(*series)) cx=(n(x + 6.0)) cy=(n(y - 4.0)) r="5" {},
                }
                text class="rv-ink rv-label" x=(n(x + self.outline.mark.width())) y=(n(*y)) { (name) }
            }
        }
    }

    fn y_axis(&self, y: &Mapping) -> Markup {
        html! {
            @for (value, text) in &y.ticks {
                @let at = self.y(y.place(*value));
                line class="rv-grid" x1=(n(self.left)) x2=(n(self.right)) y1=(n(at)) y2=(n(at)) {}
                text class="rv-muted rv-end" x=(n(self.left - 8.0)) y=(n(at + 4.0)) { (text) }
            }
        }
    }

    fn x_axis(&self, bottom: &Bottom<'_>) -> Markup {
        let places: Vec<(f64, String)> = match bottom {
            Bottom::Numbers(x) => {
                x.ticks.iter().map(|(v, text)| (self.x(x.place(*v)), text.clone())).collect()
            }
            Bottom::Names(names) => {
                let room = (self.right - self.left) / names.len().max(1) as f64;
                let most = (room / (0.58 * LABEL_SIZE)) as usize;
                let place = |i: usize| self.left + (i as f64 + 0.5) * room;
                names.iter().enumerate().map(|(i, name)| (place(i), label(name, most))).collect()
            }
        };
        let numbers = matches!(bottom, Bottom::Numbers(_));
        html! {
            line class="rv-axis" x1=(n(self.left)) x2=(n(self.right)) y1=(n(self.bottom)) y2=(n(self.bottom)) {}
            @for (at, text) in &places {
                @if numbers {
                    line class="rv-axis" x1=(n(*at)) x2=(n(*at)) y1=(n(self.bottom)) y2=(n(self.bottom + 5.0)) {}
                }
                text class={ "rv-mid " @if numbers { "rv-muted" } @else { "rv-ink rv-label" } }
                    x=(n(*at)) y=(n(self.bottom + 20.0)) { (text) }
            }
            text class="rv-muted rv-label rv-mid" x=(n((self.left + self.right) / 2.0)) y=(n(self.bottom + 42.0)) {
                (label(self.outline.x_label, 100))
            }
        }
    }
}

impl Mark {
    /// Room that the mark takes before its name.
    fn width(self) -> f64 {
        match self {
            Self::Line => 26.0,
            Self::Patch | Self::Dot => 18.0,
        }
    }
}

/// Places names in rows from left to right; returns x, baseline, series and name, and the number of rows.
fn lay_out_legend(outline: &Outline<'_>, top: f64) -> (Vec<(f64, f64, usize, String)>, usize) {
    let (mut x, mut row) = (MARGIN, 0);
    let mut placed = Vec::new();
    for &(series, name) in &outline.legend {
        let name = label(name, 60);
        let width = outline.mark.width() + text_width(&name, LABEL_SIZE) + 18.0;
        if x > MARGIN && x + width > outline.width - MARGIN {
            (x, row) = (MARGIN, row + 1);
        }
        placed.push((x, top + row as f64 * LEGEND_ROW + 12.0, series, name));
        x += width;
    }
    let rows = if placed.is_empty() { 0 } else { row + 1 };
    (placed, rows)
}
