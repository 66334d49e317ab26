//! Writing a shard file.

use std::path::Path;

use revela_base::checksum::Checksum;
use revela_base::file::write_atomic;

use super::format::{Header, Kind, Layout, Section};
use crate::error::Error;
use crate::metric::Metric;
use crate::vectors::Rows;

/// What a shard is made of. Rows are already as the metric wants them.
pub(crate) struct ShardInput<'a> {
    pub(crate) metric: Metric,
    /// Nothing for rows that have only a text.
    pub(crate) rows: Option<Rows<'a>>,
    /// One id per row.
    pub(crate) ids: &'a [String],
    pub(crate) seed: u64,
    pub(crate) encoder: Option<Checksum>,
}

impl ShardInput<'_> {
    /// Writes the file and returns the checksum that stands for it.
    pub(crate) fn write(&self, path: &Path) -> Result<Checksum, Error> {
        let count = self.checked_count()?;
        let ids = IdSections::new(self.ids)?;
        let mut sections: Vec<(Section, &[u8])> = Vec::new();
        if let Some(rows) = self.rows {
            sections.push((Section::Vectors, bytemuck::cast_slice(rows.data())));
        }
        sections.extend([
            (Section::IdOffsets, bytemuck::cast_slice(&ids.offsets)),
            (Section::IdBytes, ids.bytes.as_slice()),
            (Section::IdOrder, bytemuck::cast_slice(&ids.order)),
        ]);
        let header = Header {
            kind: Kind::Flat,
            metric: self.metric,
            dim: self.rows.map_or(0, |rows| rows.dim() as u32),
            count,
            seed: self.seed,
            encoder: self.encoder,
        };
        write_sections(path, header, &sections)
    }

    fn checked_count(&self) -> Result<u32, Error> {
        let wrong = |detail: String| Err(Error::Shape { what: "a shard".to_owned(), detail });
        if let Some(rows) = self.rows.filter(|rows| rows.len() != self.ids.len()) {
            return wrong(format!("{} ids for {} rows", self.ids.len(), rows.len()));
        }
        match u32::try_from(self.ids.len()) {
            Ok(count) if (1..u32::MAX).contains(&count) => Ok(count),
            _ => wrong(format!("{} rows; a shard holds 1 to {}", self.ids.len(), u32::MAX - 1)),
        }
    }
}

/// Lays the sections out and writes them; returns the layout's checksum.
fn write_sections(path: &Path, header: Header, sections: &[(Section, &[u8])]) -> Result<Checksum, Error> {
    let described: Vec<_> =
        sections.iter().map(|(section, bytes)| (*section, bytes.len() as u64, Checksum::of(bytes))).collect();
    let layout = Layout::plan(header, &described);
    write_atomic(path, |out| {
        let head = layout.encode();
        out.write_all(&head)?;
        let mut at = head.len() as u64;
        for ((_, bytes), entry) in sections.iter().zip(&layout.entries) {
            out.write_all(&vec![0; (entry.offset - at) as usize])?;
            out.write_all(bytes)?;
            at = entry.offset + entry.length;
        }
        Ok(())
    })?;
    Ok(layout.identity())
}

struct IdSections {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    order: Vec<u32>,
}

impl IdSections {
    fn new(ids: &[String]) -> Result<Self, Error> {
        let mut offsets = Vec::with_capacity(ids.len() + 1);
        let mut bytes = Vec::with_capacity(ids.iter().map(String::len).sum());
        offsets.push(0);
        for id in ids {
            bytes.extend_from_slice(id.as_bytes());
            let end = u32::try_from(bytes.len()).map_err(|_| Error::Shape {
                what: "a shard".to_owned(),
                detail: "its ids have more than 4 GB; use smaller shards".to_owned(),
            })?;
            offsets.push(end);
        }
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by(|&a, &b| ids[a as usize].as_bytes().cmp(ids[b as usize].as_bytes()));
        Ok(Self { offsets, bytes, order })
    }
}
