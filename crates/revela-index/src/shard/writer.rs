//! Writing a shard file.

use std::path::Path;

use revela_base::checksum::Checksum;
use revela_base::file::write_atomic;

use super::format::{GraphHeader, Header, Kind, Layout};
use super::section::Section;
use crate::codes::Codes;
use crate::copies::{Copies, CopiesView};
use crate::error::Error;
use crate::heads::Heads;
use crate::hnsw::Graph;
use crate::lane::Parts;
use crate::metric::Metric;
use crate::payload::PayloadColumn;
use crate::recall::RecallCurve;
use crate::row_order::{RowOrder, RowOrderView};
use crate::signs::Signs;
use crate::vectors::{Dtype, Rows, StoredRows};

/// What a shard is made of. Rows are already as the metric wants them.
pub(crate) struct ShardInput<'a> {
    pub(crate) metric: Metric,
    /// Nothing for rows that have only a text.
    pub(crate) vectors: Option<ShardVectors<'a>>,
    /// One id per row.
    pub(crate) ids: &'a [String],
    /// One per row; nothing where rows have none.
    pub(crate) payloads: Option<&'a PayloadColumn>,
    pub(crate) seed: u64,
    pub(crate) encoder: Option<Checksum>,
}

/// The vectors of a shard and what makes searching them fast.
pub(crate) struct ShardVectors<'a> {
    pub(crate) rows: Rows<'a>,
    /// Rows were rounded to it before.
    pub(crate) dtype: Dtype,
    pub(crate) codes: Option<Codes>,
    /// Only beside codes.
    pub(crate) signs: Option<Signs>,
    /// Only where walks compare them in full.
    pub(crate) head_error: Option<f32>,
    pub(crate) graph: Option<Graph>,
    /// Where there is one, codes, signs and the graph are in it.
    pub(crate) order: Option<RowOrder>,
    /// Only beside a graph and an order.
    pub(crate) copies: Option<Copies>,
    /// What the graph finds; it goes into the manifest, where it can be measured anew.
    pub(crate) recall: Option<RecallCurve>,
}

impl<'a> ShardVectors<'a> {
    /// Vectors with nothing beside them.
    pub(crate) fn plain(rows: Rows<'a>, dtype: Dtype) -> Self {
        let (codes, signs, head_error, graph) = (None, None, None, None);
        let (order, copies, recall) = (None, None, None);
        Self { rows, dtype, codes, signs, head_error, graph, order, copies, recall }
    }

    /// What walks read, which compare these codes where there are some; nothing without a graph and an order.
    pub(crate) fn parts<'s>(&'s self, codes: Option<&'s Codes>) -> Option<Parts<'s>> {
        let codes = codes.map(Codes::view);
        Some(Parts {
            graph: self.graph.as_ref()?.view(),
            rows: StoredRows::F32(self.rows),
            order: RowOrderView::new(self.order.as_ref()?.places()),
            copies: self
                .copies
                .as_ref()
                .map_or_else(CopiesView::default, |copies| CopiesView::new(&copies.words)),
            codes: codes.map(|codes| match &self.signs {
                Some(signs) => codes.with_signs(signs.view()),
                None => codes,
            }),
            heads: self.head_error.map(|error| Heads::new(self.rows, error)),
        })
    }

    fn sections<'s>(&'s self, full: &'s [u8], links: &'s [u8]) -> Vec<(Section, &'s [u8])> {
        let mut sections = vec![(Section::Vectors, full)];
        if let Some(codes) = &self.codes {
            sections.push((Section::Codes, codes.data.as_slice()));
            sections.push((Section::Scales, bytemuck::cast_slice(&codes.scales)));
        }
        if let Some(signs) = &self.signs {
            sections.push((Section::Signs, bytemuck::cast_slice(&signs.data)));
            sections.push((Section::SignFrame, bytemuck::cast_slice(&signs.frame)));
        }
        if let Some(graph) = &self.graph {
            sections.push((Section::Links, links));
            sections.push((Section::UpperNodes, bytemuck::cast_slice(&graph.upper_nodes)));
            sections.push((Section::UpperLinks, bytemuck::cast_slice(&graph.upper_links)));
        }
        if let Some(order) = &self.order {
            sections.push((Section::RowOrder, bytemuck::cast_slice(order.places())));
        }
        if let Some(copies) = &self.copies {
            sections.push((Section::Copies, bytemuck::cast_slice(&copies.words)));
        }
        sections
    }

    fn kind(&self) -> Kind {
        match &self.graph {
            None => Kind::Flat,
            Some(graph) => Kind::Graph(GraphHeader {
                m: graph.upper_slots,
                ef_construction: graph.ef_construction,
                slots: graph.slots,
                entry: graph.entry,
                levels: graph.levels,
            }),
        }
    }
}

impl ShardInput<'_> {
    /// Writes the file and returns the checksum that stands for it.
    pub(crate) fn write(&self, path: &Path) -> Result<Checksum, Error> {
        let count = self.checked_count()?;
        let ids = IdSections::new(self.ids)?;
        let vectors = self.vectors.as_ref();
        let full = vectors.map(|vectors| vectors.dtype.bytes(vectors.rows.data()));
        let graph = vectors.and_then(|vectors| vectors.graph.as_ref());
        let links = graph.map(Graph::link_bytes).unwrap_or_default();
        let mut sections: Vec<(Section, &[u8])> = Vec::new();
        if let (Some(vectors), Some(full)) = (vectors, &full) {
            sections = vectors.sections(full, &links);
        }
        sections.extend([
            (Section::IdOffsets, bytemuck::cast_slice(&ids.offsets)),
            (Section::IdBytes, ids.bytes.as_slice()),
            (Section::IdOrder, bytemuck::cast_slice(&ids.order)),
        ]);
        let payloads = self.payloads.and_then(PayloadColumn::sections);
        if let Some((offsets, bytes)) = &payloads {
            sections.push((Section::PayloadOffsets, bytemuck::cast_slice(offsets)));
            sections.push((Section::PayloadBytes, bytes));
        }
        sections.sort_by_key(|(section, _)| *section);
        let header = Header {
            kind: vectors.map_or(Kind::Flat, ShardVectors::kind),
            metric: self.metric,
            dtype: vectors.map_or(Dtype::F32, |vectors| vectors.dtype),
            coded: vectors.and_then(|vectors| vectors.codes.as_ref()).map(|codes| codes.longest),
            head_error: vectors.and_then(|vectors| vectors.head_error),
            dim: vectors.map_or(0, |vectors| vectors.rows.dim() as u32),
            count,
            seed: self.seed,
            encoder: self.encoder,
        };
        write_sections(path, header, &sections)
    }

    fn checked_count(&self) -> Result<u32, Error> {
        let wrong = |detail: String| Err(Error::Shape { what: "a shard".to_owned(), detail });
        if let Some(vectors) = self.vectors.as_ref().filter(|vectors| vectors.rows.len() != self.ids.len()) {
            return wrong(format!("{} ids for {} rows", self.ids.len(), vectors.rows.len()));
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
