//! The suite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use revela_base::embed::{Embedder, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;

use super::{WordEmbedder, words};
use crate::fusion::Fusion;
use crate::{
    Duplicates, Entry, Failure, Filter, Hit, Lack, Mode, Passage, Predicate, Prepared, Query, QueryError,
    QueryInput, Retriever, Store,
};

/// How a kind of store is made for the suite.
pub trait Fixture {
    /// A store with these passages and nothing else; with vectors where there is an embedder.
    fn build(&mut self, entries: &[Entry], embedder: Option<&dyn Embedder>) -> Arc<dyn Store>;

    /// The same store after a change.
    fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

const WORDS: [&str; 9] =
    ["zebra", "lantern", "harbor", "copper", "violin", "meadow", "saddle", "orbit", "kettle"];
const PASSAGES: usize = 40;
const DIMENSION: usize = 24;
const MODES: [Mode; 3] = [Mode::Dense, Mode::Bm25, Mode::Hybrid];
/// How much the scores of a store may differ from those of the definition; 16-bit vectors need it.
const TOLERANCE: f32 = 2e-3;

fn entry(number: usize) -> Entry {
    let word = |at: usize| WORDS[at % WORDS.len()];
    let mut text = vec![word(number); 1 + number % 3];
    text.extend([word(number * 3 + 1), word(number / 8), word(number * number + 2)]);
    let title = if number.is_multiple_of(5) { word(number + 4).to_owned() } else { String::new() };
    let id = format!("{}/{number}", ["land", "sea"][number % 2]);
    let payload = match number % 7 {
        0 => serde_json::Map::new(),
        _ => [
            ("number".to_owned(), number.into()),
            ("group".to_owned(), format!("g{}", number % 3).into()),
            ("flags".to_owned(), vec![word(number), word(number + 1)].into()),
            ("at".to_owned(), serde_json::json!({"day": format!("2026-01-{:02}", 1 + number % 28)})),
            ("new".to_owned(), number.is_multiple_of(2).into()),
        ]
        .into_iter()
        .collect(),
    };
    Entry { passage: Passage { id, title, text: text.join(" ") }, payload }
}

fn entries() -> Vec<Entry> {
    (0..PASSAGES).map(entry).collect()
}

fn queries() -> Vec<Query> {
    let texts = ["zebra", "copper violin", "harbor harbor orbit", "kettle lantern meadow saddle"];
    texts.iter().flat_map(|text| MODES.map(|mode| Query::text(*text).mode(mode))).collect()
}

/// Everything that a store promises, on small stores that the fixture makes.
///
/// # Panics
/// At the first promise that is not kept.
pub fn check(fixture: &mut dyn Fixture) {
    let embedder = Arc::new(WordEmbedder::new(DIMENSION));
    let store = fixture.build(&entries(), Some(&*embedder));
    let retriever = Retriever::new(store.clone()).with_embedder(embedder.clone()).unwrap();
    describes_itself(&*store, &embedder);
    ranks_by_definition(&retriever, &embedder);
    joins_its_own_rankings(&retriever);
    filters_before_it_ranks(&retriever);
    answers_batches_as_single_queries(&retriever);
    gives_what_it_holds(&*store);
    refuses_what_cannot_be_asked(&retriever);
    changes_as_a_whole(fixture, store, &embedder);
    searches_texts_without_vectors(fixture);
}

fn describes_itself(store: &dyn Store, embedder: &WordEmbedder) {
    let description = store.describe();
    let vectors = description.vectors.unwrap();
    assert_eq!((vectors.dimension, vectors.metric), (DIMENSION, embedder.metric()));
    assert_eq!(vectors.encoder, Some(embedder.fingerprint()));
    assert!(description.analyser.is_some() && !description.location.is_empty());
    let count = store.count().unwrap();
    assert_eq!((count.passages, count.deleted), (PASSAGES as u64, 0));
    assert!(count.shards > 0);
}

/// What the definition gives: the similarity of each passage, or its BM25 score where it has one.
fn reference(query: &Query, mode: Mode, embedder: &WordEmbedder) -> BTreeMap<String, f32> {
    let text = query.words().unwrap();
    let scored = |entry: Entry| {
        let score = match mode {
            Mode::Dense => Some(cosine(embedder, text, &entry.passage.full_text())),
            _ => bm25(text, &entry),
        };
        score.map(|score| (entry.passage.id, score))
    };
    entries().into_iter().filter_map(scored).collect()
}

fn cosine(embedder: &WordEmbedder, query: &str, passage: &str) -> f32 {
    let both = embedder.embed(TextKind::Query, &[query, passage]).unwrap();
    let (a, b) = both.split_at(DIMENSION);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// BM25 by its formula, with k1 = 1.2 and b = 0.75; nothing without a common term.
fn bm25(query: &str, entry: &Entry) -> Option<f32> {
    let all: Vec<Vec<String>> = entries().iter().map(|entry| words(&entry.passage.full_text())).collect();
    let average = all.iter().map(Vec::len).sum::<usize>() as f32 / all.len() as f32;
    let own = words(&entry.passage.full_text());
    let share = |term: String| {
        let count = own.iter().filter(|word| **word == term).count() as f32;
        let found = all.iter().filter(|words| words.contains(&term)).count() as f32;
        let idf = (1.0 + (all.len() as f32 - found + 0.5) / (found + 0.5)).ln();
        (count > 0.0).then(|| idf * 2.2 * count / (count + 1.2 * (0.25 + 0.75 * own.len() as f32 / average)))
    };
    let shares: Vec<f32> = words(query).into_iter().filter_map(share).collect();
    (!shares.is_empty()).then(|| shares.iter().sum())
}

fn ranks_by_definition(retriever: &Retriever, embedder: &WordEmbedder) {
    for query in queries() {
        let hits = retriever.search(&query).unwrap();
        is_a_ranking(&query, &hits);
        if query.mode == Mode::Hybrid {
            continue;
        }
        let reference = reference(&query, query.mode, embedder);
        let mut best: Vec<f32> = reference.values().copied().collect();
        best.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(hits.len(), best.len().min(query.k), "{query:?}");
        for (hit, wanted) in hits.iter().zip(best) {
            let own = reference[&hit.id];
            assert!((hit.score - own).abs() < TOLERANCE, "{query:?}: {hit:?}, by definition {own}");
            assert!((hit.score - wanted).abs() < TOLERANCE, "{query:?}: rank {} is {wanted}", hit.rank);
        }
    }
    let all = retriever.search(&Query::text("zebra").mode(Mode::Dense).k(10 * PASSAGES)).unwrap();
    assert_eq!(all.len(), PASSAGES);
    assert!(retriever.search(&Query::text("absent").mode(Mode::Bm25)).unwrap().is_empty());
}

/// Ranks count, scores fall, no passage comes twice, and each is as it was given.
fn is_a_ranking(query: &Query, hits: &[Hit]) {
    assert!(!hits.is_empty() && hits.len() <= query.k, "{query:?}");
    assert!(hits.iter().map(|hit| hit.rank).eq(1..=hits.len()), "{query:?}");
    assert!(hits.is_sorted_by(|a, b| a.score >= b.score), "{query:?}: {hits:?}");
    let ids: BTreeSet<&str> = hits.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!(ids.len(), hits.len(), "{query:?}");
    for hit in hits {
        let number: usize = hit.id.split_once('/').unwrap().1.parse().unwrap();
        let Entry { passage, payload } = entry(number);
        let found = (&hit.id, &hit.title, &hit.text, &hit.payload);
        assert_eq!(found, (&passage.id, &passage.title, &passage.text, &payload));
    }
}

fn joins_its_own_rankings(retriever: &Retriever) {
    let text = "copper violin";
    let ranking = |mode| retriever.search(&Query::text(text).mode(mode).k(20)).unwrap();
    let scored = |hits: Vec<Hit>| -> Vec<crate::Scored<String>> {
        hits.into_iter().map(|hit| crate::Scored { score: hit.score, id: hit.id }).collect()
    };
    let (dense, bm25) = (scored(ranking(Mode::Dense)), scored(ranking(Mode::Bm25)));
    // Fusion wants ids that are copied.
    let number = |hits: &[crate::Scored<String>]| -> Vec<crate::Scored<usize>> {
        let of = |id: &str| id.split_once('/').unwrap().1.parse().unwrap();
        hits.iter().map(|hit| crate::Scored { score: hit.score, id: of(&hit.id) }).collect()
    };
    let fusions =
        [Fusion::default(), Fusion::WeightedSum { normalisation: crate::fusion::Normalisation::MinMax }];
    for fusion in fusions {
        let query = Query::text(text).mode(Mode::Hybrid).fusion(fusion).weights(0.7, 0.3).depth(20).k(8);
        let hits = retriever.search(&query).unwrap();
        let plan = Prepared::new(
            std::borrow::Cow::Borrowed(&query),
            retriever.store().describe(),
            retriever.store().describe().vectors.and_then(|vectors| vectors.encoder),
        );
        let expected = plan.unwrap().fuse(&number(&dense), &number(&bm25));
        assert_eq!(hits.len(), 8);
        for (hit, expected) in hits.iter().zip(&expected) {
            assert!((hit.score - expected.score).abs() < 1e-4, "{fusion:?}: {hit:?} {expected:?}");
        }
    }
}

fn filters() -> Vec<Filter> {
    let read = |text: &str| Filter::payload(Predicate::from_json(text).unwrap());
    vec![
        Filter::ids(["land/2", "sea/3", "sea/9", "absent"]),
        Filter::ids(Vec::<String>::new()),
        Filter::prefix("sea/"),
        Filter::prefix("se%"),
        Filter::prefix("sea_1"),
        read(r#"{"equals": {"field": "number", "value": 12}}"#),
        read(r#"{"equals": {"field": "group", "value": "12"}}"#),
        read(r#"{"equals": {"field": "new", "value": true}}"#),
        read(r#"{"in": {"field": "flags", "values": ["zebra", "orbit", 3]}}"#),
        read(r#"{"range": {"field": "number", "least": 5, "most": 20.5}}"#),
        read(r#"{"range": {"field": "at.day", "least": "2026-01-20"}}"#),
        read(r#"{"prefix": {"field": "at.day", "prefix": "2026-01-1"}}"#),
        read(r#"{"not": {"equals": {"field": "group", "value": "g1"}}}"#),
        read(
            r#"{"all": [{"any": [{"equals": {"field": "group", "value": "g0"}},
                {"equals": {"field": "group", "value": "g2"}}]}, {"range": {"field": "number", "most": 30}}]}"#,
        ),
        read(r#"{"any": []}"#),
        read(r#"{"all": []}"#),
    ]
}

/// Whether a passage may be found, by what a filter says.
fn fits(filter: &Filter, entry: &Entry) -> bool {
    match filter {
        Filter::All => true,
        Filter::Ids(ids) => ids.contains(&entry.passage.id),
        Filter::Prefix(prefix) => entry.passage.id.starts_with(prefix.as_str()),
        Filter::Payload(predicate) => predicate.fits(&entry.payload),
    }
}

fn filters_before_it_ranks(retriever: &Retriever) {
    for filter in filters() {
        for mode in MODES {
            let query = Query::text("copper violin").mode(mode).k(PASSAGES).depth(PASSAGES);
            let unfiltered = retriever.search(&query).unwrap();
            let expected: BTreeSet<String> = entries()
                .into_iter()
                .filter(|entry| fits(&filter, entry))
                .map(|entry| entry.passage.id)
                .filter(|id| unfiltered.iter().any(|hit| hit.id == *id))
                .collect();
            let few = retriever.search(&query.clone().filter(filter.clone()).k(3)).unwrap();
            assert_eq!(few.len(), expected.len().min(3), "{filter:?} {mode}");
            let hits = retriever.search(&query.filter(filter.clone())).unwrap();
            let found: BTreeSet<String> = hits.iter().map(|hit| hit.id.clone()).collect();
            assert_eq!(found, expected, "{filter:?} {mode}");
        }
    }
}

fn answers_batches_as_single_queries(retriever: &Retriever) {
    let mut queries = queries();
    queries.push(Query::text("zebra").filter(Filter::prefix("sea/")).k(2));
    queries.push(Query::vector(vec![1.0; DIMENSION]).k(4));
    let batch = retriever.search_batch(&queries).unwrap();
    assert_eq!((batch.hits.len(), batch.missing.len()), (queries.len(), 0));
    for (query, hits) in queries.iter().zip(&batch.hits) {
        assert_eq!(&retriever.search(query).unwrap(), hits, "{query:?}");
    }
    assert!(retriever.search_batch(&[]).unwrap().hits.is_empty());
}

fn gives_what_it_holds(store: &dyn Store) {
    let ids = ["sea/7", "absent", "land/0", "sea/7"];
    let expected = [Some(entry(7)), None, Some(entry(0)), Some(entry(7))];
    assert_eq!(store.get(&ids).unwrap(), expected);
    assert_eq!(store.has(&ids).unwrap(), [true, false, true, true]);
    assert!(store.get(&[]).unwrap().is_empty());
    let text = "a kettle ".repeat(30) + "and one zebra";
    let snippet = store.snippet("zebra", &text, 40);
    assert!(text.contains(&snippet.text) && snippet.text.len() <= 40, "{snippet:?}");
}

fn refuses_what_cannot_be_asked(retriever: &Retriever) {
    let refused = |query: Query| retriever.search(&query).unwrap_err();
    assert_eq!(refused(Query::text("zebra").k(0)).kind(), Failure::Invalid);
    assert_eq!(refused(Query::text("zebra").weights(0.0, 1.0)).kind(), Failure::Invalid);
    assert_eq!(refused(Query::vector(vec![1.0; DIMENSION - 1])).kind(), Failure::Invalid);
    assert_eq!(refused(Query::vector(vec![f32::NAN; DIMENSION])).kind(), Failure::Invalid);
    assert_eq!(refused(Query::vector(vec![0.0; DIMENSION])).kind(), Failure::Invalid);
    assert_eq!(refused(Query::vector(vec![1.0; DIMENSION]).mode(Mode::Bm25)).kind(), Failure::Unsupported);
    let (store, query) = (retriever.store(), Query::text("zebra").mode(Mode::Dense));
    let encoder = store.describe().vectors.and_then(|vectors| vectors.encoder);
    let plan = |encoder| Prepared::new(std::borrow::Cow::Borrowed(&query), store.describe(), encoder);
    let lacks = |error: QueryError| match error {
        QueryError::Lacks { lack, .. } => lack,
        other => panic!("{other}"),
    };
    assert_eq!(lacks(plan(None).unwrap_err()), Lack::Encoder);
    let forgotten = plan(encoder).unwrap();
    assert_eq!(forgotten.text_to_embed(), Some("zebra"));
    let refused = store.search(&[forgotten]).unwrap_err();
    assert_eq!(refused.kind(), Failure::Unsupported);
    assert!(refused.to_string().contains("not embedded"), "{refused}");
    let other = Arc::new(WordEmbedder::new(DIMENSION + 1));
    assert!(matches!(retriever.clone().with_embedder(other), Err(QueryError::WrongEncoder { .. })));
}

fn changes_as_a_whole(fixture: &mut dyn Fixture, store: Arc<dyn Store>, embedder: &Arc<WordEmbedder>) {
    let Some(writer) = store.writer() else { return };
    let add = |entries: &[Entry], duplicates| {
        writer.add(entries.to_vec(), Some(&**embedder), duplicates, &Silent, &Interrupt::new())
    };
    let changed = |id: &str, text: &str| Entry {
        passage: Passage { id: id.to_owned(), title: String::new(), text: text.to_owned() },
        payload: [("new".to_owned(), true.into())].into_iter().collect(),
    };
    let clash = [changed("fresh", "quartz"), changed("sea/3", "quartz")];
    assert_eq!(add(&clash, Duplicates::Refuse).unwrap_err().kind(), Failure::Conflict);
    let none = writer.add(clash.to_vec(), None, Duplicates::LastWins, &Silent, &Interrupt::new());
    assert_eq!(none.unwrap_err().kind(), Failure::Unsupported);
    let both = [changed("sea/3", "quartz quartz"), changed("air/100", "quartz zebra")];
    add(&both, Duplicates::LastWins).unwrap();
    assert_eq!(writer.delete(&["land/2", "absent", "land/4"]).unwrap(), 2);
    let store = fixture.reopen(store.clone());
    assert_eq!(store.count().unwrap().passages, PASSAGES as u64 - 1);
    let found = store.get(&["fresh", "sea/3", "land/2", "air/100"]).unwrap();
    assert_eq!(found, [None, Some(both[0].clone()), None, Some(both[1].clone())]);
    let retriever = Retriever::new(store).with_embedder(embedder.clone()).unwrap();
    for mode in MODES {
        let hits = retriever.search(&Query::text("quartz").mode(mode).k(2)).unwrap();
        let found: BTreeSet<&str> = hits.iter().map(|hit| hit.id.as_str()).collect();
        assert_eq!(found, BTreeSet::from(["air/100", "sea/3"]), "{mode}");
    }
    let all = retriever.search(&Query::text("zebra").mode(Mode::Dense).k(2 * PASSAGES)).unwrap();
    assert_eq!(all.len(), PASSAGES - 1);
    assert!(all.iter().all(|hit| hit.id != "land/2" && hit.id != "land/4"));
}

fn searches_texts_without_vectors(fixture: &mut dyn Fixture) {
    let store = fixture.build(&entries()[..10], None);
    assert_eq!((store.describe().vectors, store.count().unwrap().passages), (None, 10));
    let retriever = Retriever::new(store);
    let hits = retriever.search(&Query::text("zebra")).unwrap();
    assert!(hits.iter().all(|hit| hit.text.contains("zebra")) && !hits.is_empty());
    let refused = retriever.search(&Query::text("zebra").mode(Mode::Dense)).unwrap_err();
    assert_eq!(refused.kind(), Failure::Unsupported);
    let both = QueryInput::Both { text: "zebra".into(), vector: vec![1.0; DIMENSION] };
    assert!(retriever.search(&Query::new(both).mode(Mode::Hybrid)).is_err());
    assert!(retriever.with_embedder(Arc::new(WordEmbedder::new(DIMENSION))).is_err());
}
