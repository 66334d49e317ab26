//! Loops over the rows of a matrix that lie anywhere, and fetching them ahead.
#![allow(unsafe_code)]

/// Rows between the one that is being compared and the one that is being fetched.
const AHEAD: usize = 16;

/// The same for rows that are compared four at a time, which are rows of bytes and so shorter.
#[cfg(target_arch = "x86_64")]
const AHEAD_OF_FOUR: usize = 32;

/// Bytes that the processor fetches at once.
const LINE: usize = 64;

/// Compares given rows of a matrix. Inlined into functions that are compiled for an instruction set, so
/// that `dot` is compiled for it too.
#[inline(always)]
pub(super) fn gather<T, O: Copy>(
    stride: usize,
    data: &[T],
    rows: &[u32],
    out: &mut [O],
    missing: O,
    dot: impl Fn(&[T]) -> O,
) {
    rows.iter().take(AHEAD).for_each(|&row| prefetch_row(data, row, stride));
    for (at, (&row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(&later) = rows.get(at + AHEAD) {
            prefetch_row(data, later, stride);
        }
        *out = row_of(data, row, stride).map_or(missing, &dot);
    }
}

/// As [`gather`], four rows at a time where there are as many: they share what is read of the query and
/// what it takes to add up a sum's parts.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn gather_fours<T, O: Copy>(
    stride: usize,
    data: &[T],
    rows: &[u32],
    out: &mut [O],
    missing: O,
    (one, four): (impl Fn(&[T]) -> O, impl Fn([&[T]; 4]) -> [O; 4]),
) {
    rows.iter().take(AHEAD_OF_FOUR).for_each(|&row| prefetch_row(data, row, stride));
    let ahead = |at: usize| {
        rows.iter().skip(4 * at + AHEAD_OF_FOUR).take(4).for_each(|&row| prefetch_row(data, row, stride));
    };
    in_fours(stride, data, rows, out, missing, ahead, (one, four));
}

/// Compares given rows of signs, four at a time. Whoever has many of them fetches them first.
#[inline(always)]
pub(super) fn signs(
    stride: usize,
    data: &[u64],
    rows: &[u32],
    out: &mut [u32],
    (one, four): (impl Fn(&[u64]) -> u32, impl Fn([&[u64]; 4]) -> [u32; 4]),
) {
    in_fours(stride, data, rows, out, u32::MAX, |_| (), (one, four));
}

/// Compares rows four at a time where there are as many; `ahead` hears of each four.
#[inline(always)]
fn in_fours<T, O: Copy>(
    stride: usize,
    data: &[T],
    rows: &[u32],
    out: &mut [O],
    missing: O,
    ahead: impl Fn(usize),
    (one, four): (impl Fn(&[T]) -> O, impl Fn([&[T]; 4]) -> [O; 4]),
) {
    let (fours, rest) = rows.as_chunks::<4>();
    let (out_of_fours, out_of_rest) = out.split_at_mut((4 * fours.len()).min(out.len()));
    for (at, (four_rows, out)) in fours.iter().zip(out_of_fours.chunks_exact_mut(4)).enumerate() {
        ahead(at);
        // `map` would not be compiled into a function for other instructions.
        let [a, b, c, d] = *four_rows;
        let found = [
            row_of(data, a, stride),
            row_of(data, b, stride),
            row_of(data, c, stride),
            row_of(data, d, stride),
        ];
        match found {
            [Some(a), Some(b), Some(c), Some(d)] => out.copy_from_slice(&four([a, b, c, d])),
            some => out.iter_mut().zip(some).for_each(|(out, row)| *out = row.map_or(missing, &one)),
        }
    }
    for (&row, out) in rest.iter().zip(out_of_rest) {
        *out = row_of(data, row, stride).map_or(missing, &one);
    }
}

#[inline(always)]
fn row_of<T>(data: &[T], row: u32, stride: usize) -> Option<&[T]> {
    let start = row as usize * stride;
    data.get(start..start + stride)
}

#[inline(always)]
fn prefetch_row<T>(data: &[T], row: u32, stride: usize) {
    prefetch(data, row as usize * stride, stride);
}

/// Asks for numbers `start..start + length` to be brought near. Harmless for numbers that don't exist.
#[inline(always)]
pub(crate) fn prefetch<T>(data: &[T], start: usize, length: usize) {
    let first = data.as_ptr().wrapping_add(start).cast::<u8>();
    let mut at = 0;
    while at < length * size_of::<T>() {
        prefetch_line(first.wrapping_add(at));
        at += LINE;
    }
}

/// Into the second-level cache. What is fetched into the first occupies the few buffers through which every
/// load passes that is not in it; walks took a third longer so.
#[inline(always)]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching ahead is a hint: it never faults and changes nothing, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
