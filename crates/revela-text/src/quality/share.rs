//! No document and no package has more than its share of the chunks.

use std::collections::BTreeMap;

use revela_base::seed::Seed;

use super::config::QualityConfig;
use super::reason::Reason;
use crate::document::ChunkId;

/// What is known of the chunks so far: eight bytes for each, and the names of the packages.
#[derive(Debug, Default)]
pub(super) struct Shares {
    chunks: Vec<Entry>,
    documents: Vec<Document>,
    /// The document of the last chunk: a document's chunks come one after the other.
    last: String,
    packages: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    document: u32,
    bytes: u32,
}

#[derive(Debug, Clone)]
struct Document {
    /// None for a document that is in no folder.
    package: Option<u32>,
    /// Who stays in a package that is too large, from the name alone: neither the order of documents nor what
    /// else there is changes it.
    draw: u64,
    /// Indices of its chunks.
    first: usize,
    end: usize,
}

impl Shares {
    pub(super) fn push(&mut self, id: &ChunkId, bytes: usize) {
        if self.documents.is_empty() || self.last != id.document {
            self.last.clone_from(&id.document);
            let package = id.document.split_once('/').map(|(package, _)| {
                let next = self.packages.len() as u32;
                *self.packages.entry(package.to_owned()).or_insert(next)
            });
            let at = self.chunks.len();
            let draw = Seed(0).derive(&id.document).0;
            self.documents.push(Document { package, draw, first: at, end: at });
        }
        if let Some(document) = self.documents.last_mut() {
            document.end += 1;
        }
        let document = (self.documents.len() - 1) as u32;
        self.chunks.push(Entry { document, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) });
    }

    /// For each chunk in order, why it is left out after all, and its bytes.
    pub(super) fn finish(self, config: &QualityConfig) -> Vec<(Option<Reason>, usize)> {
        let mut reasons = vec![None; self.chunks.len()];
        if config.counts(Reason::DocumentShare) {
            self.bound_documents(config, &mut reasons);
        }
        if config.counts(Reason::PackageShare) {
            self.bound_packages(config, &mut reasons);
        }
        reasons.into_iter().zip(self.chunks).map(|(reason, entry)| (reason, entry.bytes as usize)).collect()
    }

    /// Keeps as many chunks of a document as it may have, spread over all of it.
    fn bound_documents(&self, config: &QualityConfig, reasons: &mut [Option<Reason>]) {
        let sizes = self.documents.iter().map(|document| document.end - document.first).collect();
        let most = bound(sizes, config.document_share, config.share_floor);
        for document in self.documents.iter().filter(|document| document.end - document.first > most) {
            let size = document.end - document.first;
            let chunks = reasons.get_mut(document.first..document.end).unwrap_or_default();
            for (at, reason) in chunks.iter_mut().enumerate() {
                // One of each `size / most` chunks in a row stays.
                if (at * most) / size == ((at + 1) * most) / size {
                    *reason = Some(Reason::DocumentShare);
                }
            }
        }
    }

    /// Keeps whole documents of a package, drawn by their names, and a part of the last.
    fn bound_packages(&self, config: &QualityConfig, reasons: &mut [Option<Reason>]) {
        let mut sizes = vec![0; self.packages.len()];
        for (entry, _) in self.chunks.iter().zip(&*reasons).filter(|(_, reason)| reason.is_none()) {
            let package = self.documents.get(entry.document as usize).and_then(|document| document.package);
            if let Some(size) = package.and_then(|package| sizes.get_mut(package as usize)) {
                *size += 1;
            }
        }
        let most = bound(sizes.clone(), config.package_share, config.share_floor);
        let mut left = vec![most; sizes.len()];
        let mut order: Vec<&Document> = self.documents.iter().collect();
        order.sort_by_key(|document| (document.draw, document.first));
        for document in order {
            let left = document.package.and_then(|package| left.get_mut(package as usize));
            let (Some(left), Some(chunks)) = (left, reasons.get_mut(document.first..document.end)) else {
                continue;
            };
            for reason in chunks.iter_mut().filter(|reason| reason.is_none()) {
                match left.checked_sub(1) {
                    Some(fewer) => *left = fewer,
                    None => *reason = Some(Reason::PackageShare),
                }
            }
        }
    }
}

/// The size down to which the larger ones must go so that none has more than `share` of what is left then, but
/// no less than `floor`. Where they are fewer than twice `1 / share`, none is bounded.
///
/// With the `k` largest cut to `c` and `rest` in the others, `c = share * (k * c + rest)`.
fn bound(mut sizes: Vec<usize>, share: f64, floor: usize) -> usize {
    sizes.retain(|size| *size > 0);
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut rest: usize = sizes.iter().sum();
    if (sizes.len() as f64) * share < 2.0 {
        return usize::MAX;
    }
    for (cut, size) in sizes.iter().enumerate() {
        let room = 1.0 - share * cut as f64;
        if room <= 0.0 {
            break;
        }
        let most = share * rest as f64 / room;
        if *size as f64 <= most {
            return (most as usize).max(floor);
        }
        rest -= size;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKAGES: [&str; 11] = ["a/", "b/", "c/", "d/", "e/", "g/", "h/", "i/", "j/", "k/", "l/"];

    fn config() -> QualityConfig {
        QualityConfig { document_share: 0.1, package_share: 0.2, share_floor: 5, ..QualityConfig::default() }
    }

    /// Chunks of documents of these packages and sizes; what stays of each document, and of all.
    fn kept(documents: &[(&str, usize)], config: &QualityConfig) -> (Vec<usize>, Vec<Option<Reason>>) {
        let mut shares = Shares::default();
        for (number, (package, size)) in documents.iter().enumerate() {
            let document = format!("{package}{number}");
            (0..*size)
                .for_each(|n| shares.push(&ChunkId { document: document.clone(), ordinal: n as u32 }, n));
        }
        let reasons: Vec<_> = shares.finish(config).into_iter().map(|(reason, _)| reason).collect();
        let mut at = 0;
        let sizes = documents.iter().map(|(_, size)| {
            at += size;
            reasons[at - size..at].iter().filter(|reason| reason.is_none()).count()
        });
        (sizes.collect(), reasons.clone())
    }

    #[test]
    fn large_documents_and_packages_are_cut_to_their_share() {
        let mut documents = vec![("a/", 10); 20];
        documents.extend([("b/", 10); 20]);
        documents.extend([("c/", 10); 20]);
        documents.extend([("d/", 10); 20]);
        documents.push(("e/", 4000));
        let (sizes, reasons) = kept(&documents, &QualityConfig { package_share: 1.0, ..config() });
        let total: usize = sizes.iter().sum();
        assert_eq!((sizes[80], sizes[..80].iter().sum::<usize>()), (88, 800));
        assert!(sizes[80] * 10 <= total);
        let stay: Vec<usize> = (800..4800).filter(|at| reasons[*at].is_none()).collect();
        assert!(stay.windows(2).all(|pair| (45..=46).contains(&(pair[1] - pair[0]))), "spread evenly");

        let mut documents: Vec<_> = (0..11).flat_map(|n| vec![(PACKAGES[n], 10); 8]).collect();
        documents.extend([("f/", 10); 400]);
        let (sizes, _) = kept(&documents, &config());
        assert_eq!((sizes[..88].iter().sum::<usize>(), sizes[88..].iter().sum::<usize>()), (880, 220));
        assert!(sizes[88..].iter().filter(|size| !matches!(size, 0 | 10)).count() <= 1, "whole documents");
    }

    #[test]
    fn small_corpora_and_documents_without_folders_are_left_alone() {
        for documents in [vec![("a/", 300)], vec![("a/", 300), ("b/", 4)], vec![("", 30); 4]] {
            let all: usize = documents.iter().map(|(_, size)| size).sum();
            assert_eq!(kept(&documents, &config()).0.iter().sum::<usize>(), all, "{documents:?}");
        }
        let keep = QualityConfig { keep: [Reason::PackageShare].into(), ..config() };
        let documents: Vec<_> =
            [("f/", 9); 90].into_iter().chain(PACKAGES.map(|package| (package, 9))).collect();
        assert_eq!(kept(&documents, &keep).0.iter().sum::<usize>(), 101 * 9);
        assert_eq!(kept(&documents, &config()).0.iter().sum::<usize>(), 99 + 24);
        assert_eq!(Shares::default().finish(&config()), []);
    }

    proptest! {
        #[test]
        fn bounds_hold_and_bounding_twice_changes_nothing(
            sizes in prop::collection::vec(0usize..2000, 0..60), share in 0.01f64..1.0, floor in 1usize..50
        ) {
            let most = bound(sizes.clone(), share, floor);
            let cut: Vec<usize> = sizes.iter().map(|size| (*size).min(most)).collect();
            let total: usize = cut.iter().sum();
            let is_bounded = sizes.iter().filter(|size| **size > 0).count() as f64 * share >= 2.0;
            let allowed = (share * total as f64).max(floor as f64) + 1.0;
            prop_assert!(!is_bounded || cut.iter().all(|size| *size as f64 <= allowed), "{cut:?} {most}");
            prop_assert!(is_bounded || cut == sizes);
            let again = bound(cut.clone(), share, floor);
            prop_assert!(cut.iter().all(|size| *size <= again.saturating_add(1)), "{cut:?} {most} {again}");
        }
    }
}
