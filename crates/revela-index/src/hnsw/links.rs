//! Lists of neighbours on the lowest level, in place.

use crate::distance::prefetch;

/// Fills the slots of a list that are not used; no node has this number.
pub(crate) const NONE: u32 = u32::MAX;

/// The same in three bytes.
const PACKED_NONE: u32 = (1 << 24) - 1;

/// Slots, as many per node as a graph has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Links<'a> {
    /// Four bytes each.
    Wide(&'a [u32]),
    /// Three bytes each, for graphs whose nodes' numbers fit.
    Packed(&'a [[u8; 3]]),
}

/// The bytes of slots in a file for this many nodes.
pub(crate) fn pack(links: &[u32], count: u32) -> Vec<u8> {
    if count > PACKED_NONE {
        return bytemuck::cast_slice(links).to_vec();
    }
    // The lowest three bytes of what fills unused slots are what fills them in three.
    links.iter().flat_map(|link| [*link as u8, (link >> 8) as u8, (link >> 16) as u8]).collect()
}

#[inline(always)]
pub(super) fn unpack(&[a, b, c]: &[u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

impl<'a> Links<'a> {
    /// So many slots, of a length that tells how wide they are; nothing for any other length.
    pub(crate) fn new(bytes: &'a [u8], slots: u64) -> Option<Self> {
        match bytes.len() as u64 {
            length if length == 3 * slots => Some(Self::Packed(bytes.as_chunks().0)),
            length if length == 4 * slots => bytemuck::try_cast_slice(bytes).ok().map(Self::Wide),
            _ => None,
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            Self::Wide(slots) => slots.len(),
            Self::Packed(slots) => slots.len(),
        }
    }

    /// The slots of a node, or none where there is no such node.
    #[inline]
    pub(super) fn list(self, node: u32, slots: u32) -> Self {
        let start = (node as usize).saturating_mul(slots as usize);
        let range = start..start.saturating_add(slots as usize);
        match self {
            Self::Wide(all) => Self::Wide(all.get(range).unwrap_or_default()),
            Self::Packed(all) => Self::Packed(all.get(range).unwrap_or_default()),
        }
    }

    /// What stands in the slots; what fills unused ones is no node.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        (0..self.len()).map_while(move |at| match self {
            Self::Wide(slots) => slots.get(at).copied(),
            Self::Packed(slots) => slots.get(at).map(unpack),
        })
    }

    /// Asks for these slots to be brought near.
    #[inline]
    pub(super) fn fetch(self) {
        match self {
            Self::Wide(slots) => prefetch(slots, 0, slots.len()),
            Self::Packed(slots) => prefetch(slots, 0, slots.len()),
        }
    }

    /// Whether a list holds nodes, of which there are `count`, and then nothing.
    pub(super) fn is_list(self, count: u32) -> bool {
        let none = match self {
            Self::Wide(_) => NONE,
            Self::Packed(_) => PACKED_NONE,
        };
        self.iter().skip_while(|&to| to < count).all(|to| to == none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_lists_are_the_lists(
            lists in proptest::collection::vec(proptest::collection::vec(0u32..PACKED_NONE, 0..5), 1..9),
        ) {
            let fill = |list: &Vec<u32>| list.iter().copied().chain(std::iter::repeat(NONE)).take(5).collect();
            let wide: Vec<u32> = lists.iter().flat_map(|list| -> Vec<u32> { fill(list) }).collect();
            let slots = wide.len() as u64;
            let (packed, whole) = (pack(&wide, PACKED_NONE), pack(&wide, PACKED_NONE + 1));
            prop_assert_eq!((packed.len(), whole.len()), (3 * wide.len(), 4 * wide.len()));
            let packed = Links::new(&packed, slots).unwrap();
            prop_assert!(matches!(packed, Links::Packed(_)));
            for (node, list) in (0u32..).zip(&lists) {
                for links in [packed, Links::Wide(&wide)] {
                    let found = links.list(node, 5);
                    prop_assert!(found.is_list(PACKED_NONE));
                    let nodes: Vec<u32> = found.iter().take_while(|&to| to < PACKED_NONE).collect();
                    prop_assert_eq!(&nodes, list);
                }
            }
            prop_assert_eq!(packed.list(9, 5).len(), 0);
            prop_assert_eq!(packed.list(u32::MAX, u32::MAX).len(), 0);
            prop_assert!(Links::new(&[0; 7], 2).is_none());
        }
    }

    #[test]
    fn lists_with_holes_or_strangers_are_told() {
        for (list, good) in
            [([1, 2, NONE], true), ([1, NONE, 2], false), ([1, 3, NONE], false), ([NONE; 3], true)]
        {
            assert_eq!(Links::Wide(&list).is_list(3), good, "{list:?}");
            let packed = pack(&list, 3);
            assert_eq!(Links::new(&packed, 3).unwrap().is_list(3), good, "{list:?}");
        }
    }
}
