//! The bytes of a shard file, version 1.
//!
//! All numbers are little-endian. The file begins with a fixed header of 192 bytes:
//!
//! | at | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `RVLSHARD` |
//! | 8 | 4 | version |
//! | 12 | 4 | number of sections |
//! | 16 | 4 | dim, 0 where the rows have no vectors |
//! | 20 | 4 | count |
//! | 24 | 1 | kind: 0 flat, 1 HNSW |
//! | 25 | 1 | metric: 0 cosine, 1 dot |
//! | 26 | 1 | type of the vectors: 0 f32, 1 f16 |
//! | 27 | 1 | type of the codes: 0 none, 1 int8 with a scale per vector |
//! | 28 | 4 | M |
//! | 32 | 4 | ef_construction |
//! | 36 | 4 | slots for neighbours at level 0 |
//! | 40 | 4 | entry point: a place among the upper nodes, or a node where there are none |
//! | 44 | 4 | levels above level 0 |
//! | 48 | 8 | seed |
//! | 56 | 8 | length of the file |
//! | 64 | 64 | encoder fingerprint, zeros where there is none |
//! | 128 | 4 | length of the longest vector as f32, 0 without codes |
//! | 132 | 4 | usual error of estimates by the beginnings of vectors as f32, 0 where none are made |
//! | 136 | 56 | zeros |
//!
//! Then the section table, 96 bytes each: kind (4), zeros (4), offset (8), length (8), BLAKE3 of the
//! section (64), zeros (8). Then the BLAKE3 of all of that (64). Checksums are hexadecimal digits. Sections
//! follow in the order of the table, each aligned (to a page if it is large); between them are zeros, after
//! the last is nothing.

use std::ops::Range;

use revela_base::checksum::Checksum;

use super::section::Section;
use crate::codes::MOST_DIMENSIONS;
use crate::hnsw::MOST_NODES;
use crate::metric::Metric;
use crate::vectors::Dtype;

pub(crate) const FORMAT: &str = "revela.shard";
pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"RVLSHARD";
const FIXED: usize = 192;
/// Where the length of the longest vector stands.
const LONGEST: usize = 128;
/// Where the usual error of beginnings stands.
const HEAD_ERROR: usize = 132;
const ENTRY: usize = 96;
/// Hexadecimal digits of a checksum.
const DIGEST: usize = 64;
/// More sections than any version has; keeps a damaged count from asking for much memory.
const MOST_SECTIONS: usize = 64;

/// How a shard is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every vector is compared.
    Flat,
    /// A graph leads to the near ones.
    Graph(GraphHeader),
}

/// What the header says of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GraphHeader {
    pub(crate) m: u32,
    pub(crate) ef_construction: u32,
    pub(crate) slots: u32,
    pub(crate) entry: u32,
    pub(crate) levels: u32,
}

/// More than any graph has; keeps forged numbers from costing time.
const MOST_LEVELS: u32 = 64;
const MOST_SLOTS: u32 = 1 << 12;

/// The header's fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) metric: Metric,
    pub(crate) dtype: Dtype,
    /// The length of the longest vector, where there are codes.
    pub(crate) coded: Option<f32>,
    /// See [`crate::heads`]; where walks read full vectors whose beginnings tell something.
    pub(crate) head_error: Option<f32>,
    pub(crate) dim: u32,
    pub(crate) count: u32,
    pub(crate) seed: u64,
    pub(crate) encoder: Option<Checksum>,
}

/// One line of the section table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) section: Section,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) checksum: Checksum,
}

/// Header, section table, and the checksum over both, which stands for the whole file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
    pub(crate) file_length: u64,
}

/// Why bytes are not a shard's layout.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LayoutError {
    /// Another kind of file.
    Foreign(String),
    /// A version that is not read.
    Version(u32),
    /// Damage.
    Damaged(String),
}

fn damaged<T>(detail: impl Into<String>) -> Result<T, LayoutError> {
    Err(LayoutError::Damaged(detail.into()))
}

/// Where a section that follows byte `end` begins.
fn aligned(end: u64, length: u64) -> u64 {
    let alignment = if length >= 1 << 20 { 4096 } else { 64 };
    end.next_multiple_of(alignment)
}

fn table_end(sections: usize) -> usize {
    FIXED + ENTRY * sections + DIGEST
}

impl Layout {
    /// Lays sections of these lengths and checksums out.
    pub(crate) fn plan(header: Header, sections: &[(Section, u64, Checksum)]) -> Self {
        let mut end = table_end(sections.len()) as u64;
        let mut entries = Vec::with_capacity(sections.len());
        for &(section, length, checksum) in sections {
            let offset = aligned(end, length);
            end = offset + length;
            entries.push(Entry { section, offset, length, checksum });
        }
        Self { header, entries, file_length: end }
    }

    /// The bytes at the beginning of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = &self.header;
        let mut out = Vec::with_capacity(table_end(self.entries.len()));
        out.extend_from_slice(MAGIC);
        for number in [VERSION, self.entries.len() as u32, header.dim, header.count] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let (kind, graph) = match header.kind {
            Kind::Flat => (0, [0; 5]),
            Kind::Graph(g) => (1, [g.m, g.ef_construction, g.slots, g.entry, g.levels]),
        };
        let metric = match header.metric {
            Metric::Cosine => 0,
            Metric::Dot => 1,
        };
        let dtype = match header.dtype {
            Dtype::F32 => 0,
            Dtype::F16 => 1,
        };
        out.extend_from_slice(&[kind, metric, dtype, header.coded.is_some().into()]);
        graph.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        out.extend_from_slice(&header.seed.to_le_bytes());
        out.extend_from_slice(&self.file_length.to_le_bytes());
        out.extend_from_slice(header.encoder.map(|c| c.to_string()).unwrap_or_default().as_bytes());
        out.resize(LONGEST, 0);
        out.extend_from_slice(&header.coded.unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&header.head_error.unwrap_or_default().to_le_bytes());
        out.resize(FIXED, 0);
        for entry in &self.entries {
            out.extend_from_slice(&(entry.section as u32).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.length.to_le_bytes());
            out.extend_from_slice(entry.checksum.to_string().as_bytes());
            out.extend_from_slice(&[0; 8]);
        }
        let checksum = Checksum::of(&out);
        out.extend_from_slice(checksum.to_string().as_bytes());
        out
    }

    /// Reads and checks the beginning of a file. The sections themselves are not looked at, but they are
    /// inside the file, in order, and disjoint.
    pub(crate) fn decode(file: &[u8]) -> Result<Self, LayoutError> {
        let fixed = file.get(..FIXED).ok_or_else(|| LayoutError::Foreign("it is too short".into()))?;
        if fixed[..8] != *MAGIC {
            return Err(LayoutError::Foreign("it does not begin like one".into()));
        }
        let version = u32_at(fixed, 8);
        if version != VERSION {
            return Err(LayoutError::Version(version));
        }
        let sections = u32_at(fixed, 12) as usize;
        let end = table_end(sections.min(MOST_SECTIONS));
        let (Some(table), true) = (file.get(..end), sections <= MOST_SECTIONS) else {
            return damaged(format!("it is too short for its {sections} sections"));
        };
        let (covered, checksum) = table.split_at(end - DIGEST);
        if decode_checksum(checksum) != Some(Checksum::of(covered)) {
            return damaged("the checksum of its header does not match");
        }
        let layout = Self {
            header: decode_header(fixed)?,
            entries: covered[FIXED..].chunks_exact(ENTRY).map(decode_entry).collect::<Result<_, _>>()?,
            file_length: u64_at(fixed, 56),
        };
        layout.check(file.len() as u64)?;
        Ok(layout)
    }

    fn check(&self, actual: u64) -> Result<(), LayoutError> {
        if self.file_length != actual {
            return damaged(format!("it has {actual} bytes where its header says {}", self.file_length));
        }
        // The checksum has matched, so this can only fail for a file that was made to deceive.
        let plan: Vec<_> = self.entries.iter().map(|e| (e.section, e.length, e.checksum)).collect();
        let total = plan.iter().try_fold(0u64, |sum, &(_, length, _)| sum.checked_add(length));
        if total.is_none_or(|total| total > actual) || Self::plan(self.header.clone(), &plan) != *self {
            return damaged("its sections are not where they should be");
        }
        let distinct = |a: &Entry, b: &Entry| a.section < b.section;
        if !self.entries.is_sorted_by(distinct) {
            return damaged("its sections are out of order");
        }
        Ok(())
    }

    /// A section's place in the file.
    pub(crate) fn range(&self, section: Section) -> Option<Range<usize>> {
        let entry = self.entries.iter().find(|entry| entry.section == section)?;
        let start = usize::try_from(entry.offset).ok()?;
        Some(start..start.checked_add(usize::try_from(entry.length).ok()?)?)
    }

    /// The checksum by which a manifest knows this file.
    pub(crate) fn identity(&self) -> Checksum {
        Checksum::of(&self.encode())
    }
}

fn decode_header(fixed: &[u8]) -> Result<Header, LayoutError> {
    let kind = match fixed[24] {
        0 => Kind::Flat,
        1 => Kind::Graph(decode_graph(fixed)?),
        other => return damaged(format!("it has the unknown kind {other}")),
    };
    let metric = match fixed[25] {
        0 => Metric::Cosine,
        1 => Metric::Dot,
        other => return damaged(format!("it has the unknown metric {other}")),
    };
    let dtype = match fixed[26] {
        0 => Dtype::F32,
        1 => Dtype::F16,
        other => return damaged(format!("its vectors have the unknown type {other}")),
    };
    let longest = f32::from_bits(u32_at(fixed, LONGEST));
    let coded = match fixed[27] {
        0 => None,
        1 if longest.is_finite() && longest >= 0.0 => Some(longest),
        _ => return damaged("its codes have an unknown type"),
    };
    let head_error = f32::from_bits(u32_at(fixed, HEAD_ERROR));
    let encoder = &fixed[64..128];
    let has_encoder = encoder.iter().any(|&byte| byte != 0);
    let header = Header {
        kind,
        metric,
        dtype,
        coded,
        head_error: Some(head_error).filter(|error| error.is_finite() && *error > 0.0),
        dim: u32_at(fixed, 16),
        count: u32_at(fixed, 20),
        seed: u64_at(fixed, 48),
        encoder: decode_checksum(encoder),
    };
    if has_encoder != header.encoder.is_some() {
        return damaged("its encoder fingerprint is none");
    }
    if header.count == 0 || header.dim as usize > MOST_DIMENSIONS {
        return damaged("it claims to have no rows, or rows of an impossible length");
    }
    Ok(header)
}

fn decode_graph(fixed: &[u8]) -> Result<GraphHeader, LayoutError> {
    let [m, ef_construction, slots, entry, levels] = [28, 32, 36, 40, 44].map(|at| u32_at(fixed, at));
    let plausible = |slots: u32| (1..=MOST_SLOTS).contains(&slots);
    if !plausible(m) || !plausible(slots) || levels > MOST_LEVELS || u32_at(fixed, 20) > MOST_NODES {
        return damaged("its graph has an impossible size");
    }
    Ok(GraphHeader { m, ef_construction, slots, entry, levels })
}

fn decode_entry(bytes: &[u8]) -> Result<Entry, LayoutError> {
    let number = u32_at(bytes, 0);
    let Some(section) = Section::from_number(number) else {
        return damaged(format!("it has a section of the unknown kind {number}"));
    };
    let Some(checksum) = decode_checksum(&bytes[24..24 + DIGEST]) else {
        return damaged(format!("the checksum of its {} is none", section.name()));
    };
    Ok(Entry { section, offset: u64_at(bytes, 8), length: u64_at(bytes, 16), checksum })
}

fn decode_checksum(digits: &[u8]) -> Option<Checksum> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Four bytes at a constant offset inside a fixed part.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

/// Makes the header's checksum match whatever the header now says.
#[cfg(test)]
pub(crate) fn reseal(file: &mut [u8]) {
    let end = table_end((u32_at(file, 12) as usize).min(MOST_SECTIONS));
    if end <= file.len() {
        let checksum = Checksum::of(&file[..end - DIGEST]).to_string();
        file[end - DIGEST..end].copy_from_slice(checksum.as_bytes());
    }
}
