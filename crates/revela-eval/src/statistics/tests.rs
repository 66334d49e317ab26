use proptest::prelude::*;
use serde::Deserialize;

use super::bootstrap::quantile;
use super::paired::two_sided_tail;
use super::*;

#[derive(Deserialize)]
struct Golden {
    paired: Vec<Paired>,
    t_tails: Vec<(f64, f64, f64)>,
    holm: Vec<Holm>,
    quantiles: Quantiles,
}

#[derive(Deserialize)]
struct Paired {
    a: Vec<f64>,
    b: Vec<f64>,
    t: f64,
    p_t: f64,
    randomisation_is_exact: bool,
    p_randomisation: f64,
    low: f64,
    high: f64,
    cohens_d: f64,
    wins: usize,
    ties: usize,
    losses: usize,
}

impl Paired {
    fn differences(&self) -> Vec<f64> {
        self.a.iter().zip(&self.b).map(|(a, b)| b - a).collect()
    }
}

#[derive(Deserialize)]
struct Holm {
    raw: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Quantiles {
    sample: Vec<f64>,
    values: Vec<(f64, f64)>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/statistics.json")).unwrap()
}

fn close(found: f64, expected: f64, relative: f64) {
    let error = (found - expected).abs();
    assert!(error <= relative * expected.abs() + 1e-15, "{found} is not {expected}");
}

#[test]
fn t_tests_effects_and_outcomes_equal_scipys() {
    for case in golden().paired {
        let differences = case.differences();
        let test = paired_t_test(&differences).unwrap();
        close(test.t, case.t, 1e-9);
        close(test.p, case.p_t, 1e-9);
        assert_eq!(test.degrees_of_freedom, differences.len() - 1);
        close(effect_size(&differences).unwrap(), case.cohens_d, 1e-9);
        let expected = Outcomes { wins: case.wins, ties: case.ties, losses: case.losses };
        assert_eq!(outcomes(&differences), expected);
    }
}

#[test]
fn tails_of_students_t_keep_their_relative_precision() {
    for (t, freedom, p) in golden().t_tails {
        close(two_sided_tail(t, freedom), p, 1e-9);
        close(two_sided_tail(-t, freedom), p, 1e-9);
    }
    assert_eq!(two_sided_tail(f64::INFINITY, 9.0), 0.0);
}

#[test]
fn randomisation_tests_equal_scipys() {
    let resampling = Resampling::default();
    for case in golden().paired {
        let p = randomisation_test(&case.differences(), &resampling).unwrap();
        if case.randomisation_is_exact {
            close(p, case.p_randomisation, 1e-12);
        } else {
            // Four standard errors of the drawn share.
            let expected = case.p_randomisation;
            let error = 4.0 * (expected * (1.0 - expected) / 10_000.0).sqrt() + 1.5e-4;
            assert!((p - expected).abs() < error, "{p} is not about {expected}");
        }
    }
}

#[test]
fn drawn_signs_agree_with_all_signs() {
    let case = &golden().paired[2];
    let differences: Vec<f64> =
        case.differences().iter().chain(&golden().paired[1].differences()).copied().collect();
    let exact = randomisation_test(&differences, &Resampling::new(100_000, 0.95, Seed(0)).unwrap()).unwrap();
    let drawn = randomisation_test(&differences, &Resampling::new(500, 0.95, Seed(0)).unwrap()).unwrap();
    assert!((exact - drawn).abs() < 4.0 * (exact / 500.0).sqrt() + 0.004, "{exact} and {drawn}");
    assert_ne!(exact, drawn);
}

#[test]
fn intervals_agree_with_scipys_bootstrap() {
    for case in golden().paired {
        let differences = case.differences();
        let found = bootstrap_mean(&differences, &Resampling::default()).unwrap();
        let tolerance = 0.06 * (case.high - case.low);
        assert!((found.low - case.low).abs() <= tolerance, "{found:?}, not {}", case.low);
        assert!((found.high - case.high).abs() <= tolerance, "{found:?}, not {}", case.high);
        close(found.mean, differences.iter().sum::<f64>() / differences.len() as f64, 1e-12);
    }
}

#[test]
fn a_seed_fixes_everything() {
    let differences = golden().paired[4].differences();
    let with = |seed| Resampling::new(1000, 0.95, Seed(seed)).unwrap();
    let both = |r: &Resampling| {
        (bootstrap_mean(&differences, r).unwrap(), randomisation_test(&differences, r).unwrap())
    };
    assert_eq!(both(&with(3)), both(&with(3)));
    assert_ne!(both(&with(3)).0, both(&with(4)).0);
    // The same numbers on every machine and in every version.
    let (interval, p) = both(&with(3));
    assert_eq!((interval.low, interval.high, p), PINNED);
}

const PINNED: (f64, f64, f64) =
    (-0.001_866_999_999_999_999_3, 0.042_160_333_333_333_34, 0.064_935_064_935_064_93);

#[test]
fn quantiles_equal_numpys() {
    let Quantiles { mut sample, values } = golden().quantiles;
    sample.sort_unstable_by(f64::total_cmp);
    for (q, value) in values {
        close(quantile(&sample, q), value, 1e-12);
    }
    assert_eq!(quantile(&[3.0], 0.3), 3.0);
}

#[test]
fn holm_equals_statsmodels() {
    for case in golden().holm {
        for (found, expected) in holm(&case.raw).iter().zip(&case.adjusted) {
            close(*found, *expected, 1e-12);
        }
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn too_few_values_and_values_that_are_not_numbers_are_refused() {
    let resampling = Resampling::default();
    assert!(matches!(bootstrap_mean(&[], &resampling), Err(EvalError::TooFew { .. })));
    assert!(matches!(paired_t_test(&[0.1]), Err(EvalError::TooFew { needed: 2, found: 1, .. })));
    assert!(matches!(randomisation_test(&[], &resampling), Err(EvalError::TooFew { .. })));
    assert!(matches!(paired_t_test(&[0.1, f64::NAN]), Err(EvalError::NotFinite { .. })));
    assert_eq!(effect_size(&[0.1]), None);
    assert!(Resampling::new(10, 0.95, Seed(0)).is_err());
    assert!(Resampling::new(1000, 1.0, Seed(0)).is_err());
    assert!(Resampling::new(1000, f64::NAN, Seed(0)).is_err());
    assert!(serde_json::from_str::<Resampling>(r#"{"resamples":1,"confidence":0.9,"seed":1}"#).is_err());
}

#[test]
fn differences_that_are_all_the_same() {
    let resampling = Resampling::default();
    assert_eq!(paired_t_test(&[0.0; 5]).unwrap().p, 1.0);
    assert_eq!(randomisation_test(&[0.0; 5], &resampling).unwrap(), 1.0);
    assert_eq!(randomisation_test(&[0.1; 5], &resampling).unwrap(), 2.0 / 32.0);
    assert!(paired_t_test(&[0.5; 4]).unwrap().p < 1e-12);
    assert_eq!((effect_size(&[0.1; 7]), effect_size(&[0.0; 7])), (None, None));
    let interval = bootstrap_mean(&[0.25; 3], &resampling).unwrap();
    assert_eq!(interval, Interval { mean: 0.25, low: 0.25, high: 0.25 });
}

proptest! {
    #[test]
    fn intervals_hold_their_mean_and_p_values_are_shares(
        values in proptest::collection::vec(-1.0..1.0f64, 2..40),
    ) {
        let resampling = Resampling::new(400, 0.9, Seed(1)).unwrap();
        let interval = bootstrap_mean(&values, &resampling).unwrap();
        let largest = values.iter().copied().fold(f64::MIN, f64::max);
        let smallest = values.iter().copied().fold(f64::MAX, f64::min);
        prop_assert!(interval.low <= interval.high);
        prop_assert!(interval.low >= smallest - 1e-12 && interval.high <= largest + 1e-12);
        let p = randomisation_test(&values, &resampling).unwrap();
        prop_assert!(p > 0.0 && p <= 1.0);
        let negated: Vec<f64> = values.iter().map(|v| -v).collect();
        prop_assert_eq!(randomisation_test(&negated, &resampling).unwrap(), p);
        let t = paired_t_test(&values).unwrap();
        prop_assert!((0.0..=1.0).contains(&t.p));
    }

    #[test]
    fn holm_never_lowers_and_keeps_the_order(raw in proptest::collection::vec(0.0..=1.0f64, 1..20)) {
        let adjusted = holm(&raw);
        for (i, (&p, &q)) in raw.iter().zip(&adjusted).enumerate() {
            prop_assert!(q >= p && q <= 1.0);
            for (j, &r) in raw.iter().enumerate() {
                prop_assert!(p >= r || adjusted[i] <= adjusted[j]);
            }
        }
    }
}
