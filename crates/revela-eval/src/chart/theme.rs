//! Colours and letters.

use std::fmt::Write;

use maud::{Markup, PreEscaped};

/// Colours that stay apart for colour-blind readers (after Okabe and Ito 2008), each as it is used on a
/// light page and on a dark one. Where there are more series, lines of the second round are dashed.
const SERIES: [(&str, &str); 7] = [
    ("#0072B2", "#56A9E0"),
    ("#D55E00", "#FF8A4C"),
    ("#00875F", "#2FC79B"),
    ("#B0518D", "#E79AC8"),
    ("#B37A00", "#F0B73C"),
    ("#3A9BD1", "#9AD4F5"),
    ("#6E7781", "#A9B2BC"),
];

const INK: (&str, &str) = ("#1F2328", "#E6EDF3");
const MUTED: (&str, &str) = ("#57606A", "#9DA7B3");
const GRID: (&str, &str) = ("#DDE2E7", "#343B43");
/// What lies behind text that crosses lines.
const PAPER: (&str, &str) = ("#FFFFFF", "#14181D");

/// The classes of a series: `rv-s0` strokes, `rv-f0` fills.
pub(super) fn stroke(series: usize) -> String {
    let dash = if (series / SERIES.len()) % 2 == 1 { " rv-dash" } else { "" };
    format!("rv-s{}{dash}", series % SERIES.len())
}

/// The fill class of a series.
pub(super) fn fill(series: usize) -> String {
    format!("rv-f{}", series % SERIES.len())
}

/// The style sheet that every chart carries. All class names begin with `rv-`, so that several charts and a
/// page around them do not meet; colours are given for each class because renderers outside
/// browsers do not know custom properties.
pub(super) fn style() -> Markup {
    let mut css = String::from(
        ".rv-chart{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px}\
         .rv-title{font-size:16px;font-weight:600}.rv-label{font-size:13px}.rv-note{font-size:11px}\
         .rv-mid{text-anchor:middle}.rv-end{text-anchor:end}\
         .rv-line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
         .rv-faint{stroke-width:1;stroke-opacity:.3}.rv-dash{stroke-dasharray:6 4}.rv-level{stroke-width:1.5;stroke-dasharray:2 4}\
         .rv-grid,.rv-axis{stroke-width:1}.rv-whisker{stroke-width:1.5;fill:none}.rv-whisker.rv-under{stroke-width:4;stroke-opacity:.55}.rv-dot{fill-opacity:.75}",
    );
    colours(&mut css, |pair| pair.0);
    css.push_str("@media (prefers-color-scheme:dark){");
    colours(&mut css, |pair| pair.1);
    css.push('}');
    PreEscaped(css)
}

fn colours(css: &mut String, of: impl Fn((&'static str, &'static str)) -> &'static str) {
    let (ink, muted, grid, paper) = (of(INK), of(MUTED), of(GRID), of(PAPER));
    // Writing to a string does not fail.
    let _ = write!(
        css,
        ".rv-ink{{fill:{ink}}}.rv-muted{{fill:{muted}}}.rv-grid{{stroke:{grid}}}.rv-axis{{stroke:{muted}}}\
         .rv-level{{stroke:{muted}}}.rv-whisker{{stroke:{ink}}}.rv-whisker.rv-under{{stroke:{paper}}}\
         .rv-halo{{stroke:{paper};stroke-width:4;paint-order:stroke;stroke-linejoin:round}}"
    );
    for (index, &pair) in SERIES.iter().enumerate() {
        let colour = of(pair);
        let _ = write!(css, ".rv-s{index}{{stroke:{colour}}}.rv-f{index}{{fill:{colour}}}");
    }
}

/// A coordinate, to a hundredth of a unit.
pub(super) fn n(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// About how wide a text is: there are no fonts to measure with, and every reader has another.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let units = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | '(' | ')' => {
            0.36
        }
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
        c if c.is_ascii_uppercase() => 0.7,
        c if c.is_ascii() => 0.58,
        c if (c as u32) < 0x1100 => 0.62,
        _ => 1.0,
    };
    text.chars().map(units).sum::<f64>() * size
}

/// A label that fits: control characters, which XML forbids, are replaced, and what is too long is cut.
pub(super) fn label(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { '\u{FFFD}' } else { c };
    if text.chars().count() <= most {
        return text.chars().map(clean).collect();
    }
    text.chars().take(most.saturating_sub(1)).map(clean).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([n(1.0), n(-0.001), n(2.346), n(10.5)], ["1", "0", "2.35", "10.5"]);
    }

    #[test]
    fn labels_are_cut_and_cleaned() {
        assert_eq!(label("a\u{0}b\n", 9), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(label("abcdef", 4), "abc…");
        assert_eq!(label("abcd", 4), "abcd");
    }
}
