//! The tables of a shard.
//!
//! ```text
//! NAME        passages: id, title, text, payload, vector, terms with counts, weights, a digest of all that
//! NAME_terms  the dictionary, with the document frequency of each term
//! NAME_stats  one row: passages, tokens, and the mean length with which the weights were made
//! NAME_meta   one row: format, version, which shard of how many, and the description
//! ```

use postgres::{Client, GenericClient};
use revela_search::{Description, VectorField};
use serde::{Deserialize, Serialize};

/// The oldest pgvector that scans an index again until a filter has let enough through.
const PGVECTOR: (u32, u32) = (0, 8);
const FORMAT: &str = "revela.pgvector";
const VERSION: i32 = 1;
/// The longest vector that an HNSW index of halfvec takes.
pub(crate) const LONGEST_VECTOR: usize = 4000;
/// Dimensions of weights: more than any dictionary has terms, and the most that sparsevec takes.
pub(crate) const WEIGHTS: i32 = 1_000_000_000;
/// The most terms that a sparsevec holds.
pub(crate) const MOST_TERMS: usize = 16_000;

/// What a shard says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) shard: usize,
    pub(crate) shards: usize,
    pub(crate) vectors: Option<VectorField>,
    pub(crate) analyser: String,
    pub(crate) chunker: Option<serde_json::Value>,
}

impl Meta {
    pub(crate) fn description(&self, location: String) -> Description {
        let (analyser, chunked) = (Some(self.analyser.clone()), self.chunker.is_some());
        Description { location, vectors: self.vectors, analyser, chunked }
    }
}

/// Whether the server is new enough; what to do where it is not.
pub(crate) fn check_server(client: &mut Client) -> Result<Result<(), String>, postgres::Error> {
    let row = client.query_opt("SELECT extversion FROM pg_extension WHERE extname = 'vector'", &[])?;
    let Some(row) = row else { return Ok(Err("it has no pgvector; CREATE EXTENSION vector".to_owned())) };
    let version: String = row.get(0);
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = PGVECTOR;
    Ok((found >= PGVECTOR).then_some(()).ok_or_else(|| {
        format!("it has pgvector {version}, and {major}.{minor} is needed; ALTER EXTENSION vector UPDATE")
    }))
}

/// What the shard says of itself; nothing where it has no such tables, the reason where they are of another version.
pub(crate) fn read(
    client: &mut Client,
    table: &str,
) -> Result<Option<Result<Meta, String>>, postgres::Error> {
    let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&format!("{table}_meta")])?;
    if !there.get::<_, bool>(0) {
        return Ok(None);
    }
    let row = client.query_opt(&format!("SELECT format, version, meta::text FROM {table}_meta"), &[])?;
    let Some(row) = row else { return Ok(None) };
    let (format, version, text): (String, i32, String) = (row.get(0), row.get(1), row.get(2));
    if format != FORMAT || version != VERSION {
        return Ok(Some(Err(format!(
            "its tables are {format} version {version}, and this program reads {FORMAT} version {VERSION}"
        ))));
    }
    Ok(Some(serde_json::from_str(&text).map_err(|error| format!("its description cannot be read: {error}"))))
}

/// Makes the tables, all or none.
pub(crate) fn create(client: &mut Client, table: &str, meta: &Meta) -> Result<(), postgres::Error> {
    let vector = meta.vectors.map(|field| format!("embedding halfvec({}) NOT NULL,", field.dimension));
    let vector = vector.unwrap_or_default();
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!(
        r#"CREATE TABLE {table} (
            id text COLLATE "C" PRIMARY KEY, title text NOT NULL, text text NOT NULL, payload jsonb NOT NULL, {vector}
            digest text NOT NULL, tokens integer NOT NULL, term_ids integer[] NOT NULL,
            term_counts integer[] NOT NULL, weights sparsevec NOT NULL);
        CREATE INDEX {table}_of_terms ON {table} USING gin (term_ids);
        CREATE TABLE {table}_terms (
            number integer GENERATED ALWAYS AS IDENTITY, term text COLLATE "C" PRIMARY KEY, frequency bigint NOT NULL);
        CREATE UNIQUE INDEX {table}_terms_by_number ON {table}_terms (number);
        CREATE TABLE {table}_stats (passages bigint NOT NULL, tokens bigint NOT NULL, mean float8 NOT NULL);
        INSERT INTO {table}_stats VALUES (0, 0, 0);
        CREATE TABLE {table}_meta (format text NOT NULL, version integer NOT NULL, meta jsonb NOT NULL);"#
    ))?;
    let text = serde_json::to_value(meta).unwrap_or_default();
    transaction
        .execute(&format!("INSERT INTO {table}_meta VALUES ($1, $2, $3)"), &[&FORMAT, &VERSION, &text])?;
    transaction.commit()
}

/// Makes the index of vectors, where there are some; quicker once the vectors are there.
pub(crate) fn create_vector_index(
    client: &mut impl GenericClient,
    table: &str,
) -> Result<(), postgres::Error> {
    client.batch_execute(&format!(
        "SET maintenance_work_mem = '512MB'; SET max_parallel_maintenance_workers = 0; \
         CREATE INDEX IF NOT EXISTS {table}_near ON {table} USING hnsw (embedding halfvec_ip_ops); \
         ANALYZE {table}; RESET maintenance_work_mem; RESET max_parallel_maintenance_workers"
    ))
}
