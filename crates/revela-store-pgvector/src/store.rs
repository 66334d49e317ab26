//! A store in PostgreSQL: its shards, and the trait that programs know.

use std::collections::HashMap;

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_index::bm25::{Analyser, snippet};
use revela_search::{
    Answers, Count, Description, Duplicates, Entry, Failure, Passage, Prepared, Snippet, Store, StoreError,
    StoreWriter, VectorField,
};

use crate::address::Address;
use crate::error::PgError;
use crate::schema::{self, LONGEST_VECTOR, Meta};
use crate::shard::{Shard, shard_of};

/// What happens when a shard does not answer a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingShards {
    /// The question is refused with an error that names it.
    #[default]
    Refuse,
    /// The others answer, and the answer names it. Changes are refused all the same.
    LeaveOut,
}

/// A store in PostgreSQL. It is no snapshot: changes of anybody are seen at once.
pub struct PgStore {
    pub(crate) shards: Vec<Shard>,
    pub(crate) table: String,
    pub(crate) analyser: Analyser,
    pub(crate) meta: Meta,
    description: Description,
    missing: MissingShards,
}

/// What each shard answered, nothing for one that was left out, and the names of those.
pub(crate) type FromShards<T> = (Vec<Option<T>>, Vec<String>);

impl PgStore {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// [`PgError::Unreachable`], and [`PgError::Shard`] where a shard holds no store, another store's shard, or
    /// where its server is too old.
    pub fn open(address: &Address, missing: MissingShards) -> Result<Self, PgError> {
        let shards: Vec<Shard> = address.shards.iter().map(Shard::new).collect();
        let (found, names) = ask_each(&shards, missing, |_, shard| read_meta(shard, &address.table))?;
        let mut meta: Option<Meta> = None;
        for ((number, shard), found) in shards.iter().enumerate().zip(found) {
            let Some(found) = found else { continue };
            let none =
                || shard.wrong(format!("there is no store {:?}; push a collection to it", address.table));
            let found = found.ok_or_else(none)?;
            check_place(shard, &found, number, shards.len())?;
            let same = Meta { shard: 0, ..found };
            if meta.as_ref().is_some_and(|meta| *meta != same) {
                return Err(
                    shard.wrong("its vectors or its analyser are others than those of the shards before it")
                );
            }
            meta = Some(same);
        }
        let nobody = || match shards.first() {
            Some(shard) => shard.wrong(format!("none of its shards answers: {}", names.join(", "))),
            None => PgError::Unsupported("a store without shards".to_owned()),
        };
        let meta = meta.ok_or_else(nobody)?;
        Self::of(address, shards, meta, missing)
    }

    /// Makes an empty store; a shard that has one already must fit. `chunker` says how documents were cut.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`PgError::Unsupported`] for vectors that no index takes.
    pub fn create(
        address: &Address,
        vectors: Option<VectorField>,
        analyser: Analyser,
        chunker: Option<serde_json::Value>,
    ) -> Result<Self, PgError> {
        if let Some(field) = vectors.filter(|field| field.dimension > LONGEST_VECTOR) {
            let most = format!(
                "an index of vectors with {} dimensions; {LONGEST_VECTOR} are the most",
                field.dimension
            );
            return Err(PgError::Unsupported(most));
        }
        let shards: Vec<Shard> = address.shards.iter().map(Shard::new).collect();
        let (count, analyser_name) = (shards.len(), analyser.name().to_owned());
        let meta = Meta { shard: 0, shards: count, vectors, analyser: analyser_name, chunker };
        ask_each(&shards, MissingShards::Refuse, |number, shard| {
            shard.with("make the extension", |client| {
                client.batch_execute("CREATE EXTENSION IF NOT EXISTS vector")
            })?;
            let own = Meta { shard: number, ..meta.clone() };
            match read_meta(shard, &address.table)? {
                None => shard.with("make the tables", |client| schema::create(client, &address.table, &own)),
                Some(found) => {
                    check_place(shard, &found, number, count)?;
                    let what = "it holds a store with other vectors, another encoder or another analyser; \
                                name another table, or drop that one";
                    (found == own).then_some(()).ok_or_else(|| shard.wrong(what))
                }
            }
        })?;
        Self::of(address, shards, meta, MissingShards::Refuse)
    }

    fn of(
        address: &Address,
        shards: Vec<Shard>,
        meta: Meta,
        missing: MissingShards,
    ) -> Result<Self, PgError> {
        let analyser = serde_json::from_value(serde_json::Value::from(meta.analyser.as_str()));
        let unknown =
            |_| PgError::Unsupported(format!("the analyser {:?}, which this program lacks", meta.analyser));
        let (analyser, description) = (analyser.map_err(unknown)?, meta.description(address.location()));
        Ok(Self { shards, table: address.table.clone(), analyser, meta, description, missing })
    }

    /// Makes the index of vectors on every shard, where it is not there.
    ///
    /// # Errors
    /// [`PgError::Unreachable`], [`PgError::Refused`].
    pub fn index_vectors(&self) -> Result<(), PgError> {
        if self.meta.vectors.is_some() {
            self.ask_all(|_, shard| {
                shard.with("make the index of vectors", |client| {
                    schema::create_vector_index(client, &self.table)
                })
            })?;
        }
        Ok(())
    }

    /// Asks every shard at once; those that do not answer are left out where that is wanted.
    pub(crate) fn ask<T: Send>(
        &self,
        work: impl Fn(usize, &Shard) -> Result<T, PgError> + Sync,
    ) -> Result<FromShards<T>, PgError> {
        ask_each(&self.shards, self.missing, work)
    }

    /// Asks every shard at once, each of which must answer.
    pub(crate) fn ask_all<T: Send>(
        &self,
        work: impl Fn(usize, &Shard) -> Result<T, PgError> + Sync,
    ) -> Result<Vec<T>, PgError> {
        Ok(ask_each(&self.shards, MissingShards::Refuse, work)?.0.into_iter().flatten().collect())
    }

    /// The passages with these ids, by id, and the shards that did not answer.
    pub(crate) fn entries(&self, ids: &[&str]) -> Result<(HashMap<String, Entry>, Vec<String>), PgError> {
        let sql = format!("SELECT id, title, text, payload FROM {} WHERE id = ANY($1)", self.table);
        let (found, missing) = self.ask(|number, shard| {
            let own: Vec<&str> =
                ids.iter().copied().filter(|id| shard_of(id, self.shards.len()) == number).collect();
            if own.is_empty() {
                return Ok(Vec::new());
            }
            shard.with("read passages", |client| client.query(&sql, &[&own]))
        })?;
        let entry = |row: postgres::Row| {
            let (id, title, text): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let payload = match row.get(3) {
                serde_json::Value::Object(payload) => payload,
                _ => serde_json::Map::new(),
            };
            (id.clone(), Entry { passage: Passage { id, title, text }, payload })
        };
        Ok((found.into_iter().flatten().flatten().map(entry).collect(), missing))
    }
}

fn read_meta(shard: &Shard, table: &str) -> Result<Option<Meta>, PgError> {
    shard.with("look for pgvector", schema::check_server)?.map_err(|detail| shard.wrong(detail))?;
    let found = shard.with("read the store's description", |client| schema::read(client, table))?;
    found.transpose().map_err(|detail| shard.wrong(detail))
}

fn check_place(shard: &Shard, found: &Meta, number: usize, count: usize) -> Result<(), PgError> {
    if (found.shard, found.shards) == (number, count) {
        return Ok(());
    }
    let (is, of) = (found.shard + 1, found.shards);
    Err(shard.wrong(format!(
        "it is shard {is} of {of}, and the address has it as {} of {count}; name all shards, in their order",
        number + 1
    )))
}

fn ask_each<T: Send>(
    shards: &[Shard],
    missing: MissingShards,
    work: impl Fn(usize, &Shard) -> Result<T, PgError> + Sync,
) -> Result<FromShards<T>, PgError> {
    let answers: Vec<Result<T, PgError>> = match shards {
        [one] => vec![work(0, one)],
        many => std::thread::scope(|scope| {
            let work = &work;
            let start = |(number, shard)| scope.spawn(move || work(number, shard));
            let threads: Vec<_> = many.iter().enumerate().map(start).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        }),
    };
    let (mut found, mut names) = (Vec::new(), Vec::new());
    for (shard, answer) in shards.iter().zip(answers) {
        match answer {
            Ok(answer) => found.push(Some(answer)),
            Err(error) if error.is_unreachable() && missing == MissingShards::LeaveOut => {
                names.push(shard.name.clone());
                found.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((found, names))
}

impl Store for PgStore {
    fn describe(&self) -> &Description {
        &self.description
    }

    fn count(&self) -> Result<Count, StoreError> {
        let table = &self.table;
        let sql = format!(
            "SELECT (SELECT passages FROM {table}_stats), \
             pg_total_relation_size('{table}') + pg_total_relation_size('{table}_terms')"
        );
        let (found, _) = self.ask(|_, shard| shard.with("count", |client| client.query_one(&sql, &[])))?;
        let sum = |column: usize| found.iter().flatten().map(|row| row.get::<_, i64>(column) as u64).sum();
        Ok(Count { passages: sum(0), deleted: 0, shards: self.shards.len(), bytes: sum(1) })
    }

    fn search(&self, queries: &[Prepared<'_>]) -> Result<Answers, StoreError> {
        Ok(self.answer_all(queries)?)
    }

    fn get(&self, ids: &[&str]) -> Result<Vec<Option<Entry>>, StoreError> {
        let (found, missing) = self.entries(ids)?;
        // That an id is not there cannot be said by a shard that is silent.
        let unknown = |id: &&str| {
            let name = self.shards.get(shard_of(id, self.shards.len())).map(|shard| &shard.name);
            !found.contains_key(*id) && name.is_some_and(|name| missing.contains(name))
        };
        if ids.iter().any(unknown) {
            let message = format!("the shard that holds it does not answer: {}", missing.join(", "));
            return Err(StoreError::failed(Failure::Unreachable, message));
        }
        Ok(ids.iter().map(|id| found.get(*id).cloned()).collect())
    }

    fn snippet(&self, words: &str, text: &str, length: usize) -> Snippet {
        snippet(self.analyser, words, text, length)
    }

    fn writer(&self) -> Option<&dyn StoreWriter> {
        Some(self)
    }
}

impl StoreWriter for PgStore {
    fn add(
        &self,
        entries: Vec<Entry>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), StoreError> {
        Ok(self.add_entries(entries, embedder, duplicates, progress, interrupt)?)
    }

    fn delete(&self, ids: &[&str]) -> Result<u64, StoreError> {
        Ok(self.delete_ids(ids)?)
    }
}
