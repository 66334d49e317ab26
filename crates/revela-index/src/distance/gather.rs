//! Loops over the rows of a matrix that lie anywhere, and fetching them before.
#![allow(unsafe_code)]

/// Bytes that the processor fetches at once.
const LINE: usize = 64;

/// Compares given rows of a matrix, which whoever asks has fetched. Inlined into functions that are compiled
/// for an instruction set, so that `dot` is compiled for it too.
#[inline(always)]
pub(super) fn gather<T, O: Copy>(
    stride: usize,
    data: &[T],
    rows: &[u32],
    out: &mut [O],
    missing: O,
    dot: impl Fn(&[T]) -> O,
) {
    for (&row, out) in rows.iter().zip(out) {
        *out = row_of(data, row, stride).map_or(missing, &dot);
    }
}

/// As [`gather`], four rows at a time where there are as many: they share what is read of the query and
/// what it takes to add up a sum's parts.
#[inline(always)]
pub(super) fn gather_fours<T, O: Copy>(
    stride: usize,
    data: &[T],
    rows: &[u32],
    out: &mut [O],
    missing: O,
    (one, four): (impl Fn(&[T]) -> O, impl Fn([&[T]; 4]) -> [O; 4]),
) {
    let (fours, rest) = rows.as_chunks::<4>();
    let (out_of_fours, out_of_rest) = out.split_at_mut((4 * fours.len()).min(out.len()));
    for (four_rows, out) in fours.iter().zip(out_of_fours.chunks_exact_mut(4)) {
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
pub(super) fn row_of<T>(data: &[T], row: u32, stride: usize) -> Option<&[T]> {
    let start = row as usize * stride;
    data.get(start..start + stride)
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
