//! Groups of bars with whiskers: systems by metrics.

use maud::{Markup, html};

use super::Svg;
use super::frame::{Bottom, Frame, Mark, Outline, WIDTH};
use super::line::short;
use super::scale::{Mapping, Reach, Scale};
use super::theme::{fill, label, n, text_width};
use crate::statistics::Interval;

/// The bars of one system, one in each group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarSeries {
    /// What the legend calls it.
    pub name: String,
    /// A value for each group, in the groups' order; `None` leaves a gap.
    pub values: Vec<Option<Interval>>,
}

/// Bars from 0 to each mean, with the interval as a whisker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarChart {
    /// The title.
    pub title: String,
    /// Quantity and unit of the bars.
    pub y_label: String,
    /// Names under the groups of bars.
    pub groups: Vec<String>,
    /// The systems.
    pub series: Vec<BarSeries>,
}

impl BarChart {
    /// The chart as SVG.
    pub fn to_svg(&self) -> Svg {
        let all = || self.series.iter().flat_map(|series| &series.values).flatten();
        let shown = all().filter(|interval| shows(interval));
        let ends = shown.flat_map(|i| [i.mean, i.low, i.high]).chain([0.0]);
        let y = Mapping::over(ends, Scale::Linear, Reach::Tick, 5);
        let hidden = all().filter(|interval| !shows(interval)).count();
        let legend = self.series.iter().enumerate().map(|(i, series)| (i, series.name.as_str()));
        let outline = Outline {
            title: &self.title,
            x_label: "",
            y_label: &self.y_label,
            legend: legend.collect(),
            mark: Mark::Patch,
            width: WIDTH,
            plot_height: 260.0,
            empty: all().count() == hidden,
            note: match hidden {
                0 => String::new(),
                hidden => format!("{hidden} of {} bars are not finite numbers", all().count()),
            },
        };
        let frame = Frame::new(outline, &y);
        let plotted = html! {
            @for group in 0..self.groups.len() {
                @for (index, series) in self.series.iter().enumerate() {
                    @if let Some(Some(interval)) = series.values.get(group).filter(|v| v.as_ref().is_some_and(shows)) {
                        (self.bar(group, index, interval, &frame, &y))
                    }
                }
            }
        };
        frame.finish(&Bottom::Names(&self.groups), &y, &plotted)
    }

    fn bar(&self, group: usize, index: usize, interval: &Interval, frame: &Frame<'_>, y: &Mapping) -> Markup {
        let slot = 1.0 / self.groups.len().max(1) as f64;
        let width = (0.84 * slot / self.series.len().max(1) as f64).min(0.12);
        let first = (group as f64 + 0.5) * slot - width * self.series.len() as f64 / 2.0;
        let (left, right) =
            (frame.x(first + index as f64 * width) + 1.0, frame.x(first + (index + 1) as f64 * width) - 1.0);
        let at = |value: f64| frame.y(y.place(value));
        let (top, bottom) = (at(interval.mean.max(0.0)), at(interval.mean.min(0.0)));
        let (low, high, middle) = (at(interval.low), at(interval.high), (left + right) / 2.0);
        let cap = ((right - left) / 4.0).min(5.0);
        let whisker = format!(
            "M{m} {l}V{h}M{a} {l}H{b}M{a} {h}H{b}",
            m = n(middle),
            l = n(low),
            h = n(high),
            a = n(middle - cap),
            b = n(middle + cap)
        );
        let value = format!("{:.1}", interval.mean);
        let name = self.series.get(index).map_or("", |series| series.name.as_str());
        let text =
            format!("{name}: {} [{}, {}]", short(interval.mean), short(interval.low), short(interval.high));
        html! {
            g {
                title { (label(&text, 200)) }
                rect class=(fill(index)) x=(n(left)) y=(n(top)) width=(n((right - left).max(0.5)))
                    height=(n((bottom - top).max(0.0))) {}
                @if interval.high > interval.low {
                    path class="rv-whisker rv-under" d=(whisker) {}
                    path class="rv-whisker" d=(whisker) {}
                 }
                @if text_width(&value, 12.0) <= right - left + 4.0 {
                    text class="rv-ink rv-mid" x=(n(middle)) y=(n(high.min(top) - 5.0)) { (value) }
                }
            }
        }
    }
}

fn shows(interval: &Interval) -> bool {
    [interval.mean, interval.low, interval.high].into_iter().all(|value| Scale::Linear.shows(value))
}
