//! Which queries are fit for a test, and the order in which things are drawn.

use revela_base::seed::Seed;

use super::Entry;

/// The indices of the entries that are eligible, in the order of a hash of the seed and their ids, so
/// that neither the order of documents nor what else there is changes who comes first.
pub(super) fn drawn(entries: &[Entry], seed: Seed, eligible: impl Fn(&Entry) -> bool) -> Vec<usize> {
    let fit = entries.iter().enumerate().filter(|(_, entry)| eligible(entry));
    let mut order: Vec<(u64, usize)> = fit.map(|(n, entry)| (seed.derive(&entry.id).0, n)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, n)| n).collect()
}

/// Whether most of the visible characters are ASCII letters: prose in English or near it.
pub(super) fn is_mostly_latin(text: &str) -> bool {
    let visible = text.chars().filter(|c| !c.is_whitespace()).count();
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    letters * 10 >= visible * 7
}
