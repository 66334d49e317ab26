use half::f16;
use proptest::prelude::*;
use rand::RngExt;
use revela_base::seed::Seed;

use super::*;

/// Lengths around every unrolling and tail.
fn lengths() -> impl Iterator<Item = usize> {
    (0..200).chain([255, 256, 257, 384, 768, 1000, 1536, 4096])
}

fn numbers(name: &str, length: usize) -> Vec<f32> {
    let mut stream = Seed(1).stream(name);
    (0..length).map(|_| stream.random_range(-1.0f32..1.0)).collect()
}

#[test]
fn dot_agrees_with_f64_on_every_instruction_set() {
    for length in lengths() {
        let (a, b) = (numbers("a", length), numbers("b", length));
        let halves: Vec<u16> = b.iter().map(|&x| f16::from_f32(x).to_bits()).collect();
        let tolerance = 1e-6 * (length as f64).sqrt().max(1.0);
        let product =
            |b: &dyn Fn(usize) -> f64| a.iter().enumerate().map(|(i, &x)| f64::from(x) * b(i)).sum();
        let exact: f64 = product(&|i| f64::from(b[i]));
        let exact_f16: f64 = product(&|i| f16::from_bits(halves[i]).to_f64());
        for kernels in available() {
            let found = f64::from((kernels.dot)(&a, &b));
            assert!((found - exact).abs() < tolerance, "{} {length}: {found} {exact}", kernels.name);
            let mut out = [0.0; 2];
            (kernels.gather)(&a, &b, &[0, 1], &mut out);
            assert_eq!(f64::from(out[0]), found, "{} {length}", kernels.name);
            assert!(length == 0 || out[1] == f32::NEG_INFINITY, "a row that does not exist");
            (kernels.gather_f16)(&a, &halves, &[0], &mut out);
            let found = f64::from(out[0]);
            assert!((found - exact_f16).abs() < tolerance, "{} {length}: {found} {exact_f16}", kernels.name);
        }
    }
}

#[test]
fn unaligned_and_unequal_lengths_are_harmless() {
    let (a, b) = (numbers("a", 300), numbers("b", 300));
    for kernels in available() {
        for start in 0..17 {
            let whole = (kernels.dot)(&a[start..], &b[start..]);
            assert_eq!(whole, (kernels.dot)(&a[start..], &[&b[start..], &[9.0][..]].concat()));
        }
    }
}

/// What the extremes add up to must not overflow anywhere.
#[test]
fn the_largest_codes_do_not_overflow() {
    for kernels in available() {
        for (code, query) in [(255, 127), (255, -128), (0, -128), (1, 127)] {
            let (row, query) = (vec![code; 65536], vec![query; 65536]);
            let mut out = [0];
            (kernels.scan_codes)(&query, &row, &mut out);
            assert_eq!(out[0], 65536 * i32::from(code) * i32::from(query[0]), "{}", kernels.name);
            let signed = i32::from(code) - 128;
            assert_eq!((kernels.dot_codes)(&row, &row), 65536 * signed * signed, "{}", kernels.name);
        }
    }
}

proptest! {
    #[test]
    fn codes_give_the_same_whole_numbers_everywhere(
        blocks in 0usize..8,
        rest in 0usize..3,
        bytes in proptest::collection::vec(any::<u8>(), 4000),
        rows in proptest::collection::vec(0u32..9, 0..20),
        offset in 0usize..64,
    ) {
        // The rest is no whole block; nobody may read it.
        let length = blocks * CODE_BLOCK + rest;
        let query: Vec<i8> = bytes[offset..offset + length].iter().map(|&b| b as i8).collect();
        let codes = &bytes[offset..];
        let (mut expected, mut found) = (vec![0; rows.len()], vec![0; rows.len()]);
        (scalar::KERNELS.gather_codes)(&query, codes, &rows, &mut expected);
        let mut scanned = vec![7; 5];
        (scalar::KERNELS.scan_codes)(&query, codes, &mut scanned);
        for kernels in available() {
            (kernels.gather_codes)(&query, codes, &rows, &mut found);
            prop_assert_eq!(&found, &expected, "{}", kernels.name);
            let (a, b) = (&codes[..length], &codes[length..2 * length]);
            prop_assert_eq!((kernels.dot_codes)(a, b), (scalar::KERNELS.dot_codes)(a, b), "{}", kernels.name);
            let mut out = vec![7; 5];
            (kernels.scan_codes)(&query, codes, &mut out);
            prop_assert_eq!(&out, &scanned, "{}", kernels.name);
        }
    }
}

proptest! {
    #[test]
    fn signs_give_the_same_whole_numbers_everywhere(
        lines in 0usize..4,
        words in proptest::collection::vec(any::<u64>(), 300),
        rows in proptest::collection::vec(0u32..9, 0..20),
    ) {
        let (planes, data) = words.split_at(lines * LINE_WORDS * PLANES);
        let mut expected = vec![0; rows.len()];
        (scalar::KERNELS.sign_sums)(planes, data, &rows, &mut expected);
        for (&row, &sum) in rows.iter().zip(&expected) {
            let stride = lines * LINE_WORDS;
            let bits = data.get(row as usize * stride..).and_then(|data| data.get(..stride));
            let weigh = |row: &[u64]| (0..stride * PLANES).map(|at| {
                u64::from((planes[at] & row[at % stride]).count_ones()) << (at / stride)
            }).sum::<u64>();
            prop_assert_eq!(u64::from(sum), bits.map_or(u64::from(u32::MAX), weigh));
        }
        for kernels in available() {
            let mut found = vec![0; rows.len()];
            (kernels.sign_sums)(planes, data, &rows, &mut found);
            prop_assert_eq!(&found, &expected, "{}", kernels.name);
        }
    }
}

proptest! {
    #[test]
    fn the_same_rows_are_sifted_everywhere(
        lines in 1usize..4,
        words in proptest::collection::vec(any::<u64>(), 400),
        tails in proptest::collection::vec((-1f32..1.0, -0.1f32..0.1, any::<u32>()), 9),
        rows in proptest::collection::vec(0u32..9, 0..40),
        before in 0usize..5,
        wanted in -1f32..1.0,
    ) {
        let stride = lines * LINE_WORDS;
        let (planes, data) = words.split_at(stride * PLANES);
        let (mut data, tail_at) = (data.to_vec(), stride - 2);
        for (row, &(along, factor, positive)) in data.chunks_exact_mut(stride).zip(&tails) {
            row[tail_at..].copy_from_slice(&SignTail { along, factor, positive }.words());
        }
        let test = SignTest { planes, tail_at, per_sum: 1e-3, per_positive: -1e-9, rest: 0.1, wanted };
        let mut sums = vec![0; rows.len()];
        (scalar::KERNELS.sign_sums)(planes, &data, &rows, &mut sums);
        let judged = before.min(rows.len())..rows.len();
        let good = |at: &usize| test.tail(&data, rows[*at]).is_none_or(|tail| {
            test.estimate(sums[*at], SignTail::of(tail)) >= wanted
        });
        let expected: Vec<u32> = judged.clone().filter(good).map(|at| rows[at]).collect();
        for kernels in available() {
            for kept in [0, judged.start] {
                let mut sifted = rows.clone();
                let end = (kernels.sift)(&test, &data, &mut sifted, judged.clone(), kept);
                prop_assert_eq!(&sifted[kept..end], &expected, "{}", kernels.name);
                prop_assert_eq!(&sifted[..kept], &rows[..kept], "{}", kernels.name);
            }
        }
    }
}

#[test]
fn the_plain_one_is_always_there() {
    assert_eq!(available().last().map(|k| k.name), Some("scalar"));
    assert_eq!(instruction_set(), available()[0].name);
}
