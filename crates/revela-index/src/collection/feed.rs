//! Where rows come from: passages and an embedder, or files of vectors.

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_search::{Embedded, Entry, Passage};

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

/// Pushes all passages, embedded where there is an embedder. Of those without a token, and so without a vector, it
/// tells how many there are, with the first one's id.
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
    let mut without: (usize, String) = (0, String::new());
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
        count_zeros(&block, &data, &mut without);
        if let (count @ 1.., first) = &without {
            task.remark(&format!("({count} without a vector, found by BM25 alone, such as {first:?})"));
        }
        sink.push(&block, &payloads, data)?;
        task.advance(block.len() as u64);
    }
}

/// Counts the rows of zeros, and keeps the id of the first one's passage.
fn count_zeros(block: &[Passage], data: &[f32], without: &mut (usize, String)) {
    let Some(dim) = data.len().checked_div(block.len()).filter(|&dim| dim > 0) else { return };
    for (passage, _) in
        block.iter().zip(data.chunks_exact(dim)).filter(|(_, row)| row.iter().all(|&x| x == 0.0))
    {
        if without.0 == 0 {
            without.1.clone_from(&passage.id);
        }
        without.0 += 1;
    }
}

/// Pushes entries with the vectors that they bring.
pub(super) fn embedded<E>(
    sink: &mut Sink<'_>,
    rows: impl IntoIterator<Item = Result<Embedded, E>>,
    dim: usize,
    watch: Watch<'_>,
) -> Result<(), Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let task = watch.progress.task("index", "passages", None);
    let mut rows = rows.into_iter();
    loop {
        watch.interrupt.check()?;
        let (mut passages, mut payloads, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.by_ref().take(BLOCK) {
            let Embedded { entry: Entry { passage, payload }, vector } =
                row.map_err(|e| Error::Source(e.into()))?;
            if vector.len() != dim {
                let what = format!("the vector of {:?}", passage.id);
                return Err(Error::Dimension { what, expected: dim, found: vector.len() });
            }
            data.extend(vector);
            passages.push(passage);
            payloads.push(payload);
        }
        if passages.is_empty() {
            return Ok(());
        }
        sink.push(&passages, &payloads, data)?;
        task.advance(passages.len() as u64);
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
