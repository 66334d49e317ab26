//! Batches of inference, bounded by tokens.

use std::cmp::Reverse;

/// Tokens of one batch of inference: enough to keep the processor busy, little enough for its caches.
const TOKENS_PER_BATCH: usize = 8192;

/// The places of sequences of these lengths, batch by batch; those without a token are in none.
///
/// Longest first: sequences of one length share a batch, and the largest batch comes first, so that running out of
/// memory shows at once.
pub(crate) fn longest_first(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&i| lengths[i] > 0).collect();
    order.sort_by_key(|&i| (Reverse(lengths[i]), i));
    let mut batches = Vec::new();
    let mut rest = order.as_slice();
    while let Some(&first) = rest.first() {
        let (batch, after) = rest.split_at((TOKENS_PER_BATCH / lengths[first]).clamp(1, rest.len()));
        batches.push(batch.to_vec());
        rest = after;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_with_tokens_is_in_one_batch_within_the_bound() {
        let lengths = [3, 0, 9000, 4096, 4096, 4096, 3];
        let batches = longest_first(&lengths);
        assert_eq!(batches[..3], [vec![2], vec![3, 4], vec![5, 0]]);
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 2, 3, 4, 5, 6]);
    }
}
