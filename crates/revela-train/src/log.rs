//! The log of a run: one JSON record a line, for people, plots and reports.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use revela_base::file::FileError;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The file's name in a run's folder.
pub const FILE: &str = "log.jsonl";
const FORMAT: &str = "revela.log";

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "record")]
pub enum Record {
    /// The first line.
    Header {
        /// `revela.log`.
        format: String,
        /// 1.
        version: u32,
    },
    /// An optimiser step.
    Step(StepRecord),
    /// A held-out evaluation.
    Evaluation(EvaluationRecord),
}

/// What a step logs. Numbers that are not finite are written as null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The stage's name.
    pub stage: String,
    /// Step of the stage, counted from 1.
    pub step: u64,
    /// Part of the stage that is done, 0 to 1.
    pub part: f64,
    /// What was minimised, nats per token or example; the mean over accumulated batches.
    pub loss: Option<f64>,
    /// Learning rate of the retriever.
    pub learning_rate: f64,
    /// Tokens through the models per second, all passes counted once.
    pub tokens_per_second: f64,
    /// Seconds of training in this stage so far.
    pub seconds: f64,
    /// Largest resident memory so far, bytes.
    pub peak_memory: Option<u64>,
    /// Losses, gradient norms, temperature, entropy of the weights, ... by name.
    #[serde(flatten)]
    pub numbers: std::collections::BTreeMap<String, Option<f64>>,
}

/// What an evaluation logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// The stage's name.
    pub stage: String,
    /// After this step of the stage.
    pub step: u64,
    /// Part of the stage that was done.
    pub part: f64,
    /// The metric's name.
    pub metric: String,
    /// Its mean.
    pub score: f64,
    /// Whether this is the best retriever so far.
    pub best: bool,
}

/// Appends to a run's log.
pub struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    /// Starts a log.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = File::create(&path).map_err(FileError::io("create", &path))?;
        let mut log = Self { path, file, bytes: 0 };
        log.push(&Record::Header { format: FORMAT.into(), version: 1 })?;
        Ok(log)
    }

    /// Goes on with a log after its first `bytes` bytes; what a checkpoint did not see is cut off.
    pub fn resume(dir: &Path, bytes: u64) -> Result<Self> {
        let path = dir.join(FILE);
        let file = OpenOptions::new().append(true).open(&path).map_err(FileError::io("open", &path))?;
        let length = file.metadata().map_err(FileError::io("open", &path))?.len();
        if length < bytes {
            return Err(FileError::corrupt(&path, "it is shorter than its checkpoint says").into());
        }
        file.set_len(bytes).map_err(FileError::io("shorten", &path))?;
        Ok(Self { path, file, bytes })
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) -> Result<()> {
        let mut line =
            serde_json::to_vec(record).map_err(|e| FileError::io("encode", &self.path)(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(FileError::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Reads a whole log.
pub fn read(dir: &Path) -> Result<Vec<Record>> {
    let path = dir.join(FILE);
    let file = File::open(&path).map_err(FileError::io("open", &path))?;
    let mut records = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(FileError::io("read", &path))?;
        let record = serde_json::from_str(&line).map_err(|e| FileError::Line {
            path: path.clone(),
            line: number as u64 + 1,
            detail: e.to_string(),
        })?;
        records.push(record);
    }
    match records.first() {
        Some(Record::Header { format, version: 1 }) if format == FORMAT => Ok(records),
        _ => Err(FileError::Format {
            path,
            expected: FORMAT.into(),
            detail: "its first line says otherwise".into(),
        }
        .into()),
    }
}

/// JSON has no NaN.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The largest resident memory of this process so far, in bytes, where the system tells.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> Record {
        Record::Step(StepRecord {
            stage: "s".into(),
            step,
            part: 0.5,
            loss: finite(f64::NAN),
            learning_rate: 1e-4,
            tokens_per_second: 10.0,
            seconds: 1.0,
            peak_memory: Some(7),
            numbers: [("grad_norm_lm".to_owned(), Some(0.25))].into(),
        })
    }

    #[test]
    fn resuming_cuts_what_the_checkpoint_did_not_see() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(dir.path()).unwrap();
        log.push(&step(1)).unwrap();
        let seen = log.bytes();
        log.push(&step(2)).unwrap();
        drop(log);
        Log::resume(dir.path(), seen).unwrap().push(&step(3)).unwrap();
        let records = read(dir.path()).unwrap();
        assert_eq!(records[1..], [step(1), step(3)]);
        assert!(Log::resume(dir.path(), 1 << 20).is_err());
    }

    #[test]
    fn memory_is_known_here() {
        assert!(peak_memory().is_none_or(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn another_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{\"record\":\"header\",\"format\":\"x\",\"version\":1}\n")
            .unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("revela.log"));
        std::fs::write(dir.path().join(FILE), "rubbish\n").unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains(":1:"));
    }
}
