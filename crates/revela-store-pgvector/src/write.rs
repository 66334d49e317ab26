//! Changing shards: what is written goes by binary COPY into a table of the transaction, and from there into the
//! store's, so that each shard's part of a change is made as a whole.

use std::collections::{HashMap, HashSet};

use pgvector::HalfVector;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use postgres::{Client, Transaction};
use revela_base::checksum::Fingerprint;
use revela_base::embed::{Embedder, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::{Duplicates, Entry, Store};
use serde_json::Value;

use crate::error::PgError;
use crate::schema::MOST_TERMS;
use crate::shard::{Shard, shard_of};
use crate::store::PgStore;

/// Passages that are embedded and written together.
const BLOCK: usize = 512;
/// How far the mean length may move before weights are made again.
const MOVED: f64 = 0.02;

/// A passage as a shard keeps it.
pub(crate) struct Row {
    id: String,
    title: String,
    text: String,
    payload: Value,
    vector: Option<HalfVector>,
    /// Of everything in the row.
    digest: String,
    terms: Vec<String>,
    counts: Vec<i32>,
    tokens: i32,
}

impl Row {
    /// `vector` is as the metric wants it.
    pub(crate) fn new(store: &PgStore, entry: Entry, vector: Option<&[f32]>) -> Result<Self, PgError> {
        let terms = store.analyser.terms(&entry.passage.full_text());
        if terms.len() > MOST_TERMS {
            let what = format!(
                "keep the {} different words of {:?}; {MOST_TERMS} are the most: cut it into passages",
                terms.len(),
                entry.passage.id
            );
            return Err(PgError::Unsupported(what));
        }
        let tokens: u32 = terms.values().sum();
        let counts = terms.values().map(|&count| i32::try_from(count).unwrap_or(i32::MAX)).collect();
        let vector = vector.map(HalfVector::from_f32_slice);
        let payload = Value::Object(entry.payload);
        let numbers = vector.iter().flat_map(|vector| vector.as_slice()).flat_map(|x| x.to_le_bytes());
        let digest = Fingerprint::new()
            .part("title", &entry.passage.title)
            .part("text", &entry.passage.text)
            .part("payload", payload.to_string())
            .part("vector", numbers.collect::<Vec<u8>>())
            .finish();
        let (id, title, text) = (entry.passage.id, entry.passage.title, entry.passage.text);
        let terms = terms.into_keys().collect();
        let tokens = i32::try_from(tokens).unwrap_or(i32::MAX);
        Ok(Self { id, title, text, payload, vector, digest: digest.to_string(), terms, counts, tokens })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}

/// Lengths of all passages together.
struct Lengths {
    passages: i64,
    tokens: i64,
    /// With which weights were made; 0 where none were.
    mean: f64,
}

impl Lengths {
    /// The mean after some more, at least 1.
    fn mean_with(&self, rows: &[Row]) -> f64 {
        let tokens = self.tokens + rows.iter().map(|row| i64::from(row.tokens)).sum::<i64>();
        let passages = self.passages + rows.len() as i64;
        (tokens as f64 / passages.max(1) as f64).max(1.0)
    }

    /// Whether weights are too far from what this mean would make them.
    fn moved(&self, mean: f64, most: f64) -> bool {
        (mean / self.mean - 1.0).abs() > most
    }
}

impl PgStore {
    pub(crate) fn add_entries(
        &self,
        entries: Vec<Entry>,
        embedder: Option<&dyn Embedder>,
        duplicates: Duplicates,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), PgError> {
        let entries = self.without_duplicates(entries, duplicates)?;
        let task = progress.task("add", "passages", Some(entries.len() as u64));
        let mut rows = Vec::with_capacity(entries.len());
        let mut entries = entries.into_iter();
        loop {
            interrupt.check()?;
            let block: Vec<Entry> = entries.by_ref().take(BLOCK).collect();
            if block.is_empty() {
                break;
            }
            task.advance(block.len() as u64);
            rows.extend(self.embedded(block, embedder)?);
        }
        interrupt.check()?;
        self.write(rows, MOVED)
    }

    /// Each id once; refused where an id comes twice or is there, unless the last one wins.
    fn without_duplicates(&self, entries: Vec<Entry>, duplicates: Duplicates) -> Result<Vec<Entry>, PgError> {
        let mut seen = HashSet::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries.into_iter().rev() {
            if seen.insert(entry.passage.id.clone()) {
                kept.push(entry);
            } else if duplicates == Duplicates::Refuse {
                return Err(PgError::DuplicateId(entry.passage.id));
            }
        }
        kept.reverse();
        if duplicates == Duplicates::Refuse {
            let ids: Vec<&str> = kept.iter().map(|entry| entry.passage.id.as_str()).collect();
            if let Some(id) = self.digests(&ids)?.into_keys().next() {
                return Err(PgError::DuplicateId(id));
            }
        }
        Ok(kept)
    }

    fn embedded(&self, entries: Vec<Entry>, embedder: Option<&dyn Embedder>) -> Result<Vec<Row>, PgError> {
        let Some(field) = &self.meta.vectors else {
            return entries.into_iter().map(|entry| Row::new(self, entry, None)).collect();
        };
        let lacking =
            || PgError::Unsupported("add passages without the encoder that made the vectors".to_owned());
        let embedder = embedder.ok_or_else(lacking)?;
        self.describe().check_encoder(embedder.fingerprint())?;
        let texts: Vec<_> = entries.iter().map(|entry| entry.passage.full_text()).collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let data = embedder.embed(TextKind::Passage, &texts)?;
        let rows = data.chunks_exact(field.dimension.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>();
        let row =
            |(entry, vector): (Entry, Vec<f32>)| Row::new(self, entry, Some(&field.comparable(0, &vector)?));
        entries.into_iter().zip(rows).map(row).collect()
    }

    /// The digests of those of some passages that are there.
    pub(crate) fn digests(&self, ids: &[&str]) -> Result<HashMap<String, String>, PgError> {
        let sql = format!("SELECT id, digest FROM {} WHERE id = ANY($1)", self.table);
        let found = self.ask_all(|number, shard| {
            let own: Vec<&str> =
                ids.iter().copied().filter(|id| shard_of(id, self.shards.len()) == number).collect();
            shard.with("look ids up", |client| client.query(&sql, &[&own]))
        })?;
        Ok(found.into_iter().flatten().map(|row| (row.get(0), row.get(1))).collect())
    }

    fn lengths(&self) -> Result<Lengths, PgError> {
        let sql = format!("SELECT passages, tokens, mean FROM {}_stats", self.table);
        let rows =
            self.ask_all(|_, shard| shard.with("read statistics", |client| client.query_one(&sql, &[])))?;
        let sum = |column: usize| -> i64 { rows.iter().map(|row| row.get::<_, i64>(column)).sum() };
        let mean = rows.first().map_or(0.0, |row| row.get(2));
        Ok(Lengths { passages: sum(0), tokens: sum(1), mean })
    }

    /// Writes rows over those of their ids; makes all weights again where the mean length moved by more than this.
    pub(crate) fn write(&self, rows: Vec<Row>, moved: f64) -> Result<(), PgError> {
        let lengths = self.lengths()?;
        let mean = lengths.mean_with(&rows);
        let anew = lengths.mean > 0.0 && lengths.moved(mean, moved);
        let mean = if anew || lengths.mean == 0.0 { mean } else { lengths.mean };
        let mut parts: Vec<Vec<Row>> = self.shards.iter().map(|_| Vec::new()).collect();
        for row in rows {
            if let Some(part) = parts.get_mut(shard_of(&row.id, self.shards.len())) {
                part.push(row);
            }
        }
        self.ask_all(|number, shard| {
            let own = parts.get(number).map(Vec::as_slice).unwrap_or_default();
            self.write_shard(shard, own, mean)
        })?;
        if anew { self.weigh(mean) } else { Ok(()) }
    }

    /// Makes all weights anew where the mean length has moved at all.
    pub(crate) fn settle(&self) -> Result<(), PgError> {
        let lengths = self.lengths()?;
        let mean = lengths.mean_with(&[]);
        if lengths.passages > 0 && lengths.moved(mean, 1e-9) { self.weigh(mean) } else { Ok(()) }
    }

    fn weigh(&self, mean: f64) -> Result<(), PgError> {
        let table = &self.table;
        let weights = weights("u.number", "tokens");
        let sql = format!(
            "UPDATE {table} SET weights = (SELECT {weights} FROM unnest(term_ids, term_counts) AS u(number, count))"
        );
        self.ask_all(|_, shard| {
            shard.with("weigh terms", |client| {
                let mut transaction = lock(client, table)?;
                transaction.execute(&sql, &[&mean])?;
                transaction.execute(&format!("UPDATE {table}_stats SET mean = $1"), &[&mean])?;
                transaction.commit()
            })
        })?;
        Ok(())
    }

    fn write_shard(&self, shard: &Shard, rows: &[Row], mean: f64) -> Result<(), PgError> {
        let table = &self.table;
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let (embedding, staged) = match self.meta.vectors {
            Some(_) => ("embedding,", "s.embedding,"),
            None => ("", ""),
        };
        let weights = weights("d.number", "s.tokens");
        let insert = format!(
            r#"INSERT INTO {table}
                (id, title, text, payload, {embedding} digest, tokens, term_ids, term_counts, weights)
            SELECT s.id, s.title, s.text, s.payload, {staged} s.digest, s.tokens, m.ids, m.counts, m.weights
            FROM staged s CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(d.number ORDER BY d.number), '{{}}') AS ids,
                    coalesce(array_agg(u.count ORDER BY d.number), '{{}}') AS counts, {weights} AS weights
                FROM unnest(s.terms, s.counts) AS u(term, count)
                JOIN {table}_terms d ON d.term = u.term COLLATE "C") m"#
        );
        shard.with("write passages", |client| {
            let mut transaction = lock(client, table)?;
            stage(&mut transaction, rows, self.meta.vectors.is_some())?;
            delete(&mut transaction, table, &ids)?;
            transaction.batch_execute(&format!(
                r#"CREATE TEMP TABLE new_terms ON COMMIT DROP AS
                    SELECT term COLLATE "C" AS term, count(*) AS frequency
                    FROM staged, unnest(terms) AS u(term) GROUP BY 1;
                UPDATE {table}_terms t SET frequency = t.frequency + n.frequency
                    FROM new_terms n WHERE n.term = t.term;
                INSERT INTO {table}_terms (term, frequency)
                    SELECT term, frequency FROM new_terms n
                    WHERE NOT EXISTS (SELECT FROM {table}_terms t WHERE t.term = n.term) ORDER BY term"#
            ))?;
            transaction.execute(&insert, &[&mean])?;
            transaction.execute(
                &format!(
                    "UPDATE {table}_stats SET passages = passages + (SELECT count(*) FROM staged), \
                     tokens = tokens + (SELECT coalesce(sum(tokens), 0) FROM staged), mean = $1"
                ),
                &[&mean],
            )?;
            transaction.commit()
        })
    }

    pub(crate) fn delete_ids(&self, ids: &[&str]) -> Result<u64, PgError> {
        let counts = self.ask_all(|number, shard| {
            let own: Vec<&str> =
                ids.iter().copied().filter(|id| shard_of(id, self.shards.len()) == number).collect();
            shard.with("delete passages", |client| {
                let mut transaction = lock(client, &self.table)?;
                let count = delete(&mut transaction, &self.table, &own)?;
                transaction.commit()?;
                Ok(count)
            })
        })?;
        Ok(counts.into_iter().sum())
    }
}

/// A sparsevec of BM25's weights with k1 = 1.2 and b = 0.75, without the inverse document frequency; `$1` is the
/// mean length.
fn weights(number: &str, tokens: &str) -> String {
    format!(
        "('{{' || coalesce(string_agg({number}::text || ':' || (u.count * 2.2::float8 / (u.count + 1.2::float8 * \
         (0.25::float8 + 0.75::float8 * {tokens} / $1::float8)))::real::text, ',' ORDER BY {number}), '') \
         || '}}/1000000000')::sparsevec"
    )
}

/// A transaction that is alone in changing the store on this shard.
fn lock<'c>(client: &'c mut Client, table: &str) -> Result<Transaction<'c>, postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT pg_advisory_xact_lock(hashtext($1))", &[&table])?;
    Ok(transaction)
}

/// Deletes passages and takes them out of the frequencies and the lengths. Returns how many there were.
fn delete(transaction: &mut Transaction<'_>, table: &str, ids: &[&str]) -> Result<u64, postgres::Error> {
    let sql = format!(
        "WITH gone AS (DELETE FROM {table} WHERE id = ANY($1) RETURNING term_ids, tokens), \
         fewer AS (SELECT number, count(*) AS count FROM gone, unnest(term_ids) AS u(number) GROUP BY number), \
         terms AS (UPDATE {table}_terms t SET frequency = t.frequency - fewer.count FROM fewer \
            WHERE t.number = fewer.number), \
         stats AS (UPDATE {table}_stats SET passages = passages - (SELECT count(*) FROM gone), \
            tokens = tokens - (SELECT coalesce(sum(tokens), 0) FROM gone)) \
         SELECT count(*) FROM gone"
    );
    Ok(transaction.query_one(&sql, &[&ids])?.get::<_, i64>(0) as u64)
}

/// Copies rows into a table that ends with the transaction.
fn stage(transaction: &mut Transaction<'_>, rows: &[Row], vectors: bool) -> Result<(), postgres::Error> {
    transaction.batch_execute(
        "CREATE TEMP TABLE staged (id text, title text, text text, payload jsonb, digest text, tokens integer, \
         terms text[], counts integer[], embedding halfvec) ON COMMIT DROP",
    )?;
    let (mut types, mut columns) = (
        vec![
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
            Type::JSONB,
            Type::TEXT,
            Type::INT4,
            Type::TEXT_ARRAY,
            Type::INT4_ARRAY,
        ],
        "id, title, text, payload, digest, tokens, terms, counts".to_owned(),
    );
    if vectors {
        let statement = transaction.prepare("SELECT NULL::halfvec")?;
        types.extend(statement.columns().iter().map(|column| column.type_().clone()));
        columns.push_str(", embedding");
    }
    let writer = transaction.copy_in(&format!("COPY staged ({columns}) FROM STDIN BINARY"))?;
    let mut writer = BinaryCopyInWriter::new(writer, &types);
    for row in rows {
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![
            &row.id,
            &row.title,
            &row.text,
            &row.payload,
            &row.digest,
            &row.tokens,
            &row.terms,
            &row.counts,
        ];
        if vectors {
            values.push(&row.vector);
        }
        writer.write(&values)?;
    }
    writer.finish().map(drop)
}
