use std::collections::HashSet;

use proptest::prelude::*;
use revela_base::progress::Silent;

use super::*;

/// Documents of these numbers of chunks; chunk texts share words within a document.
fn corpus(lengths: &[usize]) -> Vec<(u32, String)> {
    let chunk = |document: usize, at: usize| {
        let own: String = (0..12).map(|i| format!("doc{document}word{} ", (i + at) % 20)).collect();
        (document as u32, format!("common text {own} part{at}of{document}"))
    };
    lengths.iter().enumerate().flat_map(|(d, &n)| (0..n).map(move |at| chunk(d, at))).collect()
}

fn views(corpus: &[(u32, String)]) -> Vec<ChunkView<'_>> {
    corpus.iter().map(|(document, text)| ChunkView { document: *document, text }).collect()
}

fn grouping(policy: Policy, group_size: usize, passes: usize) -> Grouping {
    Grouping { policy, group_size, passes, seed: Seed(3), copies: None }
}

fn group(grouping: &Grouping, corpus: &[(u32, String)]) -> Result<Groups, Error> {
    Ok(grouping.group(&views(corpus), &Silent, &Interrupt::new())?.groups)
}

const POLICIES: [Policy; 4] = [
    Policy::Random,
    Policy::Document,
    Policy::Mixed { documents: 2 },
    Policy::Bm25 { analyser: Analyser::Code, query_terms: 12 },
];

fn uses(groups: &Groups, chunks: usize) -> Vec<usize> {
    let mut uses = vec![0; chunks];
    groups.iter().flatten().for_each(|&chunk| uses[chunk as usize] += 1);
    uses
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn groups_are_full_distinct_and_cover_the_corpus(
        lengths in proptest::collection::vec(1usize..9, 2..30),
        half in 1usize..4,
        passes in 1usize..4,
        which in 0usize..4,
    ) {
        let corpus = corpus(&lengths);
        let grouping = grouping(POLICIES[which], 2 * half, passes);
        prop_assume!(corpus.len() >= grouping.group_size);
        let groups = group(&grouping, &corpus).unwrap();
        for group in &groups {
            prop_assert_eq!(group.len(), grouping.group_size);
            prop_assert_eq!(group.iter().collect::<HashSet<_>>().len(), group.len());
        }
        let uses = uses(&groups, corpus.len());
        prop_assert!(uses.iter().all(|&n| n >= passes), "{:?}", uses);
        if !matches!(grouping.policy, Policy::Bm25 { .. }) {
            prop_assert!(uses.iter().sum::<usize>() < passes * (corpus.len() + grouping.group_size));
        }
        prop_assert_eq!(group_again(&grouping, &corpus), groups);
    }
}

fn group_again(grouping: &Grouping, corpus: &[(u32, String)]) -> Groups {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one_thread.install(|| group(grouping, corpus).unwrap())
}

/// Share of pairs in groups that are from one document.
fn same_document(groups: &Groups, corpus: &[(u32, String)]) -> f64 {
    let (mut same, mut all) = (0, 0);
    for group in groups {
        for (i, &a) in group.iter().enumerate() {
            for &b in &group[..i] {
                same += usize::from(corpus[a as usize].0 == corpus[b as usize].0);
                all += 1;
            }
        }
    }
    same as f64 / all as f64
}

#[test]
fn policies_differ_as_they_say() {
    let corpus = corpus(&[8; 60]);
    let same = |policy| same_document(&group(&grouping(policy, 8, 2), &corpus).unwrap(), &corpus);
    assert!(same(Policy::Random) < 0.05);
    assert!(same(Policy::Document) > 0.4);
    let mixed = same(Policy::Mixed { documents: 2 });
    assert!((mixed - 3.0 / 7.0).abs() < 1e-9, "{mixed}");
    assert!(same(Policy::bm25(Analyser::Code)) > 0.9);
}

#[test]
fn mixed_groups_hold_runs_of_neighbours() {
    let corpus = corpus(&[6, 9, 7, 12, 5, 8, 11, 6, 8, 8]);
    let groups = group(&grouping(Policy::Mixed { documents: 2 }, 6, 1), &corpus).unwrap();
    let runs = groups.iter().flat_map(|group| group.chunks(3));
    let whole = runs.clone().filter(|run| {
        run.windows(2).all(|w| w[1] == w[0] + 1 && corpus[w[0] as usize].0 == corpus[w[1] as usize].0)
    });
    assert!(whole.count() * 10 >= runs.count() * 7);
}

#[test]
fn passes_differ() {
    let corpus = corpus(&[5; 40]);
    for policy in POLICIES {
        let groups = group(&grouping(policy, 4, 2), &corpus).unwrap();
        let distinct: HashSet<&Vec<u32>> = groups.iter().collect();
        assert!(distinct.len() * 10 > groups.len() * 8, "{policy:?}");
        let other = Grouping { seed: Seed(4), ..grouping(policy, 4, 2) };
        assert_ne!(group(&other, &corpus).unwrap(), groups, "{policy:?}");
    }
}

#[test]
fn copies_are_kept_apart() {
    let mut corpus = corpus(&[10; 30]);
    let copies: Vec<(u32, String)> = corpus.iter().take(100).map(|(d, t)| (d + 100, t.clone())).collect();
    corpus.extend(copies);
    let together = |copies| {
        let grouping = Grouping { copies, ..grouping(Policy::bm25(Analyser::Code), 4, 1) };
        let groups = group(&grouping, &corpus).unwrap();
        let is_double = |group: &&Vec<u32>| {
            let texts: HashSet<&str> = group.iter().map(|&chunk| corpus[chunk as usize].1.as_str()).collect();
            texts.len() < group.len()
        };
        groups.iter().filter(is_double).count()
    };
    assert_eq!(together(Some(1.0)), 0);
    assert!(together(None) > 20, "{}", together(None));
}

/// Words `from..from + 30` of an endless text.
fn window(document: u32, from: usize) -> (u32, String) {
    (document, (from..from + 30).map(|word| format!("word{word} ")).collect())
}

#[test]
fn relatives_share_less_than_half() {
    // 22 of 28 runs are in the next one but nine, 8 in the next.
    let corpus: Vec<_> = (0..40).map(|n| window(n, 20 * n as usize)).collect();
    let made = |corpus: &[(u32, String)], copies| {
        let grouping = Grouping { copies, ..grouping(Policy::bm25(Analyser::Code), 3, 1) };
        grouping.group(&views(corpus), &Silent, &Interrupt::new()).unwrap()
    };
    let related = made(&corpus, Some(COPY));
    assert_eq!(related.copies, 0);
    assert!(related.unrelated < 30, "{}", related.unrelated);
    let shifted: Vec<_> =
        corpus.iter().cloned().chain((0..40).map(|n| window(50 + n, 20 * n as usize + 6))).collect();
    let with_copies = made(&shifted, Some(COPY));
    assert!(with_copies.copies > 0);
    let position = |chunk: u32| 20 * (chunk as usize % 40) + 6 * (chunk as usize / 40);
    let near = |group: &Vec<u32>| {
        group.iter().any(|a| group.iter().any(|b| a != b && position(*a).abs_diff(position(*b)) < 14))
    };
    assert_eq!(with_copies.groups.iter().filter(|group| near(group)).count(), 0);
    assert!(made(&shifted, None).groups.iter().any(near));
}

#[test]
fn bm25_uses_chunks_about_equally_often() {
    let corpus = corpus(&[7; 100]);
    let groups = group(&grouping(Policy::bm25(Analyser::Code), 8, 3), &corpus).unwrap();
    let uses = uses(&groups, corpus.len());
    let mean = uses.iter().sum::<usize>() as f64 / uses.len() as f64;
    assert!(uses.iter().all(|&n| n >= 3) && mean < 4.5, "{mean}");
    assert!(uses.iter().max().unwrap() <= &6);
}

#[test]
fn chunks_without_words_are_grouped_too() {
    let corpus: Vec<(u32, String)> = (0..20).map(|i| (i, "-- ".to_owned())).collect();
    let groups = group(&grouping(Policy::bm25(Analyser::Prose), 4, 1), &corpus).unwrap();
    assert!(uses(&groups, 20).iter().all(|&n| n >= 1));
}

#[test]
fn dense_neighbours_group_by_vectors() {
    let corpus = corpus(&[4; 25]);
    let data: Vec<f32> = corpus.iter().flat_map(|(d, _)| [(*d as f32).cos(), (*d as f32).sin()]).collect();
    let rows = Rows::new("x", 2, &data).unwrap();
    let grouping = grouping(Policy::Random, 4, 1);
    let neighbours = DenseNeighbours::new(rows);
    let made = grouping.group_by(&views(&corpus), &neighbours, &Silent, &Interrupt::new()).unwrap();
    let groups = made.groups;
    assert!(same_document(&groups, &corpus) > 0.8);
}

#[test]
fn impossible_wishes_are_refused() {
    let small = corpus(&[2, 1]);
    let refused = |grouping: Grouping| group(&grouping, &small).unwrap_err().to_string();
    for policy in POLICIES {
        assert!(refused(grouping(policy, 1, 1)).contains("at least 2"));
        assert!(refused(grouping(policy, 4, 1)).contains("smaller than one group"));
        assert!(refused(grouping(policy, 2, 0)).contains("passes"));
    }
    assert!(refused(grouping(Policy::Mixed { documents: 2 }, 3, 1)).contains("multiple"));
    assert!(refused(grouping(Policy::Mixed { documents: 3 }, 3, 1)).contains("fewer documents"));
    assert!(
        refused(grouping(Policy::Bm25 { analyser: Analyser::Code, query_terms: 0 }, 2, 1)).contains("term")
    );
    for copies in [0.0, 1.1, f32::NAN] {
        let wrong = Grouping { copies: Some(copies), ..grouping(Policy::Random, 2, 1) };
        assert!(refused(wrong).contains("above 0"));
    }
    let stop = Interrupt::new();
    stop.request();
    for policy in POLICIES {
        let stopped = grouping(policy, 2, 1).group(&views(&small), &Silent, &stop);
        assert!(matches!(stopped, Err(Error::Interrupted(_))));
    }
}
