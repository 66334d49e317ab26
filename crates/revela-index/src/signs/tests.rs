use proptest::prelude::*;
use rand::RngExt;
use revela_base::seed::Seed;

use super::*;
use crate::vectors::Vectors;

/// Rows of length 1 around a common direction, as encoders make them.
fn rows(count: usize, dim: usize, seed: u64) -> Vectors {
    let mut stream = Seed(seed).stream("rows");
    let data = (0..count * dim).map(|at| stream.random_range(-1.0f32..1.0) + 0.3 * ((at % dim) as f32).sin());
    let mut vectors = Vectors::new("rows", dim, data.collect()).unwrap();
    vectors.normalise("rows").unwrap();
    vectors
}

fn dot32(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) as f32
}

/// What the planes stand for, without planes: the query's rounded numbers times the signs.
fn plain_estimate(row: &[f32], query: &[f32], centre: &[f32]) -> f32 {
    let p: Vec<f32> = query.iter().zip(centre).map(|(q, c)| q - c).collect();
    let (low, high) = p.iter().fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
    let step = (high - low) / STEPS;
    let rounded = p.iter().map(|x| low + step * ((x - low) / step).round_ties_even());
    let r: Vec<f32> = row.iter().zip(centre).map(|(x, c)| x - c).collect();
    let signs = r.iter().map(|&r| if r > 0.0 { 1.0 } else { 0.0 });
    let positive: f32 = rounded.zip(signs).map(|(p, s)| p * s).sum();
    let sizes: f32 = r.iter().map(|r| r.abs()).sum();
    let product = 2.0 * positive - p.iter().sum::<f32>();
    dot32(query, centre) + dot32(centre, &r) + dot32(&r, &r) / sizes * product
}

#[test]
fn estimates_are_near_and_their_error_is_known() {
    for dim in [64, 65, 100, 384, 513, 1024] {
        let (rows, queries) = (rows(300, dim, 1), rows(20, dim, 2));
        let signs = Signs::of(rows.view()).unwrap();
        let (view, centre) = (signs.view(), &signs.frame[..dim]);
        let (mut sieve, mut square, mut within) = (Sieve::default(), 0.0, 0);
        for query in queries.view().iter() {
            sieve.fill(view, query);
            for (number, row) in rows.view().iter().enumerate() {
                let (estimate, unit) = sieve.estimate(view, number as u32);
                let plain = plain_estimate(row, query, centre);
                assert!((estimate - plain).abs() < 1e-4, "{dim}: {estimate} {plain}");
                let error = (dot32(row, query) - estimate) / (unit * view.usual_error);
                square += error * error / 6000.0;
                within += usize::from(error.abs() < 2.0);
            }
        }
        assert!((0.8..1.2).contains(&square), "{dim}: {square}");
        assert!((5580..5880).contains(&within), "{dim}: {within}");
    }
}

#[test]
fn sifting_keeps_what_is_near_and_drops_most_of_the_rest() {
    let (rows, queries) = (rows(2000, 384, 1), rows(30, 384, 2));
    let signs = Signs::of(rows.view()).unwrap();
    let mut sieve = Sieve::default();
    let (mut lost, mut wanted, mut kept) = (0, 0, 0);
    for query in queries.view().iter() {
        sieve.fill(signs.view(), query);
        let scores: Vec<f32> = rows.view().iter().map(|row| dot32(row, query)).collect();
        let mut sorted = scores.clone();
        sorted.sort_by(f32::total_cmp);
        let least = sorted[1900];
        let mut ids: Vec<u32> = (0..2000).collect();
        sieve.sift(signs.view(), &mut ids, least, |_| ());
        assert!(ids.is_sorted());
        kept += ids.len();
        let good = (0..2000u32).filter(|&id| scores[id as usize] >= least);
        wanted += 100;
        lost += good.filter(|id| !ids.contains(id)).count();
    }
    assert!(lost * 10 < wanted, "{lost} of {wanted}");
    assert!(kept < 30 * 800, "{kept}");
}

#[test]
fn rows_that_cannot_be_judged_are_kept() {
    let rows = rows(10, 64, 1);
    let signs = Signs::of(rows.view()).unwrap();
    let mut sieve = Sieve::default();
    let all = vec![0, 9, 10, u32::MAX];
    let mut ids = all.clone();
    sieve.sift(signs.view(), &mut ids, 2.0, |_| ());
    assert_eq!(ids, all, "not filled");
    sieve.fill(signs.view(), &[0.0; 65]);
    sieve.sift(signs.view(), &mut ids, 2.0, |_| ());
    assert_eq!(ids, all, "filled with a query of another length");
    sieve.fill(signs.view(), rows.view().get(0).unwrap());
    sieve.sift(signs.view(), &mut ids, f32::MAX, |_| ());
    assert_eq!(ids, [10, u32::MAX]);
    let short = Vectors::new("x", 63, vec![1.0; 63]).unwrap();
    assert!(Signs::of(short.view()).is_none() && Signs::of(Vectors::empty(64).unwrap().view()).is_none());
}

#[test]
fn equal_rows_do_no_harm() {
    let rows = Vectors::new("x", 64, vec![0.125; 64 * 3]).unwrap();
    let signs = Signs::of(rows.view()).unwrap();
    let mut sieve = Sieve::default();
    sieve.fill(signs.view(), rows.view().get(0).unwrap());
    let mut ids = vec![0, 1, 2];
    sieve.sift(signs.view(), &mut ids, 0.999, |_| ());
    assert_eq!(ids, [0, 1, 2]);
}

proptest! {
    #[test]
    fn bits_are_where_they_belong(numbers in proptest::collection::vec(any::<u8>(), 64), bit in 0usize..8) {
        let numbers: [u8; 64] = numbers.try_into().unwrap();
        let expected = numbers.iter().enumerate().fold(0, |b, (at, &n)| b | u64::from(n >> bit & 1) << at);
        prop_assert_eq!(bits_of(&numbers, bit), expected);
    }
}
