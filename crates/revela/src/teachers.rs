//! The teachers of `revela teach`: a language model, BM25, an encoder.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail};
use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{Embedder, TextKind};
use revela_base::progress::Progress as _;
use revela_index::bm25::{self, Analyser, TextIndex, TextIndexWriter};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use revela_text::{ChunkGroup, GroupFile};
use revela_train::asked::Asked;
use revela_train::choices::QueryText;
use revela_train::targets::{Scores, Signal};
use revela_train::teacher::Teacher;

use crate::Context;
use crate::commands::teach::Teach;

/// Whoever was asked for.
pub(crate) struct Teachers {
    lm: Option<Teacher>,
    encoder: Option<Encoder>,
    words: Option<Words>,
}

/// BM25 over the passages of all groups.
struct Words {
    index: TextIndex,
    /// Where each chunk stands in the index.
    rows: HashMap<String, u32>,
    fingerprint: Checksum,
}

impl Teachers {
    pub(crate) fn open(args: &Teach, file: &GroupFile, context: &Context) -> Result<Self> {
        if args.lm.is_none() && args.encoder.is_none() && args.bm25.is_none() {
            bail!("nobody teaches: name --lm, --encoder or --bm25");
        }
        let lm = args.lm.as_deref().map(|dir| Teacher::open(dir, args.lm_max_length, args.matmul));
        let encoder = args.encoder.as_deref().map(|dir| -> Result<Encoder> {
            let encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
            Ok(encoder.with_matmul(args.matmul))
        });
        let words = args.bm25.map(|analyser| Words::build(file, args.query_text, analyser, context));
        Ok(Self { lm: lm.transpose()?, encoder: encoder.transpose()?, words: words.transpose()? })
    }

    /// What decides what each says.
    pub(crate) fn fingerprints(&self) -> BTreeMap<Signal, Checksum> {
        let lm = self.lm.as_ref().map(|teacher| (Signal::Likelihood, teacher.fingerprint()));
        let words = self.words.as_ref().map(|words| (Signal::Bm25, words.fingerprint));
        let encoder = self.encoder.as_ref().map(|encoder| (Signal::Encoder, encoder.fingerprint()));
        [lm, words, encoder].into_iter().flatten().collect()
    }

    /// What each says of a group.
    pub(crate) fn scores(&self, group: &ChunkGroup, query: QueryText) -> Result<Vec<(Signal, Scores)>> {
        let asked = Asked::of(std::slice::from_ref(group), query);
        let mut said = Vec::new();
        if let Some(lm) = &self.lm {
            said.push((Signal::Likelihood, lm.scores(group, query)?));
        }
        if let Some(words) = &self.words {
            said.push((Signal::Bm25, words.scores(group, &asked)?));
        }
        if let Some(encoder) = &self.encoder {
            said.push((Signal::Encoder, similarities(encoder, &asked)?));
        }
        for (_, scores) in said.iter_mut().filter(|(signal, _)| *signal != Signal::Likelihood) {
            asked.hide_own(query, scores);
        }
        Ok(said)
    }
}

fn similarities(encoder: &Encoder, asked: &Asked) -> Result<Scores> {
    let embed = |kind, texts: &[String]| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        encoder.embed(kind, &texts)
    };
    let passages = embed(TextKind::Passage, &asked.passages)?;
    let queries = embed(TextKind::Query, &asked.queries)?;
    let width = encoder.dimension();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let row = |query: &[f32]| passages.chunks_exact(width).map(|passage| dot(query, passage)).collect();
    Ok(queries.chunks_exact(width).map(row).collect())
}

impl Words {
    fn build(file: &GroupFile, query: QueryText, analyser: Analyser, context: &Context) -> Result<Self> {
        let mut writer = TextIndexWriter::in_memory(analyser)?;
        let mut rows = HashMap::new();
        let mut fingerprint = Fingerprint::new().part("analyser", format!("{analyser:?}"));
        fingerprint = fingerprint.part("groups", file.checksum().to_string());
        let task = context.progress.task("index of the chunks", "groups", Some(file.len() as u64));
        for at in 0..file.len() {
            context.interrupt.check()?;
            let group = file.get(at)?;
            let asked = Asked::of(std::slice::from_ref(&group), query);
            for (chunk, passage) in group.chunks.iter().zip(&asked.passages) {
                let row = rows.len() as u32;
                if let std::collections::hash_map::Entry::Vacant(entry) = rows.entry(chunk.id.to_string()) {
                    entry.insert(row);
                    writer.add("", "", passage)?;
                }
            }
            task.advance(1);
        }
        Ok(Self { index: writer.finish()?, rows, fingerprint: fingerprint.finish() })
    }

    /// BM25 of each query and each passage of a group, with the statistics of all groups.
    fn scores(&self, group: &ChunkGroup, asked: &Asked) -> Result<Scores> {
        let rows: Vec<Option<u32>> =
            group.chunks.iter().map(|chunk| self.rows.get(&chunk.id.to_string()).copied()).collect();
        let places: HashMap<u32, usize> =
            rows.iter().enumerate().filter_map(|(place, row)| Some(((*row)?, place))).collect();
        let score = |query: &String| -> Result<Vec<f32>> {
            let mut scores = vec![0.0; rows.len()];
            let keep = |(_, row): (u32, u32)| places.contains_key(&row);
            let query = self.index.query(query);
            for hit in bm25::search(&[&self.index], &query, rows.len(), &keep)? {
                if let Some(place) = places.get(&hit.id.1) {
                    scores[*place] = hit.score;
                }
            }
            Ok(scores)
        };
        asked.queries.iter().map(score).collect()
    }
}
