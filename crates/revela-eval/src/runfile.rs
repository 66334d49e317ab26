//! Runs as files: TREC's six columns, `query Q0 document rank score tag`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use revela_base::file::{FileError, write_atomic};
use revela_base::text_lines::TextLines;

use crate::error::EvalError;
use crate::run::{Hit, Run};

const FORMAT: &str = "a TREC run file";

impl Run {
    /// Reads a run file. Lines may come in any order; the rank column is not used, as in trec_eval.
    ///
    /// # Errors
    /// A line that does not have six columns or whose score is not a finite number, or a document that
    /// occurs twice for a query.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        Self::parse(&mut TextLines::open(path)?)
    }

    fn parse(lines: &mut TextLines) -> Result<Self, EvalError> {
        let mut rankings: BTreeMap<String, Vec<Hit>> = BTreeMap::new();
        while let Some(line) = lines.next_line()? {
            let parsed = parse_line(line).map(|(query, hit)| match rankings.get_mut(query) {
                Some(hits) => hits.push(hit),
                None => drop(rankings.insert(query.to_owned(), vec![hit])),
            });
            parsed.map_err(|detail| lines.error(detail))?;
        }
        let mut run = Self::new();
        for (query, hits) in rankings {
            run.insert(&query, hits).map_err(|e| FileError::Format {
                path: lines.path().to_owned(),
                expected: "TREC run".to_owned(),
                detail: e.to_string(),
            })?;
        }
        Ok(run)
    }

    /// Whether runs over these queries and documents can be written, which is known before they are made.
    ///
    /// # Errors
    /// An id that is empty or holds white space, which separates the columns.
    pub fn check_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Result<(), EvalError> {
        ids.into_iter().try_for_each(writable)
    }

    /// Writes a run file under its name when it is whole; `tag` names the system in the last column.
    ///
    /// Reading it gives the same run: scores are written with as many digits as they need.
    ///
    /// # Errors
    /// An id or a tag that is empty or holds white space, which separates the columns.
    pub fn write(&self, path: &Path, tag: &str) -> Result<(), EvalError> {
        writable(tag)?;
        for (query, hits) in self.iter() {
            writable(query)?;
            hits.iter().try_for_each(|hit| writable(&hit.document))?;
        }
        Ok(write_atomic(path, |out| self.write_lines(out, tag))?)
    }

    fn write_lines(&self, out: &mut dyn Write, tag: &str) -> io::Result<()> {
        for (query, hits) in self.iter() {
            for (index, Hit { document, score }) in hits.iter().enumerate() {
                writeln!(out, "{query} Q0 {document} {} {score} {tag}", index + 1)?;
            }
        }
        Ok(())
    }
}

fn writable(id: &str) -> Result<(), EvalError> {
    let detail = match id {
        "" => "is empty",
        id if id.contains(char::is_whitespace) => "holds white space",
        _ => return Ok(()),
    };
    Err(EvalError::UnwritableId { id: id.to_owned(), format: FORMAT, detail })
}

fn parse_line(line: &str) -> Result<(&str, Hit), String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [query, _, document, _, score, _] = columns[..] else {
        return Err(format!(
            "a run has 6 columns (query Q0 document rank score tag), this line has {}",
            columns.len()
        ));
    };
    // Through double precision, as trec_eval reads it.
    match score.parse::<f64>().map(|score| score as f32) {
        Ok(score) if score.is_finite() => Ok((query, Hit::new(document, score))),
        _ => Err(format!("the score {score:?} is not a finite number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &'static str) -> Result<Run, EvalError> {
        Run::parse(&mut TextLines::new(Path::new("run.txt"), text.as_bytes()))
    }

    #[test]
    fn the_rank_column_and_the_order_of_lines_do_not_matter() {
        let run = parse("q2 Q0 a 1 0.5 t\nq1\tQ0\tb\t1\t1e-3\tt\nq2 Q0 b 2 2 t\n").unwrap();
        assert_eq!(run.get("q2").unwrap(), [Hit::new("b", 2.0), Hit::new("a", 0.5)]);
        assert_eq!(run.get("q1").unwrap(), [Hit::new("b", 0.001)]);
    }

    #[test]
    fn bad_lines_name_file_and_line() {
        for (text, part) in [
            ("q Q0 d 1 0.5 t\nq Q0 d2 0.5 t\n", "run.txt:2: a run has 6 columns"),
            ("q Q0 d 1 NaN t\n", "run.txt:1: the score \"NaN\""),
            ("q Q0 d 1 inf t\n", "not a finite number"),
            ("q Q0 d 1 1e39 t\n", "not a finite number"),
            ("q Q0 d 1 high t\n", "not a finite number"),
            ("q Q0 d 1 0.5 t\nq Q0 d 2 0.4 t\n", "query \"q\" ranks document \"d\" twice"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn white_space_in_ids_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.txt");
        let mut run = Run::new();
        run.insert("q", vec![Hit::new("a b", 1.0)]).unwrap();
        assert!(run.write(&path, "tag").unwrap_err().to_string().contains("\"a b\""));
        assert!(Run::new().write(&path, "two words").is_err());
        assert!(Run::new().write(&path, "").is_err());
        assert!(!path.exists());
    }

    proptest! {
        #[test]
        fn every_run_survives_its_file(scores in proptest::collection::vec(proptest::num::f32::NORMAL, 0..30)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("run.txt");
            let mut run = Run::new();
            for (i, pair) in scores.chunks(3).enumerate() {
                let hits = pair.iter().enumerate().map(|(d, &s)| Hit::new(format!("d{d}"), s)).collect();
                run.insert(&format!("q{i}"), hits).unwrap();
            }
            run.write(&path, "tag").unwrap();
            prop_assert_eq!(Run::read(&path).unwrap(), run);
        }
    }
}
