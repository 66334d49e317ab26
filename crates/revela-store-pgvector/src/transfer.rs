//! From a collection into a store, and back.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use half::f16;
use pgvector::HalfVector;
use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::{Progress, Task};
use revela_index::{Collection, CollectionBuilder, export};
use revela_search::{Entry, Passage, Store, VectorField};

use crate::address::Address;
use crate::error::PgError;
use crate::store::{MissingShards, PgStore};
use crate::write::Row;

/// Passages that are written, or read, together.
const BLOCK: usize = 1000;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Passages that were written.
    pub written: u64,
    /// Passages that were there already, equal in everything.
    pub unchanged: u64,
}

/// Brings a collection into a store, which is made where it is not there. What is there already and is equal is not
/// written again, so a push that was stopped is gone on with by pushing again. Passages of the store that the
/// collection lacks stay. Weights of terms and the index of vectors are made at the end.
///
/// # Errors
/// [`PgError::Unsupported`] for a collection without texts, [`PgError::Shard`] for a store of other vectors or
/// another analyser, [`PgError::Unreachable`], [`PgError::Interrupted`].
pub fn push(
    collection: &Collection,
    address: &Address,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Pushed, PgError> {
    let Some(texts) = collection.texts() else {
        return Err(PgError::Unsupported("take a collection that has only vectors".to_owned()));
    };
    let vectors = collection.vectors().map(|space| VectorField {
        dimension: space.dim as usize,
        metric: space.metric,
        encoder: space.encoder,
    });
    let store = PgStore::create(address, vectors, texts.analyser, collection.chunker().cloned())?;
    let mut pushed = Pushed::default();
    export::entries(collection, BLOCK, progress, interrupt, |block| {
        let row = |(entry, vector): (Entry, Option<Vec<f32>>)| Row::new(&store, entry, vector.as_deref());
        let mut rows = block.into_iter().map(row).collect::<Result<Vec<_>, PgError>>()?;
        let (all, ids) = (rows.len() as u64, rows.iter().map(Row::id).collect::<Vec<_>>());
        let there = store.digests(&ids)?;
        rows.retain(|row| there.get(row.id()).is_none_or(|digest| digest.as_str() != row.digest()));
        let written = rows.len() as u64;
        if written > 0 {
            // Weights that are a little off until the end are made once then.
            store.write(rows, f64::INFINITY)?;
        }
        pushed.written += written;
        pushed.unchanged += all - written;
        Ok::<(), PgError>(())
    })?;
    interrupt.check()?;
    store.settle()?;
    store.index_vectors()?;
    Ok(pushed)
}

/// Makes a collection of a store, in the order of shards and ids. Vectors are as the store has them, in 16 bits.
/// Returns how many passages there are.
///
/// # Errors
/// As [`PgStore::open`]; [`PgError::Unsupported`] for vectors of no known encoder; [`PgError::Collection`] when
/// there is a collection already.
pub fn pull(
    address: &Address,
    path: &Path,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<u64, PgError> {
    let store = PgStore::open(address, MissingShards::Refuse)?;
    let total = store.count().map(|count| count.passages).ok();
    let task = progress.task("pull", "passages", total);
    let pulled = match store.meta.vectors {
        None => None,
        Some(VectorField { encoder: None, .. }) => {
            let what = "make a collection of texts with vectors that no known encoder made";
            return Err(PgError::Unsupported(what.to_owned()));
        }
        Some(field) => Some(Pulled { field, rows: Mutex::default() }),
    };
    let mut builder = CollectionBuilder::new(path).analyser(store.analyser);
    if let Some(field) = &store.meta.vectors {
        builder = builder.metric(field.metric);
    }
    if let Some(chunker) = &store.meta.chunker {
        builder = builder.chunker(chunker.clone());
    }
    let reader = Reader {
        store: &store,
        vectors: pulled.as_ref(),
        task: &*task,
        shard: 0,
        after: String::new(),
        block: VecDeque::new(),
    };
    let embedder = pulled.as_ref().map(|pulled| pulled as &dyn Embedder);
    Ok(builder.build(reader, embedder, progress, interrupt)?.len())
}

/// The passages of a store, block by block.
struct Reader<'a> {
    store: &'a PgStore,
    vectors: Option<&'a Pulled>,
    task: &'a dyn Task,
    shard: usize,
    /// The last id that was read of the shard.
    after: String,
    block: VecDeque<Entry>,
}

impl Reader<'_> {
    /// Reads on; false at the end.
    fn fill(&mut self) -> Result<bool, PgError> {
        let embedding = self.vectors.map_or("NULL::halfvec", |_| "embedding");
        let sql = format!(
            "SELECT id, title, text, payload, {embedding} FROM {} WHERE id > $1 ORDER BY id LIMIT {BLOCK}",
            self.store.table
        );
        while let Some(shard) = self.store.shards.get(self.shard) {
            let rows = shard.with("read passages", |client| client.query(&sql, &[&self.after]))?;
            if rows.is_empty() {
                self.shard += 1;
                self.after.clear();
                continue;
            }
            for row in rows {
                let (id, title, text): (String, String, String) = (row.get(0), row.get(1), row.get(2));
                let payload = match row.get(3) {
                    serde_json::Value::Object(payload) => payload,
                    _ => serde_json::Map::new(),
                };
                let entry = Entry { passage: Passage { id, title, text }, payload };
                if let (Some(vectors), Some(vector)) = (self.vectors, row.get::<_, Option<HalfVector>>(4)) {
                    vectors.keep(&entry.passage, &vector);
                }
                self.after.clone_from(&entry.passage.id);
                self.block.push_back(entry);
            }
            return Ok(true);
        }
        Ok(false)
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Entry, PgError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.block.is_empty() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        self.task.advance(1);
        self.block.pop_front().map(Ok)
    }
}

/// Stands for the encoder that made the vectors: it gives each text the vector that was read with it.
struct Pulled {
    field: VectorField,
    /// With how often each text is still to come.
    rows: Mutex<HashMap<String, (usize, Vec<f32>)>>,
}

impl Pulled {
    fn keep(&self, passage: &Passage, vector: &HalfVector) {
        let vector: Vec<f32> = vector.as_slice().iter().copied().map(f16::to_f32).collect();
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.entry(passage.full_text().into_owned()).or_insert((0, vector)).0 += 1;
    }
}

impl Embedder for Pulled {
    fn dimension(&self) -> usize {
        self.field.dimension
    }

    fn fingerprint(&self) -> Checksum {
        // A store without one was refused.
        self.field.encoder.unwrap_or_else(|| Checksum::of(b""))
    }

    fn metric(&self) -> Metric {
        self.field.metric
    }

    fn embed(&self, _kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut data = Vec::with_capacity(texts.len() * self.field.dimension);
        for text in texts {
            let lacking = || EmbedError("a text came without its vector".into());
            let (left, row) = rows.get_mut(*text).ok_or_else(lacking)?;
            data.extend_from_slice(row);
            *left -= 1;
            if *left == 0 {
                rows.remove(*text);
            }
        }
        Ok(data)
    }
}
