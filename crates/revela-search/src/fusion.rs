//! One ranking from several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scored::Scored;

/// How rankings are joined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fusion {
    /// Reciprocal rank fusion: the sum of `weight / (k + rank)`, ranks counted from 1 (Cormack, Clarke
    /// and Büttcher, SIGIR 2009, where `k` is 60). Scores are not looked at.
    ReciprocalRank {
        /// Larger values make the first ranks less special.
        k: f32,
    },
    /// The weighted sum of scores that were made comparable first.
    WeightedSum {
        /// How they are made comparable.
        normalisation: Normalisation,
    },
}

impl Default for Fusion {
    /// Reciprocal rank fusion with `k` = 60.
    fn default() -> Self {
        Self::ReciprocalRank { k: 60.0 }
    }
}

/// How the scores of one ranking are made comparable with those of another.
///
/// An id that a ranking lacks counts as its worst one: it was not seen to be better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// To 0 for the worst and 1 for the best; all 1 where all are equal, and a missing id 0 even then.
    MinMax,
    /// To mean 0 and standard deviation 1; all 0 where all are equal.
    ZScore,
}

/// One ranking and what it weighs.
#[derive(Debug, Clone, Copy)]
pub struct Ranking<'a, I> {
    /// Ids with scores, best first, no id twice.
    pub hits: &'a [Scored<I>],
    /// Its weight, positive.
    pub weight: f32,
}

impl Fusion {
    /// Joins rankings: every id that one of them holds, best first, equal ones by id.
    pub fn fuse<I: Ord + Copy>(&self, rankings: &[Ranking<'_, I>]) -> Vec<Scored<I>> {
        let mut sums: BTreeMap<I, f64> = BTreeMap::new();
        for ranking in rankings {
            sums.extend(ranking.hits.iter().map(|hit| (hit.id, 0.0)));
        }
        for ranking in rankings {
            let weight = f64::from(ranking.weight);
            let (shares, missing) = self.shares(ranking.hits);
            sums.values_mut().for_each(|sum| *sum += weight * missing);
            for (hit, share) in ranking.hits.iter().zip(shares) {
                if let Some(sum) = sums.get_mut(&hit.id) {
                    *sum += weight * (share - missing);
                }
            }
        }
        let mut fused: Vec<_> = sums.into_iter().map(|(id, sum)| Scored { score: sum as f32, id }).collect();
        fused.sort_unstable();
        fused
    }

    /// What each hit of one ranking is worth, and what an id is worth that it lacks.
    fn shares<I>(&self, hits: &[Scored<I>]) -> (Vec<f64>, f64) {
        let scores = || hits.iter().map(|hit| f64::from(hit.score));
        match *self {
            Self::ReciprocalRank { k } => {
                ((1..=hits.len()).map(|rank| 1.0 / (f64::from(k) + rank as f64)).collect(), 0.0)
            }
            Self::WeightedSum { normalisation: Normalisation::MinMax } => {
                let (low, high) = scores().fold((f64::MAX, f64::MIN), |(l, h), s| (l.min(s), h.max(s)));
                let share = |s| if high > low { (s - low) / (high - low) } else { 1.0 };
                (scores().map(share).collect(), 0.0)
            }
            Self::WeightedSum { normalisation: Normalisation::ZScore } => {
                let count = hits.len().max(1) as f64;
                let mean = scores().sum::<f64>() / count;
                let variance = scores().map(|s| (s - mean).powi(2)).sum::<f64>() / count;
                let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
                let shares: Vec<f64> = scores().map(|s| (s - mean) / deviation).collect();
                let missing = shares.iter().copied().fold(0.0, f64::min);
                (shares, missing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranking(hits: &[(u32, f32)]) -> Vec<Scored<u32>> {
        hits.iter().map(|&(id, score)| Scored { score, id }).collect()
    }

    fn fuse(fusion: Fusion, lists: &[(&[Scored<u32>], f32)]) -> Vec<(u32, f32)> {
        let rankings: Vec<_> = lists.iter().map(|&(hits, weight)| Ranking { hits, weight }).collect();
        fusion.fuse(&rankings).into_iter().map(|hit| (hit.id, hit.score)).collect()
    }

    #[test]
    fn reciprocal_ranks_by_hand() {
        let (a, b) = (ranking(&[(7, 9.0), (3, 8.0)]), ranking(&[(3, 0.2), (5, 0.1)]));
        let fused = fuse(Fusion::default(), &[(&a, 1.0), (&b, 1.0)]);
        let expected = [(3, 1.0 / 62.0 + 1.0 / 61.0), (7, 1.0 / 61.0), (5, 1.0 / 62.0)];
        for (found, expected) in fused.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 - expected.1).abs() < 1e-7);
        }
    }

    #[test]
    fn sums_by_hand() {
        let (a, b) = (ranking(&[(1, 4.0), (2, 3.0), (3, 2.0)]), ranking(&[(3, 1.0), (4, -1.0)]));
        let min_max = Fusion::WeightedSum { normalisation: Normalisation::MinMax };
        assert_eq!(fuse(min_max, &[(&a, 1.0), (&b, 2.0)]), [(3, 2.0), (1, 1.0), (2, 0.5), (4, 0.0)]);
        let z = Fusion::WeightedSum { normalisation: Normalisation::ZScore };
        let deviation = (2.0f32 / 3.0).sqrt();
        let fused = fuse(z, &[(&a, 1.0), (&b, 1.0)]);
        assert_eq!(fused.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 3, 2, 4]);
        assert!((fused[0].1 - (1.0 / deviation - 1.0)).abs() < 1e-6);
    }

    #[test]
    fn equal_scores_empty_rankings_and_ties() {
        let (a, b) = (ranking(&[(2, 5.0), (9, 5.0)]), ranking(&[]));
        for normalisation in [Normalisation::MinMax, Normalisation::ZScore] {
            let fused = fuse(Fusion::WeightedSum { normalisation }, &[(&a, 1.0), (&b, 1.0)]);
            assert_eq!(fused.iter().map(|f| f.0).collect::<Vec<_>>(), [2, 9]);
        }
        assert_eq!(fuse(Fusion::default(), &[]), []);
    }

    proptest! {
        #[test]
        fn one_ranking_keeps_its_order_and_the_order_of_rankings_is_no_matter(
            a in proptest::collection::btree_map(0u32..60, -100i32..100, 0..40),
            b in proptest::collection::btree_map(0u32..60, -100i32..100, 0..40),
            which in 0usize..3,
        ) {
            let fusion = [
                Fusion::default(),
                Fusion::WeightedSum { normalisation: Normalisation::MinMax },
                Fusion::WeightedSum { normalisation: Normalisation::ZScore },
            ][which];
            let sorted = |map: &std::collections::BTreeMap<u32, i32>| {
                let mut hits: Vec<_> = map.iter().map(|(&id, &s)| Scored { score: s as f32, id }).collect();
                hits.sort();
                hits
            };
            let (a, b) = (sorted(&a), sorted(&b));
            let alone: Vec<u32> = fuse(fusion, &[(&a, 0.5)]).iter().map(|f| f.0).collect();
            prop_assert_eq!(alone, a.iter().map(|hit| hit.id).collect::<Vec<_>>());
            let (ab, ba) = (fuse(fusion, &[(&a, 1.0), (&b, 3.0)]), fuse(fusion, &[(&b, 3.0), (&a, 1.0)]));
            prop_assert_eq!(ab.len(), ba.len());
            for (x, y) in ab.iter().zip(&ba) {
                prop_assert!((x.1 - y.1).abs() < 1e-5);
            }
        }
    }
}
