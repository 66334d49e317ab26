//! Plain Rust: what the others are tested against, and what runs where nothing better does.

use half::f16;

use super::gather::{gather, gather_fours};
use super::sift::sift_by;
use super::{CODE_BIAS, CODE_BLOCK, Kernels, PLANES};

/// Independent sums, so that the compiler may use whatever vectors the target has.
const LANES: usize = 16;

pub(super) static KERNELS: Kernels = Kernels {
    name: "scalar",
    dot,
    dot_codes,
    gather_codes: |query, codes, rows, out| {
        gather(query.len(), codes, rows, out, i32::MIN, |row| dot_query(row, query));
    },
    scan_codes: |query, codes, out| {
        for (row, out) in codes.chunks_exact(query.len().max(1)).zip(out) {
            *out = dot_query(row, query);
        }
    },
    sign_sums: |planes, data, rows, out| sign_sums_of(planes, data, rows, out),
    sift: |test, data, rows, judged, kept| sift_by(sign_sums_of, test, data, rows, judged, kept),
    gather: |query, data, rows, out| {
        gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot(query, row));
    },
    gather_f16: |query, data, rows, out| {
        gather(query.len(), data, rows, out, f32::NEG_INFINITY, |row| dot_f16(query, row));
    },
};

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    sums.iter().sum()
}

pub(super) fn dot_f16(query: &[f32], row: &[u16]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in query.chunks(LANES).zip(row.chunks(LANES)) {
        for (sum, (x, &y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * f16::from_bits(y).to_f32();
        }
    }
    sums.iter().sum()
}

fn whole_blocks(a: usize, b: usize) -> usize {
    a.min(b) / CODE_BLOCK * CODE_BLOCK
}

fn dot_codes(a: &[u8], b: &[u8]) -> i32 {
    let signed = |code: &u8| i32::from(*code) - i32::from(CODE_BIAS);
    let length = whole_blocks(a.len(), b.len());
    a.iter().zip(b).take(length).map(|(x, y)| signed(x) * signed(y)).sum()
}

fn dot_query(codes: &[u8], query: &[i8]) -> i32 {
    let length = whole_blocks(codes.len(), query.len());
    codes.iter().zip(query).take(length).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// Compiled for the instruction set of whoever calls it.
#[inline(always)]
pub(super) fn sign_sums_of(planes: &[u64], data: &[u64], rows: &[u32], out: &mut [u32]) {
    let one = |row: &[u64]| sign_sum(row, planes);
    gather_fours(planes.len() / PLANES, data, rows, out, u32::MAX, (one, |rows: [&[u64]; 4]| rows.map(one)));
}

#[inline(always)]
fn sign_sum(row: &[u64], planes: &[u64]) -> u32 {
    let ones = |plane: &[u64]| plane.iter().zip(row).map(|(a, b)| (a & b).count_ones()).sum::<u32>();
    (0..).zip(planes.chunks(row.len().max(1))).map(|(bit, plane)| ones(plane) << bit).sum()
}
