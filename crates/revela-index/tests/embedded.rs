//! Passages that bring their vectors, and rankings that nothing is read for.
#![allow(clippy::unwrap_used)]

use std::io::Error as IoError;
use std::path::Path;

use revela_base::embed::{Embedder, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Duplicates, Embedded, Error, Mode, Passage, Query,
    Searcher,
};

const TEXTS: [&str; 4] = ["read a file", "open a socket", "sort numbers", "lock a shard"];

fn embedded(embedder: &HashEmbedder, numbers: std::ops::Range<usize>) -> Vec<Result<Embedded, IoError>> {
    let row = |number: usize| {
        let vector = embedder.embed(TextKind::Passage, &[TEXTS[number]]).unwrap();
        let passage = Passage { id: number.to_string(), title: String::new(), text: TEXTS[number].into() };
        Ok(Embedded { entry: passage.into(), vector })
    };
    numbers.map(row).collect()
}

fn build(
    path: &Path,
    embedder: &HashEmbedder,
    encoder: Option<&dyn Embedder>,
    with_texts: bool,
) -> Result<Collection, Error> {
    let rows = embedded(embedder, 0..3);
    CollectionBuilder::new(path).build_embedded(rows, 32, encoder, with_texts, &Silent, &Interrupt::new())
}

fn add(
    path: &Path,
    rows: Vec<Result<Embedded, IoError>>,
    encoder: Option<&dyn Embedder>,
) -> Result<(), Error> {
    let mut writer = CollectionWriter::open(path)?;
    writer.add_embedded(rows, encoder, Duplicates::Refuse, &Silent, &Interrupt::new())
}

#[test]
fn vectors_that_are_brought_are_as_good_as_those_that_are_made() {
    let (root, embedder) = (tempfile::tempdir().unwrap(), HashEmbedder::new(32));
    let path = root.path().join("x");
    build(&path, &embedder, Some(&embedder), true).unwrap();
    add(&path, embedded(&embedder, 3..4), Some(&embedder)).unwrap();
    let collection = Collection::open(&path).unwrap();
    assert_eq!(collection.len(), 4);
    let searcher = Searcher::new(collection).with_embedder(std::sync::Arc::new(embedder)).unwrap();
    for mode in [Mode::Dense, Mode::Bm25, Mode::Auto] {
        let queries = TEXTS.map(|text| Query::text(text).k(3).mode(mode));
        let (hits, found) =
            (searcher.search_batch(&queries).unwrap(), searcher.find_batch(&queries).unwrap());
        for (number, (hits, found)) in hits.iter().zip(&found).enumerate() {
            assert_eq!((hits[0].id.as_str(), hits[0].text.as_str()), (&*number.to_string(), TEXTS[number]));
            let bare: Vec<(&str, f32)> = hits.iter().map(|hit| (hit.id.as_str(), hit.score)).collect();
            assert_eq!(found.iter().map(|f| (f.id.as_str(), f.score)).collect::<Vec<_>>(), bare);
        }
    }
}

#[test]
fn who_made_the_vectors_is_checked() {
    let (root, embedder) = (tempfile::tempdir().unwrap(), HashEmbedder::new(32));
    let (made, given) = (root.path().join("made"), root.path().join("given"));
    build(&made, &embedder, Some(&embedder), true).unwrap();
    assert!(matches!(add(&made, embedded(&embedder, 3..4), None), Err(Error::Unsupported(_))));
    let bare = build(&given, &embedder, None, false).unwrap();
    assert!(bare.texts().is_none() && bare.vectors().is_some());
    let refused = add(&given, embedded(&embedder, 3..4), Some(&embedder));
    assert!(matches!(refused, Err(Error::WrongEncoder { .. })));
    let short = embedded(&HashEmbedder::new(31), 3..4);
    assert!(matches!(add(&given, short, None), Err(Error::Dimension { expected: 32, found: 31, .. })));
    add(&given, embedded(&embedder, 3..4), None).unwrap();
    assert_eq!(Collection::open(&given).unwrap().len(), 4);
}
