//! Chunks below the minimum size.

use std::ops::Range;

use super::{ChunkerConfig, Small};
use crate::sizer::Measured;

/// Drops small chunks, or joins each with the neighbour before it, else with the one after it.
pub(super) fn mend(
    measured: &Measured<'_>,
    ranges: Vec<Range<usize>>,
    config: &ChunkerConfig,
) -> Vec<Range<usize>> {
    let is_small = |range: &Range<usize>| measured.size(range) < config.min_size;
    if config.small == Small::Drop {
        return ranges.into_iter().filter(|range| !is_small(range)).collect();
    }
    let mut kept: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match kept.last_mut() {
            Some(last)
                if (is_small(last) || is_small(&range))
                    && measured.size(&(last.start..range.end)) <= config.size =>
            {
                last.end = range.end;
            }
            _ => kept.push(range),
        }
    }
    kept
}
