//! Relevance judgements: which documents answer which query, and how well.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use revela_base::text_lines::TextLines;

use crate::error::EvalError;

/// How well a document answers a query: 0 and below is not relevant, 1 and above is relevant, and the
/// number is its gain in nDCG.
pub type Grade = i32;

/// The judgements of one split: for each query, the judged documents with their grades.
///
/// Queries and documents are kept in byte order of their ids, so everything derived from them is
/// the same whatever the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Qrels(BTreeMap<String, BTreeMap<String, Grade>>);

impl Qrels {
    /// No judgements.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a judgement. Saying the same again changes nothing.
    ///
    /// # Errors
    /// [`EvalError::ContradictoryGrades`] when the document has another grade already.
    pub fn insert(&mut self, query: &str, document: &str, grade: Grade) -> Result<(), EvalError> {
        let judged = match self.0.get_mut(query) {
            Some(judged) => judged,
            None => self.0.entry(query.to_owned()).or_default(),
        };
        let first = *judged.entry(document.to_owned()).or_insert(grade);
        if first == grade {
            return Ok(());
        }
        let (query, document) = (query.to_owned(), document.to_owned());
        Err(EvalError::ContradictoryGrades { query, document, first, second: grade })
    }

    /// Reads a file: `query-id corpus-id score` (BEIR, with or without its header line) or
    /// `query 0 document grade` (TREC). Fields are split at tabs where the line has any, else at
    /// white space.
    ///
    /// # Errors
    /// A malformed line, contradictory grades, or a file without judgements.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let qrels = Self::parse(&mut TextLines::open(path)?)?;
        if qrels.is_empty() {
            return Err(EvalError::NoJudgements { origin: path.display().to_string() });
        }
        Ok(qrels)
    }

    fn parse(lines: &mut TextLines) -> Result<Self, EvalError> {
        let mut qrels = Self::new();
        let mut may_be_header = true;
        while let Some(line) = lines.next_line()? {
            if !(may_be_header && is_header(line)) {
                let added = parse_line(line).and_then(|(query, document, grade)| {
                    qrels.insert(query, document, grade).map_err(|e| e.to_string())
                });
                added.map_err(|detail| lines.error(detail))?;
            }
            may_be_header = false;
        }
        Ok(qrels)
    }

    /// Writes the judgements as BEIR does: a header, then `query-id`, `corpus-id` and `score` between tabs.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "query-id\tcorpus-id\tscore")?;
        for (query, judged) in &self.0 {
            for (document, grade) in judged {
                writeln!(out, "{query}\t{document}\t{grade}")?;
            }
        }
        Ok(())
    }

    /// The judged documents of a query.
    pub fn get(&self, query: &str) -> Option<&BTreeMap<String, Grade>> {
        self.0.get(query)
    }

    /// Every query with its judged documents, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Grade>)> {
        self.0.iter().map(|(query, judged)| (query.as_str(), judged))
    }

    /// Number of queries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no judgements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of judgements of all queries.
    pub fn judgements(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Queries that no document answers: every judgement is 0 or below. They score 0 in every metric.
    pub fn queries_without_relevant(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(_, judged)| judged.values().all(|&g| g <= 0)).map(|(query, _)| query)
    }

    /// The ids of all documents that are judged for any query.
    pub fn judged_documents(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    /// Keeps the queries for which `keep` is true.
    pub(crate) fn retain_queries(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|query, _| keep(query));
    }
}

/// Column names that end the header lines found in published qrels.
const HEADER_ENDS: [&str; 6] = ["score", "relevance", "rel", "label", "grade", "relevance-score"];

fn fields(line: &str) -> Vec<&str> {
    if line.contains('\t') {
        line.split('\t').map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    }
}

fn is_header(line: &str) -> bool {
    fields(line).last().is_some_and(|last| HEADER_ENDS.contains(&last.to_ascii_lowercase().as_str()))
}

fn parse_line(line: &str) -> Result<(&str, &str, Grade), String> {
    let (query, document, grade) = match fields(line)[..] {
        [query, document, grade] | [query, _, document, grade] => (query, document, grade),
        ref other => {
            return Err(format!(
                "a judgement has 3 columns (query-id, corpus-id, score) or TREC's 4, not {}",
                other.len()
            ));
        }
    };
    if query.is_empty() || document.is_empty() {
        return Err("the query id or the document id is empty".to_owned());
    }
    Ok((query, document, parse_grade(grade)?))
}

/// A whole number; "2.0" counts as one.
fn parse_grade(text: &str) -> Result<Grade, String> {
    if let Ok(grade) = text.parse() {
        return Ok(grade);
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() <= f64::from(Grade::MAX) => Ok(number as Grade),
        _ => Err(format!("the grade {text:?} is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<Qrels, EvalError> {
        Qrels::parse(&mut TextLines::new(Path::new("test.tsv"), text.as_bytes()))
    }

    fn error(text: &'static str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn beir_with_and_without_header_and_trec_say_the_same() {
        let expected = parse("query-id\tcorpus-id\tscore\nq1\td 1\t2\nq1\td2\t0\nq2\td1\t-1\n").unwrap();
        assert_eq!(expected.judgements(), 3);
        assert_eq!(expected.get("q1").unwrap().get("d 1"), Some(&2));
        assert_eq!(parse("q1\td2\t0\r\nq1\td 1\t2.0\r\n\nq2\td1\t-1").unwrap(), expected);
        let trec = parse("q1 0 d1 2\nq1 0 d2 0\n").unwrap();
        assert_eq!(trec, parse("q1\td1\t2\nq1\td2\t0\n").unwrap());
    }

    #[test]
    fn malformed_lines_name_file_and_line() {
        assert!(error("q\td\t1\nq\td\n").starts_with("test.tsv:2: a judgement has 3 columns"));
        assert!(error("q\td\t1\nq\te\tgood\n").contains("test.tsv:2: the grade \"good\" is not a whole"));
        assert!(error("q\td\t0.5\n").contains("whole number"));
        assert!(error("q\t\t1\n").contains("is empty"));
        assert!(error("q\td\t99999999999\n").contains("whole number"));
        assert!(error("q\td\tNaN\n").contains("whole number"));
    }

    #[test]
    fn a_word_for_a_grade_is_a_header_in_the_first_line_only() {
        assert!(parse("query-id\tcorpus-id\tscore\n").unwrap().is_empty());
        assert!(error("q\td\tgood\n").contains(":1:"));
        assert!(error("q\td\t1\nquery-id\tcorpus-id\tscore\n").contains(":2:"));
    }

    #[test]
    fn repeating_a_judgement_is_harmless_and_contradicting_it_is_not() {
        assert_eq!(parse("q\td\t1\nq\td\t1\n").unwrap().judgements(), 1);
        assert!(
            error("q\td\t1\nq\td\t2\n")
                .contains("test.tsv:2: query \"q\" judges document \"d\" as 1 and as 2")
        );
    }

    #[test]
    fn an_empty_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.tsv");
        for text in ["", "query-id\tcorpus-id\tscore\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Qrels::read(&path), Err(EvalError::NoJudgements { .. })));
        }
    }

    #[test]
    fn written_judgements_read_back() {
        let qrels = parse("q1\td1\t2\nq0\td3\t-1\nq1\td0\t0\n").unwrap();
        let mut bytes = Vec::new();
        qrels.write(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "query-id\tcorpus-id\tscore\nq0\td3\t-1\nq1\td0\t0\nq1\td1\t2\n");
        assert_eq!(qrels.queries_without_relevant().collect::<Vec<_>>(), ["q0"]);
    }
}
