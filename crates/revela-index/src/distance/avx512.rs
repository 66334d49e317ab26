//! AVX-512: x86-64 servers since 2017, and many desktops; with VNNI since 2019.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::gather::{gather, gather_fours};
use super::{CODE_BIAS, CODE_BLOCK, Kernels, avx2, vpopcnt};

/// Without instructions for bytes, codes take AVX2's way.
static PLAIN: Kernels = Kernels {
    name: "avx512",
    // SAFETY (all entries): `available` hands these out only where the features were detected.
    dot: |a, b| unsafe { dot(a, b) },
    gather: |query, data, rows, out| unsafe { gather_f32(query, data, rows, out) },
    gather_f16: |query, data, rows, out| unsafe { gather_f16(query, data, rows, out) },
    dot_codes: avx2::KERNELS.dot_codes,
    gather_codes: avx2::KERNELS.gather_codes,
    scan_codes: avx2::KERNELS.scan_codes,
    sign_sums: avx2::KERNELS.sign_sums,
    sift: avx2::KERNELS.sift,
};

static VNNI: Kernels = Kernels {
    name: "avx512-vnni",
    dot: PLAIN.dot,
    gather: PLAIN.gather,
    gather_f16: PLAIN.gather_f16,
    // SAFETY (all entries): `with_vnni` hands these out only where the features were detected.
    dot_codes: |a, b| unsafe { dot_codes(a, b) },
    gather_codes: |query, codes, rows, out| unsafe { gather_codes(query, codes, rows, out) },
    scan_codes: |query, codes, out| unsafe { scan_codes(query, codes, out) },
    sign_sums: PLAIN.sign_sums,
    sift: PLAIN.sift,
};

static POPCNT: Kernels = Kernels {
    name: "avx512-vpopcnt",
    dot: VNNI.dot,
    gather: VNNI.gather,
    gather_f16: VNNI.gather_f16,
    dot_codes: VNNI.dot_codes,
    gather_codes: VNNI.gather_codes,
    scan_codes: VNNI.scan_codes,
    // SAFETY (all entries): `with_popcnt` hands these out only where the features were detected.
    sign_sums: |planes, data, rows, out| unsafe { vpopcnt::sign_sums(planes, data, rows, out) },
    sift: |test, data, rows, judged, kept| unsafe { vpopcnt::sift(test, data, rows, judged, kept) },
};

pub(super) fn available() -> Option<&'static Kernels> {
    (is_x86_feature_detected!("avx512f") && avx2::available().is_some()).then_some(&PLAIN)
}

pub(super) fn with_vnni() -> Option<&'static Kernels> {
    (is_x86_feature_detected!("avx512vnni") && available().is_some()).then_some(&VNNI)
}

pub(super) fn with_popcnt() -> Option<&'static Kernels> {
    let present = is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("avx512vl");
    (present && with_vnni().is_some()).then_some(&POPCNT)
}

#[target_feature(enable = "avx512f")]
fn gather_f32(query: &[f32], data: &[f32], rows: &[u32], out: &mut [f32]) {
    gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot(query, row));
}

#[target_feature(enable = "avx512f")]
fn gather_f16(query: &[f32], data: &[u16], rows: &[u32], out: &mut [f32]) {
    gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot_f16(query, row));
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn gather_codes(query: &[i8], codes: &[u8], rows: &[u32], out: &mut [i32]) {
    let one = |row: &[u8]| dot_query(row, query);
    let four = |rows: [&[u8]; 4]| dot_query_fours(rows, query);
    gather_fours(query.len(), codes, rows, out, i32::MIN, (one, four));
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn scan_codes(query: &[i8], codes: &[u8], out: &mut [i32]) {
    for (row, out) in codes.chunks_exact(query.len().max(1)).zip(out) {
        *out = dot_query(row, query);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let (blocks_a, rest_a) = a.as_chunks::<64>();
    let (blocks_b, rest_b) = b.as_chunks::<64>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has 64 numbers, and 16 * i + 16 <= 64.
            let (x, y) =
                unsafe { (_mm512_loadu_ps(a.as_ptr().add(16 * i)), _mm512_loadu_ps(b.as_ptr().add(16 * i))) };
            *sum = _mm512_fmadd_ps(x, y, *sum);
        }
    }
    for (a, b) in rest_a.chunks(16).zip(rest_b.chunks(16)) {
        let mask = ((1u32 << a.len()) - 1) as __mmask16;
        // SAFETY: both pieces have the same length of at most 16, and the mask has as many bits; numbers
        // outside the mask are not read.
        let (x, y) =
            unsafe { (_mm512_maskz_loadu_ps(mask, a.as_ptr()), _mm512_maskz_loadu_ps(mask, b.as_ptr())) };
        sums[0] = _mm512_fmadd_ps(x, y, sums[0]);
    }
    sum_f32(sums)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn dot_f16(query: &[f32], row: &[u16]) -> f32 {
    let length = query.len().min(row.len());
    let (blocks_a, rest_a) = query[..length].as_chunks::<64>();
    let (blocks_b, rest_b) = row[..length].as_chunks::<64>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a block has 64 numbers on both sides, and 16 * i + 16 <= 64.
            let (x, y) = unsafe {
                (_mm512_loadu_ps(a.as_ptr().add(16 * i)), _mm256_loadu_si256(b.as_ptr().add(16 * i).cast()))
            };
            *sum = _mm512_fmadd_ps(x, _mm512_cvtph_ps(y), *sum);
        }
    }
    for (a, b) in rest_a.chunks(16).zip(rest_b.chunks(16)) {
        let mask = ((1u32 << a.len()) - 1) as __mmask16;
        let mut halves = [0u16; 16];
        halves[..b.len()].copy_from_slice(b);
        // SAFETY: the mask has as many bits as `a` has numbers, and `halves` has 16 of two bytes.
        let (x, y) =
            unsafe { (_mm512_maskz_loadu_ps(mask, a.as_ptr()), _mm256_loadu_si256(halves.as_ptr().cast())) };
        sums[0] = _mm512_fmadd_ps(x, _mm512_cvtph_ps(y), sums[0]);
    }
    sum_f32(sums)
}

#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn sum_f32(sums: [__m512; 4]) -> f32 {
    let total = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    _mm512_reduce_add_ps(total)
}

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn dot_query(codes: &[u8], query: &[i8]) -> i32 {
    let (pairs_a, rest_a) = codes.as_chunks::<{ 2 * CODE_BLOCK }>();
    let (pairs_b, rest_b) = query.as_chunks::<{ 2 * CODE_BLOCK }>();
    let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (a, b) in pairs_a.iter().zip(pairs_b) {
        // SAFETY: both pairs of blocks have 128 bytes.
        let [a, b, c, d] = unsafe {
            let (codes, query) = (a.as_ptr(), b.as_ptr());
            let (later_codes, later_query) = (codes.add(CODE_BLOCK), query.add(CODE_BLOCK));
            [codes, query.cast(), later_codes, later_query.cast()].map(|p| _mm512_loadu_si512(p.cast()))
        };
        even = _mm512_dpbusd_epi32(even, a, b);
        odd = _mm512_dpbusd_epi32(odd, c, d);
    }
    if let (Some(a), Some(b)) = (rest_a.first_chunk::<CODE_BLOCK>(), rest_b.first_chunk::<CODE_BLOCK>()) {
        // SAFETY: both blocks have 64 bytes.
        let (a, b) =
            unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        even = _mm512_dpbusd_epi32(even, a, b);
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd))
}

/// As [`dot_query`] for four rows, which must not be shorter than the query.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn dot_query_fours(rows: [&[u8]; 4], query: &[i8]) -> [i32; 4] {
    let (query, _) = query.as_chunks::<CODE_BLOCK>();
    let [a, b, c, d] = rows;
    let rows = a.as_chunks::<CODE_BLOCK>().0.iter().zip(b.as_chunks::<CODE_BLOCK>().0);
    let others = c.as_chunks::<CODE_BLOCK>().0.iter().zip(d.as_chunks::<CODE_BLOCK>().0);
    let mut sums = [_mm512_setzero_si512(); 4];
    for (query, ((a, b), (c, d))) in query.iter().zip(rows.zip(others)) {
        // SAFETY: the block has 64 bytes.
        let y = unsafe { _mm512_loadu_si512(query.as_ptr().cast()) };
        for (sum, block) in sums.iter_mut().zip([a, b, c, d]) {
            // SAFETY: the block has 64 bytes.
            let x = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            *sum = _mm512_dpbusd_epi32(*sum, x, y);
        }
    }
    // No closures: they would not be compiled into a function for these instructions.
    let [a, b, c, d] = [halves(sums[0]), halves(sums[1]), halves(sums[2]), halves(sums[3])];
    // Adding neighbours twice leaves a quarter of each sum in either half.
    let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let mut out = [0; 4];
    // SAFETY: four numbers of four bytes are as many as are written.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
    out
}

/// Adds the halves of 16 numbers.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn halves(sum: __m512i) -> __m256i {
    _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum))
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_codes(a: &[u8], b: &[u8]) -> i32 {
    let (blocks_a, _) = a.as_chunks::<CODE_BLOCK>();
    let (blocks_b, _) = b.as_chunks::<CODE_BLOCK>();
    let bias = _mm512_set1_epi8(CODE_BIAS as i8);
    let (mut products, mut biases) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        // SAFETY: both blocks have 64 bytes.
        let (x, y) =
            unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        // Flipping the highest bit takes 128 away and leaves a signed byte.
        let y = _mm512_xor_si512(y, bias);
        products = _mm512_dpbusd_epi32(products, x, y);
        biases = _mm512_dpbusd_epi32(biases, bias, y);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(products, biases))
}
