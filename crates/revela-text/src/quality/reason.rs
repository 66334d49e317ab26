//! Why a text is not worth learning from, and how often that was so.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a document or a chunk is left out. Of several, the first that was looked for counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// A document in a folder of other people's code: `node_modules`, `vendor`, `third_party` and the like.
    Vendored,
    /// A document that a package manager wrote: `package-lock.json`, `*.lock`, `go.sum`.
    LockFile,
    /// A log, by its name or because most of its lines begin with a time or a level.
    Log,
    /// A document that says near its beginning that a machine wrote it, or looks so: it can be compressed to
    /// less than a tenth, or nearly all its lines are alike but for names and numbers.
    MachineWritten,
    /// Source code without spaces in lines of hundreds of characters.
    Minified,
    /// A licence: a file of one, the comment at the head of a source file, a chunk.
    Licence,
    /// A chunk of imports or links alone.
    Boilerplate,
    /// A chunk of numbers, hashes, encoded bytes or marks.
    DataLike,
    /// A chunk whose lines or words are the same over and over.
    Repetitive,
    /// A chunk of very few words.
    Fragment,
    /// A chunk nearly all of which was in a chunk before.
    NearCopy,
    /// A chunk beyond its document's share.
    DocumentShare,
    /// A chunk beyond the share of its package, which is the first folder of its document's path.
    PackageShare,
}

impl Reason {
    /// Every reason, with its name in settings and what it is called in reports.
    const TABLE: [(Self, &str, &str); 13] = [
        (Self::Vendored, "vendored", "other people's code (vendored)"),
        (Self::LockFile, "lock-file", "lock files"),
        (Self::Log, "log", "logs"),
        (Self::MachineWritten, "machine-written", "written by machines"),
        (Self::Minified, "minified", "minified code"),
        (Self::Licence, "licence", "licences"),
        (Self::Boilerplate, "boilerplate", "imports and links alone"),
        (Self::DataLike, "data-like", "numbers, hashes and encoded data"),
        (Self::Repetitive, "repetitive", "the same over and over"),
        (Self::Fragment, "fragment", "too few words"),
        (Self::NearCopy, "near-copy", "near-copies"),
        (Self::DocumentShare, "document-share", "beyond their document's share"),
        (Self::PackageShare, "package-share", "beyond their package's share"),
    ];

    /// Every reason, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|(reason, ..)| *reason)
    }

    /// Its name in settings and files.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What it leaves out, for people.
    pub fn description(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        let found = Self::TABLE.iter().find(|(reason, ..)| *reason == self);
        found.copied().unwrap_or((self, "", ""))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|reason| reason.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("unknown reason {text:?}; known are {}", names.join(", "))
        })
    }
}

/// How much of something there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Whole documents.
    #[serde(default)]
    pub documents: u64,
    /// Chunks of other documents.
    #[serde(default)]
    pub chunks: u64,
    /// Bytes of both.
    #[serde(default)]
    pub bytes: u64,
}

/// What was looked at, what was left out, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Documents that were looked at, and chunks that were kept, with their bytes.
    pub kept: Amount,
    /// What was left out by reason.
    pub left_out: BTreeMap<Reason, Amount>,
}

impl QualityReport {
    pub(super) fn document(&mut self, reason: Reason, bytes: usize) {
        let amount = self.left_out.entry(reason).or_default();
        amount.documents += 1;
        amount.bytes += bytes as u64;
    }

    pub(super) fn chunk(&mut self, reason: Reason, bytes: usize) {
        let amount = self.left_out.entry(reason).or_default();
        amount.chunks += 1;
        amount.bytes += bytes as u64;
    }

    /// The report as lines for people, the reason that left out most bytes first; empty when nothing was left
    /// out.
    pub fn lines(&self) -> Vec<String> {
        let mut rows: Vec<_> = self.left_out.iter().collect();
        rows.sort_by_key(|(reason, amount)| (std::cmp::Reverse(amount.bytes), **reason));
        let share = |bytes: u64| 100.0 * bytes as f64 / (self.bytes().max(1)) as f64;
        let line = |(reason, amount): (&Reason, &Amount)| {
            let counts = [(amount.documents, "documents"), (amount.chunks, "chunks")];
            let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
            let counts: Vec<_> = counts.collect();
            format!(
                "{:15} {}: {}, {:.1} % of the text",
                reason.name(),
                reason.description(),
                counts.join(" and "),
                share(amount.bytes)
            )
        };
        rows.into_iter().map(line).collect()
    }

    /// Bytes of all that was looked at.
    fn bytes(&self) -> u64 {
        self.kept.bytes + self.left_out.values().map(|amount| amount.bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_name() {
        let names: std::collections::BTreeSet<_> = Reason::all().map(Reason::name).collect();
        assert_eq!(names.len(), Reason::TABLE.len());
        assert!(Reason::all().is_sorted());
        for reason in Reason::all() {
            assert_eq!(reason.name().parse::<Reason>().unwrap(), reason);
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("{:?}", reason.name()));
        }
        assert!("bad".parse::<Reason>().unwrap_err().contains("near-copy"));
    }

    #[test]
    fn the_report_names_the_largest_first() {
        let mut report = QualityReport::default();
        assert!(report.lines().is_empty());
        report.kept.bytes = 50;
        report.chunk(Reason::NearCopy, 10);
        report.document(Reason::Log, 15);
        report.chunk(Reason::Log, 25);
        assert_eq!(
            report.lines(),
            [
                "log             logs: 1 documents and 1 chunks, 40.0 % of the text",
                "near-copy       near-copies: 1 chunks, 10.0 % of the text"
            ]
        );
    }
}
