//! What a query can say beside its text, and what can be asked of a collection that may have changed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::fusion::{Fusion, Normalisation};
use revela_index::testing::HashEmbedder;
use revela_index::{
    Collection, CollectionBuilder, CollectionWriter, Error, Mode, Passage, Query, QueryInput, Searcher,
};

const TEXTS: [(&str, &str); 3] =
    [("words", "zebra zebra zebra"), ("meaning", "open a socket"), ("neither", "bread and butter")];

fn build(path: &Path, encoder: &HashEmbedder) {
    let passage =
        |(id, text): (&str, &str)| Passage { id: id.into(), title: String::new(), text: text.into() };
    let passages = TEXTS.map(|text| Ok::<_, std::io::Error>(passage(text)));
    CollectionBuilder::new(path).build(passages, Some(encoder), &Silent, &Interrupt::new()).unwrap();
}

/// A query whose words find one passage and whose vector finds another.
fn torn(encoder: &HashEmbedder) -> Query {
    use revela_base::embed::{Embedder, TextKind};
    let vector = encoder.embed(TextKind::Query, &["open a socket"]).unwrap();
    Query::text("x").input(QueryInput::Both { text: "zebra".into(), vector })
}

#[test]
fn weights_decide_between_the_rankings() {
    let dir = tempfile::tempdir().unwrap();
    let (path, encoder) = (dir.path().join("c"), HashEmbedder::new(64));
    build(&path, &encoder);
    let searcher = Searcher::new(Collection::open(&path).unwrap());
    let fusion = Fusion::WeightedSum { normalisation: Normalisation::MinMax };
    let best = |dense: f32, bm25: f32| {
        let query = torn(&encoder).mode(Mode::Hybrid).fusion(fusion).weights(dense, bm25);
        searcher.search(&query).unwrap().remove(0).id
    };
    assert_eq!((best(0.9, 0.1).as_str(), best(0.1, 0.9).as_str()), ("meaning", "words"));
    // Only their ratio counts, and without a word they weigh the same.
    assert_eq!(best(90.0, 10.0), "meaning");
    let query = torn(&encoder).mode(Mode::Hybrid).fusion(fusion);
    assert_eq!(searcher.search(&query).unwrap(), searcher.search(&query.clone().weights(1.0, 1.0)).unwrap());
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let refused = searcher.search(&query.clone().weights(wrong, 1.0)).unwrap_err();
        assert!(matches!(refused, Error::Option { option: "weights", .. }), "{refused}");
    }
}

#[test]
fn the_settled_mode_is_the_one_that_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (path, encoder) = (dir.path().join("c"), HashEmbedder::new(64));
    build(&path, &encoder);
    let without = Searcher::new(Collection::open(&path).unwrap());
    let with = without.clone().with_embedder(Arc::new(encoder.clone())).unwrap();
    let text = Query::text("zebra");
    assert_eq!(with.settled_mode(&text).unwrap(), Mode::Hybrid);
    assert_eq!(without.settled_mode(&text).unwrap(), Mode::Bm25);
    assert_eq!(without.settled_mode(&Query::vector([1.0; 64])).unwrap(), Mode::Dense);
    assert_eq!(with.settled_mode(&text.clone().mode(Mode::Dense)).unwrap(), Mode::Dense);
    let refused = without.settled_mode(&text.mode(Mode::Dense)).unwrap_err();
    assert!(matches!(refused, Error::Unsupported(_)), "{refused}");
}

#[test]
fn a_snapshot_knows_whether_it_is_current() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    build(&path, &HashEmbedder::new(64));
    let opened = Collection::open(&path).unwrap();
    assert!(opened.is_current().unwrap());
    CollectionWriter::open(&path).unwrap().delete(["words"]).unwrap();
    assert!(!opened.is_current().unwrap());
    assert!(Collection::open(&path).unwrap().is_current().unwrap());
    std::fs::remove_dir_all(&path).unwrap();
    assert!(opened.is_current().is_err());
}
