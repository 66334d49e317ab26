//! The kinds of sections of a shard file.

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Section {
    /// `count` x `dim` numbers; absent where `dim` is 0.
    Vectors = 1,
    /// `count` + 1 u32: where each row's id begins in `IdBytes`.
    IdOffsets = 2,
    /// The ids in row order, UTF-8.
    IdBytes = 3,
    /// `count` u32: the rows in ascending order of their ids' bytes.
    IdOrder = 4,
    /// `count` rows of one byte per number, its code plus 128, padded with 128 to a multiple of 64.
    Codes = 5,
    /// `count` pairs of f32: a row's scale, and the length of what its codes leave out.
    Scales = 6,
    /// `count` lists of `slots` numbers, of three bytes in shards of fewer than 2^24 rows and of four in
    /// larger ones: a node's neighbours on level 0; in unused slots all bits are set.
    Links = 7,
    /// Pairs of u32 for each node above level 0: the node, and its first list among the upper links.
    UpperNodes = 8,
    /// Lists of M u32, one per upper node and level above 0: places among the upper nodes.
    UpperLinks = 9,
    /// `count` + 1 u32: where each row's payload begins in `PayloadBytes`; absent where no row has one.
    PayloadOffsets = 10,
    /// The payloads in row order, JSON objects, nothing for empty ones; present where the offsets are.
    PayloadBytes = 11,
    /// `count` rows of one bit per number, then what estimates are made with; see [`crate::signs`].
    Signs = 12,
    /// What belongs to all rows of signs: `dim` + 1 f32; present where they are.
    SignFrame = 13,
    /// `count` u32: the row at each place. Codes, scales, signs and nodes count in places where there is an
    /// order, which only shards with a graph have; everything else is in row order. Without one, places
    /// are rows. See [`crate::row_order`].
    RowOrder = 14,
    /// `count` bits in words of 64, lowest first, then zeros: whether a place holds a copy of the row at the place before it, to
    /// which no link leads; absent where all rows differ. See [`crate::copies`].
    Copies = 15,
}

impl Section {
    const ALL: [Self; 15] = [
        Self::Vectors,
        Self::IdOffsets,
        Self::IdBytes,
        Self::IdOrder,
        Self::Codes,
        Self::Scales,
        Self::Links,
        Self::UpperNodes,
        Self::UpperLinks,
        Self::PayloadOffsets,
        Self::PayloadBytes,
        Self::Signs,
        Self::SignFrame,
        Self::RowOrder,
        Self::Copies,
    ];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|section| *section as u32 == number)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vectors => "vectors",
            Self::IdOffsets => "id offsets",
            Self::IdBytes => "ids",
            Self::IdOrder => "id order",
            Self::Codes => "codes",
            Self::Scales => "scales",
            Self::Links => "links",
            Self::UpperNodes => "upper nodes",
            Self::UpperLinks => "upper links",
            Self::PayloadOffsets => "payload offsets",
            Self::PayloadBytes => "payloads",
            Self::Signs => "signs",
            Self::SignFrame => "frame of the signs",
            Self::RowOrder => "row order",
            Self::Copies => "copies",
        }
    }
}
