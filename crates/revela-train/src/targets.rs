//! What teachers say of training groups, kept in a file: computed once, used for many epochs.
//!
//! Framed JSON lines ([`revela_base::lines`]): a record per group, under the fingerprint of
//! what is asked of it, so that it fits these questions and passages wherever they stand, and no others.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::lines::{LinesReader, LinesWriter};
use revela_text::ChunkGroup;
use serde::{Deserialize, Serialize};

use crate::asked::Asked;
use crate::choices::QueryText;
use crate::error::{Result, TrainError};

const FORMAT: &str = "revela.targets";
const VERSION: u32 = 1;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// A frozen language model: nats per token of the query, given the passage.
    Likelihood,
    /// BM25 of the query and the passage among all passages.
    Bm25,
    /// An encoder: the similarity of its vectors.
    Encoder,
}

impl Signal {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Likelihood => "likelihood",
            Self::Bm25 => "bm25",
            Self::Encoder => "encoder",
        }
    }
}

/// Scores of a group: a row per query, a column per passage, NaN where there is none.
pub type Scores = Vec<Vec<f32>>;

/// What a file of targets says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetsHeader {
    /// Which texts ask.
    pub query_text: QueryText,
    /// Of everything else that decides them, by signal: models, lengths, the index.
    pub fingerprints: BTreeMap<Signal, Checksum>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    group: Checksum,
    /// Null where a chunk would be asked for itself.
    signals: BTreeMap<Signal, Vec<Vec<Option<f32>>>>,
}

/// The targets of many groups.
#[derive(Debug, Clone)]
pub struct Targets {
    /// What they are.
    pub header: TargetsHeader,
    groups: HashMap<Checksum, BTreeMap<Signal, Scores>>,
}

/// The fingerprint of what is asked of a group: of other questions or passages nothing was said.
fn key(group: &ChunkGroup, query: QueryText) -> Checksum {
    let asked = Asked::of(std::slice::from_ref(group), query);
    let start = group
        .chunks
        .iter()
        .fold(Fingerprint::new(), |fingerprint, chunk| fingerprint.part("id", chunk.id.to_string()));
    let with = asked.readers().iter().zip(&asked.own).fold(start, |fingerprint, (query, own)| {
        fingerprint.part("query", query).part("own", own.to_string())
    });
    asked.passages.iter().fold(with, |fingerprint, passage| fingerprint.part("passage", passage)).finish()
}

impl Targets {
    /// No targets yet.
    pub fn new(header: TargetsHeader) -> Self {
        Self { header, groups: HashMap::new() }
    }

    /// Reads a whole file.
    pub fn open(path: &Path) -> Result<Self> {
        let (records, header) = LinesReader::<Record>::open(path, FORMAT, VERSION..=VERSION)?;
        let mut targets = Self::new(header);
        for record in records {
            let Record { group, signals } = record?;
            let row = |row: Vec<Option<f32>>| row.into_iter().map(|s| s.unwrap_or(f32::NAN)).collect();
            let signals = signals.into_iter().map(|(s, scores)| (s, scores.into_iter().map(row).collect()));
            targets.groups.insert(group, signals.collect());
        }
        Ok(targets)
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut writer = LinesWriter::create(path, FORMAT, VERSION, &self.header)?;
        let mut all: Vec<_> = self.groups.iter().collect();
        all.sort_unstable_by_key(|(group, _)| group.to_string());
        for (group, signals) in all {
            let row = |row: &Vec<f32>| row.iter().map(|s| s.is_finite().then_some(*s)).collect();
            let signals = signals.iter().map(|(s, scores)| (*s, scores.iter().map(row).collect()));
            writer.push(&Record { group: *group, signals: signals.collect() })?;
        }
        writer.finish()?;
        Ok(())
    }

    /// What is said of a group.
    pub fn of(&self, group: &ChunkGroup) -> Option<&BTreeMap<Signal, Scores>> {
        self.groups.get(&key(group, self.header.query_text))
    }

    /// Adds what one signal says of a group.
    pub fn insert(&mut self, group: &ChunkGroup, signal: Signal, scores: Scores) {
        self.groups.entry(key(group, self.header.query_text)).or_default().insert(signal, scores);
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Checks that an objective asks by the texts that these were computed for.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when it does not.
    pub fn check(&self, query: QueryText) -> Result<()> {
        if self.header.query_text == query {
            return Ok(());
        }
        let detail = format!("they are of query_text {:?}, the stage has {query:?}", self.header.query_text);
        Err(TrainError::setting("targets", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revela_text::GroupChunk;

    fn group(text: &str) -> ChunkGroup {
        let chunk = |id: &str| GroupChunk {
            id: id.parse().unwrap(),
            title: String::new(),
            text: text.into(),
            format: None,
        };
        ChunkGroup { chunks: vec![chunk("a#0"), chunk("a#1")] }
    }

    #[test]
    fn what_is_saved_is_read_and_belongs_to_its_texts_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("targets.jsonl");
        let fingerprints = [(Signal::Likelihood, Checksum::of(b"weights"))].into();
        let header = TargetsHeader { query_text: QueryText::Whole, fingerprints };
        let mut targets = Targets::new(header.clone());
        let scores = vec![vec![f32::NAN, -1.5], vec![-0.25, f32::NAN]];
        targets.insert(&group("x"), Signal::Likelihood, scores);
        targets.save(&path).unwrap();
        let read = Targets::open(&path).unwrap();
        assert_eq!((read.len(), &read.header), (1, &header));
        let scores = &read.of(&group("x")).unwrap()[&Signal::Likelihood];
        assert!(scores[0][0].is_nan() && scores[0][1] == -1.5 && scores[1][0] == -0.25);
        assert!(read.of(&group("y")).is_none());
        assert!(read.check(QueryText::Reader).unwrap_err().to_string().contains("Whole"));
        read.check(QueryText::Whole).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(Targets::open(&path).is_err());
    }
}
