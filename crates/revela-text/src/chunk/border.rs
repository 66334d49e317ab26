//! Where one chunk of code ends and the next begins: between lines, behind closing brackets.

use std::ops::Range;

use crate::sizer::Measured;

/// Moves the borders between neighbouring ranges to better places near them where at most `size` units stay on
/// either side: to the beginning of the line that a border is in, else to its end; then behind lines that only
/// close what the range before has opened.
pub(super) fn mend(measured: &Measured<'_>, mut ranges: Vec<Range<usize>>, size: usize) -> Vec<Range<usize>> {
    for at in 1..ranges.len() {
        let Some([before, after]) = ranges.get_mut(at - 1..=at) else { continue };
        for moved in [to_line, behind_brackets] {
            let fits = |border: &usize| {
                before.start < *border
                    && measured.size(&(before.start..*border)) <= size
                    && measured.size(&(*border..after.end)) <= size
            };
            if let Some(border) = moved(measured.text, before, after).into_iter().find(fits) {
                before.end = border;
                after.start = border;
            }
        }
    }
    ranges.retain(|range| !range.is_empty());
    ranges
}

/// The beginning and the end of the line that is cut in two, if one is.
fn to_line(text: &str, before: &Range<usize>, after: &Range<usize>) -> Vec<usize> {
    let (left, right) = (piece(text, before), piece(text, after));
    let head = left.rfind('\n').map_or(0, |at| at + 1);
    let is_cut = !left.get(head..).unwrap_or_default().trim().is_empty()
        && right.starts_with(|c: char| c != '\n')
        && before.end == after.start;
    if !is_cut {
        return Vec::new();
    }
    let tail = right.find('\n').map_or(right.len(), |at| at + 1);
    // A line that is all there is of a range stays where it is.
    [(head > 0).then_some(before.start + head), Some(after.start + tail)].into_iter().flatten().collect()
}

/// The end of the lines at the beginning of the second range that hold closing brackets alone.
fn behind_brackets(text: &str, _: &Range<usize>, after: &Range<usize>) -> Vec<usize> {
    let is_closing =
        |line: &&str| line.trim().chars().all(|c| matches!(c, ')' | ']' | '}' | '>' | ';' | ','));
    let lines = piece(text, after).split_inclusive('\n').take_while(is_closing);
    let length: usize = lines.map(str::len).sum();
    let closes = piece(text, after).get(..length).is_some_and(|lines| !lines.trim().is_empty());
    closes.then_some(after.start + length).into_iter().collect()
}

fn piece<'t>(text: &'t str, range: &Range<usize>) -> &'t str {
    text.get(range.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizer::Words;

    fn mended(text: &str, border: &str, size: usize) -> Vec<String> {
        let at = text.find(border).unwrap();
        let text = text.replacen(border, "", 1);
        let measured = Measured::new(&text, &Words);
        mend(&measured, vec![0..at, at..text.len()], size).into_iter().map(|r| text[r].to_owned()).collect()
    }

    #[test]
    fn borders_move_to_lines_and_behind_brackets() {
        let rows: [(&str, &[&str]); 7] = [
            ("a b\nc d |e f\ng\n", &["a b\n", "c d e f\ng\n"]),
            ("a b c d |e\nf g h i j k\n", &["a b c d e\n", "f g h i j k\n"]),
            ("a b\n|c d\n", &["a b\n", "c d\n"]),
            ("a {\n b\n|  }\n}\nc d\n", &["a {\n b\n  }\n}\n", "c d\n"]),
            ("a {\n b|\n}\n", &["a {\n b\n}\n"]),
            ("a b c d e f|g h i j k l", &["a b c d e f", "g h i j k l"]),
            ("a b c d e f |g\nh i j k l\n", &["a b c d e f g\n", "h i j k l\n"]),
        ];
        for (text, expected) in rows {
            assert_eq!(mended(text, "|", 7), expected, "{text}");
        }
    }
}
