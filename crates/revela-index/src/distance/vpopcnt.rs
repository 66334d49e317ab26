//! Rows of signs with AVX-512's counting of bits: servers since 2019, and desktops since 2022.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::halves;
use super::gather::{gather_fours, row_of};
use super::sift::{SignTest, sift_by};
use super::{LINE_WORDS, PLANES};

/// Planes of a query, in lines.
type Planes<'a> = [&'a [[u64; LINE_WORDS]]; PLANES];

#[inline(always)]
fn split(planes: &[u64]) -> Planes<'_> {
    let (lines, _) = planes.as_chunks::<LINE_WORDS>();
    let (low, high) = lines.split_at(lines.len() / 2);
    let ((p, q), (r, s)) = (low.split_at(low.len() / 2), high.split_at(high.len() / 2));
    [p, q, r, s]
}

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
pub(super) fn sign_sums(planes: &[u64], data: &[u64], rows: &[u32], out: &mut [u32]) {
    let (stride, planes) = (planes.len() / PLANES, split(planes));
    let one = |row: &[u64]| _mm512_reduce_add_epi64(weigh(row, planes)) as u32;
    let four = |rows: [&[u64]; 4]| {
        let mut out = [0; 4];
        // SAFETY: four numbers of four bytes are as many as are written.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), weigh_four(rows, planes)) };
        out
    };
    gather_fours(stride, data, rows, out, u32::MAX, (one, four));
}

#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq")]
pub(super) fn sift(
    test: &SignTest<'_>,
    data: &[u64],
    rows: &mut [u32],
    judged: Range<usize>,
    mut kept: usize,
) -> usize {
    let (stride, planes) = (test.stride(), split(test.planes));
    let fours = if test.tail_at + 2 <= stride { judged.len() / 4 } else { 0 };
    let end = judged.start + 4 * fours;
    for at in (judged.start..end).step_by(4) {
        let ids = [rows[at], rows[at + 1], rows[at + 2], rows[at + 3]];
        let [a, b, c, d] = ids;
        let found = [
            row_of(data, a, stride),
            row_of(data, b, stride),
            row_of(data, c, stride),
            row_of(data, d, stride),
        ];
        let [Some(a), Some(b), Some(c), Some(d)] = found else {
            kept = sift_by(sign_sums_anywhere, test, data, rows, at..at + 4, kept);
            continue;
        };
        let wanted = judge_four(test, [a, b, c, d], planes);
        // Those that are wanted, first, and how many they are.
        // SAFETY: four numbers are read, and written where `kept` stands, which is not behind them.
        unsafe {
            let ids = _mm_loadu_si128(ids.as_ptr().cast());
            let chosen = _mm_maskz_compress_epi32(wanted, ids);
            _mm_storeu_si128(rows[kept..kept + 4].as_mut_ptr().cast(), chosen);
        }
        kept += wanted.count_ones() as usize;
    }
    sift_by(sign_sums_anywhere, test, data, rows, end..judged.end, kept)
}

/// For those that call it through [`sift`], which needs the same instructions.
fn sign_sums_anywhere(planes: &[u64], data: &[u64], rows: &[u32], out: &mut [u32]) {
    // SAFETY: whoever calls `sift` has the same instructions.
    unsafe { sign_sums(planes, data, rows, out) };
}

/// Which of four rows are wanted, one bit each.
#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq")]
#[inline]
fn judge_four(test: &SignTest<'_>, rows: [&[u64]; 4], planes: Planes<'_>) -> __mmask8 {
    let sums = _mm_cvtepi32_ps(weigh_four(rows, planes));
    let [a, b, c, d] = rows;
    let [a, b, c, d] =
        [tail(a, test.tail_at), tail(b, test.tail_at), tail(c, test.tail_at), tail(d, test.tail_at)];
    let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
    let (along, factor) = (_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
    let positive = _mm_movelh_ps(_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
    let positive = _mm_cvtepi32_ps(_mm_castps_si128(positive));
    let [per_sum, per_positive] = [_mm_set1_ps(test.per_sum), _mm_set1_ps(test.per_positive)];
    let product = _mm_add_ps(_mm_mul_ps(per_sum, sums), _mm_mul_ps(per_positive, positive));
    let product = _mm_add_ps(product, _mm_set1_ps(test.rest));
    let estimate = _mm_add_ps(along, _mm_mul_ps(factor, product));
    _mm_cmp_ps_mask::<_CMP_NLT_UQ>(estimate, _mm_set1_ps(test.wanted))
}

/// The tail of a row, whose length was checked to hold one.
#[target_feature(enable = "avx512f")]
#[inline]
fn tail(row: &[u64], at: usize) -> __m128 {
    let words = &row[at..at + 2];
    // SAFETY: two words are as many bytes as are read.
    unsafe { _mm_loadu_ps(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[inline]
fn weigh_four([a, b, c, d]: [&[u64]; 4], planes: Planes<'_>) -> __m128i {
    // Rows of one line, whose planes stay in registers.
    if let ([[a], [b], [c], [d]], [[p], [q], [r], [s]]) = ([lines(a), lines(b), lines(c), lines(d)], planes) {
        let planes = [load(p), load(q), load(r), load(s)];
        return add_four([
            weigh_line(a, planes),
            weigh_line(b, planes),
            weigh_line(c, planes),
            weigh_line(d, planes),
        ]);
    }
    add_four([weigh(a, planes), weigh(b, planes), weigh(c, planes), weigh(d, planes)])
}

#[inline(always)]
fn lines(row: &[u64]) -> &[[u64; LINE_WORDS]] {
    row.as_chunks().0
}

/// The parts of a weighted sum.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[inline]
fn weigh(row: &[u64], [p, q, r, s]: Planes<'_>) -> __m512i {
    let (row, _) = row.as_chunks::<LINE_WORDS>();
    let mut sum = _mm512_setzero_si512();
    for (line, ((p, q), (r, s))) in row.iter().zip(p.iter().zip(q).zip(r.iter().zip(s))) {
        sum = _mm512_add_epi64(sum, weigh_line(line, [load(p), load(q), load(r), load(s)]));
    }
    sum
}

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[inline]
fn weigh_line(line: &[u64; LINE_WORDS], planes: [__m512i; PLANES]) -> __m512i {
    let (row, [a, b, c, d]) = (load(line), planes);
    let [a, b, c, d] = [common(row, a), common(row, b), common(row, c), common(row, d)];
    let (low, high) =
        (_mm512_add_epi64(a, _mm512_add_epi64(b, b)), _mm512_add_epi64(c, _mm512_add_epi64(d, d)));
    _mm512_add_epi64(low, _mm512_slli_epi64::<2>(high))
}

/// Counts the ones that both have in each word.
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
#[inline]
fn common(a: __m512i, b: __m512i) -> __m512i {
    _mm512_popcnt_epi64(_mm512_and_si512(a, b))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(line: &[u64; LINE_WORDS]) -> __m512i {
    // SAFETY: a line has 64 bytes.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

/// Adds up the parts of each of four sums, which need no more than half of their 64 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_four([a, b, c, d]: [__m512i; 4]) -> __m128i {
    let ab = halves(_mm512_or_si512(a, _mm512_slli_epi64::<32>(b)));
    let cd = halves(_mm512_or_si512(c, _mm512_slli_epi64::<32>(d)));
    let sums = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
}
