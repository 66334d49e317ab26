//! Where rows come from: passages and an embedder, or files of vectors.

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::{Entry, Passage};

use super::sink::Sink;
use super::spool::Spool;
use crate::error::Error;
use crate::payload::Payload;
use crate::vectors::{RowBlock, RowReader};

/// Rows that are embedded and written together, and embeddings that a kill costs at most.
pub(super) const BLOCK: usize = 512;

/// What long work needs to be watched and stopped.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) progress: &'a dyn Progress,
    pub(super) interrupt: &'a Interrupt,
}

/// Pushes all passages, embedded where there is an embedder.
pub(super) fn passages<P, E>(
    sink: &mut Sink<'_>,
    passages: impl IntoIterator<Item = Result<P, E>>,
    mut embedder: Option<(&dyn Embedder, Spool)>,
    watch: Watch<'_>,
) -> Result<(), Error>
where
    P: Into<Entry>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let task = watch.progress.task("index", "passages", None);
    let mut passages = passages.into_iter();
    loop {
        watch.interrupt.check()?;
        let block = passages.by_ref().take(BLOCK).collect::<Result<Vec<_>, _>>();
        let block = block.map_err(|e| Error::Source(e.into()))?.into_iter().map(P::into);
        let (block, payloads): (Vec<Passage>, Vec<Payload>) =
            block.map(|entry| (entry.passage, entry.payload)).unzip();
        if block.is_empty() {
            return Ok(());
        }
        let data = match &mut embedder {
            Some((embedder, spool)) => spool.embed(*embedder, &block, |data| sink.check(data))?,
            None => Vec::new(),
        };
        sink.push(&block, &payloads, data)?;
        task.advance(block.len() as u64);
    }
}

/// Pushes all rows of a file. Ids are `ids`, or those in the file, or else numbers from `first` on.
pub(super) fn vectors(
    sink: &mut Sink<'_>,
    rows: &mut RowReader,
    ids: Option<&[String]>,
    first: u64,
    watch: Watch<'_>,
) -> Result<(), Error> {
    let task = watch.progress.task("index", "vectors", rows.rows());
    let mut block = RowBlock::default();
    let mut done = 0;
    loop {
        watch.interrupt.check()?;
        let count = rows.next_block(BLOCK, &mut block)?;
        let in_file = std::mem::take(&mut block.ids);
        let named = match given(rows.what(), ids, done, count)? {
            Some(ids) => ids,
            None if in_file.len() == count => in_file,
            None => (done..done + count).map(|row| (first + row as u64).to_string()).collect(),
        };
        if count == 0 {
            return Ok(());
        }
        let unnamed = |id| Passage { id, title: String::new(), text: String::new() };
        let named: Vec<Passage> = named.into_iter().map(unnamed).collect();
        sink.push(&named, &[], std::mem::take(&mut block.data))?;
        done += count;
        task.advance(count as u64);
    }
}

/// The given ids of rows `done` to `done + count`; there must be neither fewer nor more than rows.
fn given(
    what: &str,
    ids: Option<&[String]>,
    done: usize,
    count: usize,
) -> Result<Option<Vec<String>>, Error> {
    let Some(all) = ids else { return Ok(None) };
    let left_over = count == 0 && all.len() != done;
    match all.get(done..done + count) {
        Some(ids) if !left_over => Ok(Some(ids.to_vec())),
        _ => {
            let detail = format!("there are {} ids for its rows", all.len());
            Err(Error::Shape { what: what.to_owned(), detail })
        }
    }
}
