//! What goes into a code-search test.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::TextError;

/// What happens to tests, benchmarks and examples in the sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestCode {
    /// They are left out: functions with [`Role::Test`](crate::Role::Test), files below folders named
    /// `tests`, `test`, `benches`, `examples` and the like, and files named like `test_x`, `x_test`,
    /// `x.test` or `tests`.
    #[default]
    LeaveOut,
    /// They are taken like everything else.
    Keep,
}

/// How a code-search test is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CodeSearchConfig {
    /// The most queries.
    pub queries: usize,
    /// The most functions.
    pub functions: usize,
    /// The most queries of one top-level folder, as a share of `queries`; 1 for no limit.
    pub per_group: f64,
    /// Functions with fewer lines are left out.
    pub min_lines: usize,
    /// Functions with fewer [`Words`](crate::Words) are left out.
    pub min_words: usize,
    /// Functions with more bytes are left out.
    pub max_bytes: usize,
    /// The fewest words (runs without spaces that hold a letter or digit) of a query.
    pub min_query_words: usize,
    /// The most words of a query.
    pub max_query_words: usize,
    /// What happens to tests.
    pub tests: TestCode,
}

impl Default for CodeSearchConfig {
    fn default() -> Self {
        Self {
            queries: 2_000,
            functions: 20_000,
            per_group: 0.1,
            min_lines: 3,
            min_words: 8,
            max_bytes: 8 << 10,
            min_query_words: 4,
            max_query_words: 40,
            tests: TestCode::LeaveOut,
        }
    }
}

impl CodeSearchConfig {
    /// Checks that the values fit each other.
    ///
    /// # Errors
    /// [`TextError::Setting`] for the first that cannot work.
    pub fn check(&self) -> Result<(), TextError> {
        let wrong = |what, detail: String| Err(TextError::setting(what, detail));
        if self.queries == 0 {
            return wrong("number of queries", "0 queries test nothing; give 1 or more".to_owned());
        }
        if self.functions < self.queries {
            let detail = format!(
                "{} functions cannot answer {} queries, which need one each; give at least as many",
                self.functions, self.queries
            );
            return wrong("number of functions", detail);
        }
        if !(self.per_group > 0.0 && self.per_group <= 1.0) {
            let detail = format!("{} is not above 0 and at most 1", self.per_group);
            return wrong("share of queries per group", detail);
        }
        if self.max_bytes == 0 {
            return wrong("size of functions", "0 bytes leave no function; give more".to_owned());
        }
        if self.min_query_words == 0 || self.min_query_words > self.max_query_words {
            let detail = format!(
                "from {} to {} words is no range from 1 up",
                self.min_query_words, self.max_query_words
            );
            return wrong("words of a query", detail);
        }
        Ok(())
    }

    /// The most queries of one group, at least 1.
    pub(super) fn group_queries(&self) -> usize {
        ((self.queries as f64 * self.per_group).ceil() as usize).max(1)
    }

    pub(super) fn leaves_out_path(&self, path: &str) -> bool {
        self.tests == TestCode::LeaveOut && is_test_path(path)
    }
}

fn is_test_path(path: &str) -> bool {
    const FOLDERS: [&str; 9] =
        ["tests", "test", "__tests__", "testing", "testdata", "benches", "benchmarks", "examples", "example"];
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let is_test_stem = matches!(stem, "tests" | "test")
        || stem.starts_with("test_")
        || ["_test", "_tests", ".test", ".spec"].iter().any(|end| stem.ends_with(end));
    is_test_stem || folders.split('/').any(|folder| FOLDERS.contains(&folder) || folder.ends_with("_tests"))
}

/// Why something did not come into a code-search test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LeftOut {
    /// A file of tests or examples.
    TestFile,
    /// A test function.
    Test,
    /// A function below the smallest size.
    Short,
    /// A function above the largest size.
    Long,
    /// A function whose text, white space aside, was there already.
    SameCode,
    /// A function drawn out because there were too many.
    SurplusFunction,
    /// A doc comment without a sentence, or none.
    NoSentence,
    /// A sentence with too few words.
    ShortQuery,
    /// A sentence with too many words.
    LongQuery,
    /// A sentence that is not mostly ASCII letters.
    OtherScript,
    /// A sentence that does not say what the function does ("See ...", "Safety: ...").
    Boilerplate,
    /// A sentence that several functions have.
    Ambiguous,
    /// A query beyond its top-level folder's share.
    GroupQuery,
    /// A query drawn out because there were too many.
    SurplusQuery,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TestFile => "test files",
            Self::Test => "test functions",
            Self::Short => "short functions",
            Self::Long => "long functions",
            Self::SameCode => "functions there already",
            Self::SurplusFunction => "functions too many",
            Self::NoSentence => "functions without a sentence about them",
            Self::ShortQuery => "short queries",
            Self::LongQuery => "long queries",
            Self::OtherScript => "queries not in Latin script",
            Self::Boilerplate => "boilerplate queries",
            Self::Ambiguous => "ambiguous queries",
            Self::GroupQuery => "queries beyond their folder's share",
            Self::SurplusQuery => "queries too many",
        })
    }
}
