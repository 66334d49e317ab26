//! Policies that only reorder the corpus.

use rand::Rng;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::{ChunkView, Groups};

/// All chunks, shuffled.
pub(super) fn random(chunks: &[ChunkView<'_>], stream: &mut impl Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..chunks.len() as u32).collect();
    order.shuffle(stream);
    order
}

/// The first and one past the last chunk of each document.
fn document_ranges(chunks: &[ChunkView<'_>]) -> Vec<(u32, u32)> {
    let mut end = 0;
    let by_document = chunks.chunk_by(|a, b| a.document == b.document);
    by_document
        .map(|chunks| {
            let start = end;
            end += chunks.len() as u32;
            (start, end)
        })
        .collect()
}

pub(super) fn count_documents(chunks: &[ChunkView<'_>]) -> usize {
    document_ranges(chunks).len()
}

/// Documents shuffled, their chunks in order. The whole is turned by a random number of chunks, so that
/// groups begin elsewhere in every pass.
pub(super) fn documents(chunks: &[ChunkView<'_>], stream: &mut impl Rng) -> Vec<u32> {
    let mut ranges = document_ranges(chunks);
    ranges.shuffle(stream);
    let mut order: Vec<u32> = ranges.into_iter().flat_map(|(start, end)| start..end).collect();
    let turn = stream.random_range(0..order.len().max(1));
    order.rotate_left(turn);
    order
}

/// Runs of `length` neighbouring chunks, shuffled such that `documents` consecutive runs are from as many
/// documents, as far as the corpus allows.
pub(super) fn runs(
    chunks: &[ChunkView<'_>],
    length: usize,
    documents: usize,
    stream: &mut impl Rng,
) -> Vec<u32> {
    let length = length.max(1) as u32;
    let mut runs: Vec<Vec<u32>> = Vec::new();
    let mut rest: Vec<u32> = Vec::new();
    let mut ranges = document_ranges(chunks);
    ranges.shuffle(stream);
    for (start, end) in ranges {
        // Chunks that fill no run stand at the document's beginning or end, by chance.
        let spare = (end - start) % length;
        let first = start + stream.random_range(0..=spare);
        let last = first + (end - start - spare);
        rest.extend((start..first).chain(last..end));
        runs.extend((first..last).step_by(length as usize).map(|at| (at..at + length).collect()));
    }
    runs.extend(rest.chunks(length as usize).map(<[u32]>::to_vec));
    runs.shuffle(stream);
    // A short run, of which there is at most one, goes to the end, where the last group is filled up.
    runs.sort_by_key(|run| run.len() < length as usize);
    spread(&mut runs, documents, |run| {
        run.first().and_then(|&chunk| chunks.get(chunk as usize)).map_or(0, |chunk| chunk.document)
    });
    runs.into_iter().flatten().collect()
}

/// How many later runs are tried to replace one whose document is already in the group.
const TRIES: usize = 64;

/// Swaps runs so that each window of `documents` runs has distinct documents, where a later run allows it.
fn spread(runs: &mut [Vec<u32>], documents: usize, document: impl Fn(&[u32]) -> u32) {
    for start in (0..runs.len()).step_by(documents.max(1)) {
        for at in start + 1..(start + documents).min(runs.len()) {
            let taken: Vec<u32> = runs.iter().take(at).skip(start).map(|run| document(run)).collect();
            let fits = |run: &Vec<u32>| !taken.contains(&document(run));
            let later = runs.iter().enumerate().skip(at).take(TRIES).find(|(_, run)| fits(run));
            if let Some((other, _)) = later {
                runs.swap(at, other);
            }
        }
    }
}

/// Cuts an order of distinct chunks into groups; the last one is filled up from the beginning.
pub(super) fn cut(order: &[u32], group_size: usize) -> Groups {
    let whole = order.chunks(group_size).map(<[u32]>::to_vec);
    let mut groups: Groups = whole.collect();
    if let Some(last) = groups.last_mut() {
        let missing = group_size - last.len();
        last.extend(order.iter().take(missing));
    }
    groups
}
