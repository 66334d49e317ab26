//! Reading a shard in place.

use std::cmp::Ordering;
use std::path::Path;

use revela_base::checksum::Checksum;
use revela_base::file::FileError;

use super::format::{FORMAT, Header, Kind, Layout, LayoutError, VERSION};
use super::section::Section;
use crate::codes::{self, CodesView};
use crate::copies::{self, CopiesView};
use crate::heads::Heads;
use crate::hnsw::{GraphView, Links};
use crate::mmap::MappedFile;
use crate::payload::Payload;
use crate::row_order::RowOrderView;
use crate::signs::{self, SignsView};
use crate::vectors::{Dtype, Rows, StoredRows};

/// An opened shard. Its header and the places of its sections are checked; what the sections hold is
/// checked where it is used, and as a whole by [`verify`](Self::verify).
#[derive(Debug)]
pub(crate) struct Shard {
    file: MappedFile,
    layout: Layout,
}

impl Shard {
    /// Maps a file and checks its header.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = MappedFile::open(path)?;
        let layout = Layout::decode(file.bytes()).map_err(|error| file_error(path, error))?;
        let shard = Self { file, layout };
        shard.check_lengths()?;
        Ok(shard)
    }

    fn check_lengths(&self) -> Result<(), FileError> {
        for (section, length) in self.expected_lengths() {
            let found = self.layout.range(section).map(|range| range.len() as u64);
            if found != Some(length) {
                let name = section.name();
                let detail = format!("its {name} have {} bytes, not {length}", found.unwrap_or(0));
                return Err(self.damaged(detail));
            }
        }
        if self.layout.range(Section::IdBytes).is_none() {
            return Err(self.damaged("it has no ids"));
        }
        if self.layout.range(Section::PayloadOffsets).is_some() != self.has_payloads() {
            return Err(self.damaged("it has only a part of its payloads"));
        }
        if self.layout.range(Section::SignFrame).is_some() != self.has_signs() {
            return Err(self.damaged("it has only a part of its signs"));
        }
        if self.has_order() && !matches!(self.layout.header.kind, Kind::Graph(_)) {
            return Err(self.damaged("it has a row order without a graph"));
        }
        if self.has_copies() && !self.has_order() {
            return Err(self.damaged("it has copies without a row order"));
        }
        if matches!(self.layout.header.kind, Kind::Graph(_)) && self.graph().is_none() {
            return Err(self.damaged("its links have a length that no graph of its size has"));
        }
        let upper = [(Section::UpperNodes, 8), (Section::UpperLinks, 4)];
        if upper.iter().any(|&(section, size)| !self.bytes(section).len().is_multiple_of(size)) {
            return Err(self.damaged("its upper levels end within a number"));
        }
        Ok(())
    }

    /// Sections whose lengths follow from the header.
    fn expected_lengths(&self) -> Vec<(Section, u64)> {
        let header = &self.layout.header;
        let (count, dim) = (u64::from(header.count), u64::from(header.dim));
        let mut expected = vec![(Section::IdOffsets, 4 * (count + 1)), (Section::IdOrder, 4 * count)];
        if dim > 0 {
            expected.push((Section::Vectors, header.dtype.size() * count * dim));
        }
        if header.coded.is_some() {
            expected.push((Section::Codes, count * codes::stride(header.dim as usize) as u64));
            expected.push((Section::Scales, count * size_of::<codes::Scale>() as u64));
        }
        if self.has_payloads() {
            expected.push((Section::PayloadOffsets, 4 * (count + 1)));
        }
        if self.has_signs() {
            expected.push((Section::Signs, 8 * count * signs::stride(header.dim as usize) as u64));
            expected.push((Section::SignFrame, 4 * signs::frame_length(header.dim as usize) as u64));
        }
        if self.has_order() {
            expected.push((Section::RowOrder, 4 * count));
        }
        if self.has_copies() {
            expected.push((Section::Copies, 8 * copies::words(header.count as usize) as u64));
        }
        expected
    }

    fn damaged(&self, detail: impl Into<String>) -> FileError {
        FileError::corrupt(self.file.path(), detail)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.layout.header
    }

    pub(crate) fn len(&self) -> u32 {
        self.layout.header.count
    }

    /// The checksum by which a manifest knows this file.
    pub(crate) fn identity(&self) -> Checksum {
        self.layout.identity()
    }

    fn bytes(&self, section: Section) -> &[u8] {
        let range = self.layout.range(section).unwrap_or(0..0);
        self.file.bytes().get(range).unwrap_or_default()
    }

    /// A section as numbers. Sections are aligned, so the cast only fails for a misaligned mapping,
    /// which no system makes.
    fn numbers<T: bytemuck::AnyBitPattern>(&self, section: Section) -> &[T] {
        bytemuck::try_cast_slice(self.bytes(section)).unwrap_or_default()
    }

    /// The vectors, where the rows have some.
    pub(crate) fn rows(&self) -> Option<StoredRows<'_>> {
        let header = &self.layout.header;
        let dim = header.dim as usize;
        if dim == 0 {
            return None;
        }
        match header.dtype {
            Dtype::F32 => Rows::new("a shard", dim, self.numbers(Section::Vectors)).ok().map(StoredRows::F32),
            Dtype::F16 => Some(StoredRows::F16 { dim, data: self.numbers(Section::Vectors) }),
        }
    }

    /// The codes of the vectors, where there are some.
    pub(crate) fn codes(&self) -> Option<CodesView<'_>> {
        let header = &self.layout.header;
        let (data, scales) = (self.bytes(Section::Codes), self.numbers(Section::Scales));
        let codes = header.coded.map(|longest| CodesView::new(header.dim as usize, data, scales, longest))?;
        if !self.has_signs() {
            return Some(codes);
        }
        let signs = SignsView::new(self.numbers(Section::Signs), self.numbers(Section::SignFrame));
        Some(codes.with_signs(signs))
    }

    /// Whether there are signs of the vectors beside the codes.
    fn has_signs(&self) -> bool {
        self.layout.range(Section::Signs).is_some()
    }

    /// Which row lies at each place of the codes and is each node of the graph.
    pub(crate) fn order(&self) -> RowOrderView<'_> {
        match self.has_order() {
            true => RowOrderView::new(self.numbers(Section::RowOrder)),
            false => RowOrderView::default(),
        }
    }

    fn has_order(&self) -> bool {
        self.layout.range(Section::RowOrder).is_some()
    }

    /// Which places hold copies, to which the graph does not lead.
    pub(crate) fn copies(&self) -> CopiesView<'_> {
        CopiesView::new(self.numbers(Section::Copies))
    }

    fn has_copies(&self) -> bool {
        self.layout.range(Section::Copies).is_some()
    }

    /// The beginnings of the vectors, where walks look at them first.
    pub(crate) fn heads(&self) -> Option<Heads<'_>> {
        match self.rows()? {
            StoredRows::F32(rows) => self.layout.header.head_error.map(|error| Heads::new(rows, error)),
            StoredRows::F16 { .. } => None,
        }
    }

    /// The graph, where there is one.
    pub(crate) fn graph(&self) -> Option<GraphView<'_>> {
        let Kind::Graph(graph) = self.layout.header.kind else { return None };
        let slots = u64::from(self.len()) * u64::from(graph.slots);
        Some(GraphView {
            count: self.len(),
            slots: graph.slots,
            upper_slots: graph.m,
            levels: graph.levels,
            entry: graph.entry,
            links: Links::new(self.bytes(Section::Links), slots)?,
            upper_nodes: self.numbers(Section::UpperNodes),
            upper_links: self.numbers(Section::UpperLinks),
        })
    }

    /// Bytes of the file.
    pub(crate) fn file_length(&self) -> u64 {
        self.layout.file_length
    }

    /// Whether any row has a payload.
    pub(crate) fn has_payloads(&self) -> bool {
        self.layout.range(Section::PayloadBytes).is_some()
    }

    /// What is known of a row; empty where nothing is.
    pub(crate) fn payload(&self, row: u32) -> Result<Payload, FileError> {
        if !self.has_payloads() {
            return Ok(Payload::new());
        }
        match self.piece(Section::PayloadOffsets, Section::PayloadBytes, row) {
            Some([]) => Ok(Payload::new()),
            Some(json) => serde_json::from_slice(json)
                .map_err(|e| self.damaged(format!("the payload of row {row} is none: {e}"))),
            None => Err(self.damaged(format!("it has no payload of row {row}"))),
        }
    }

    /// The bytes of a row in a section whose rows differ in length.
    fn piece(&self, offsets: Section, bytes: Section, row: u32) -> Option<&[u8]> {
        let offsets: &[u32] = self.numbers(offsets);
        let &[start, end] = offsets.get(row as usize..)?.first_chunk()?;
        self.bytes(bytes).get(start as usize..end as usize)
    }

    /// Fails when something that was read was not there (see [`MappedFile::check`]).
    pub(crate) fn check(&self) -> Result<(), FileError> {
        self.file.check()
    }

    /// Whether the file still has all of its bytes.
    pub(crate) fn is_whole(&self) -> bool {
        self.file.is_whole()
    }

    /// A row's id.
    pub(crate) fn id(&self, row: u32) -> Result<&str, FileError> {
        let bytes = self.piece(Section::IdOffsets, Section::IdBytes, row);
        let id = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        id.ok_or_else(|| self.damaged(format!("the id of row {row} is none")))
    }

    /// The last row with this id, if any.
    pub(crate) fn find(&self, id: &str) -> Result<Option<u32>, FileError> {
        let order: &[u32] = self.numbers(Section::IdOrder);
        let (mut low, mut high) = (0, order.len());
        // The first place whose id is greater; the one before it is the last that is not.
        while low < high {
            let middle = (low + high) / 2;
            let row = order.get(middle).copied().unwrap_or(u32::MAX);
            match self.id(row)?.as_bytes().cmp(id.as_bytes()) {
                Ordering::Greater => high = middle,
                _ => low = middle + 1,
            }
        }
        match low.checked_sub(1).and_then(|place| order.get(place)) {
            Some(&row) if self.id(row)? == id => Ok(Some(row)),
            _ => Ok(None),
        }
    }

    /// Reads everything and compares it with the checksums.
    pub(crate) fn verify(&self) -> Result<(), FileError> {
        let bytes = self.file.bytes();
        let mut end = self.layout.encode().len();
        for entry in &self.layout.entries {
            let range = self.layout.range(entry.section).unwrap_or(0..0);
            let between = bytes.get(end..range.start).unwrap_or_default();
            if between.iter().any(|&byte| byte != 0) {
                return Err(self.damaged(format!("there is something before its {}", entry.section.name())));
            }
            end = range.end;
            if bytes.get(range).map(Checksum::of) != Some(entry.checksum) {
                let detail = format!("the checksum of its {} does not match", entry.section.name());
                return Err(self.damaged(detail));
            }
        }
        let graph = self.graph().map_or(Ok(()), |graph| graph.check());
        let order = graph.and_then(|()| self.order().check(self.len()));
        let copies = order.and_then(|()| self.copies().check(self.len()));
        copies.map_err(|detail| self.damaged(detail))
    }
}

fn file_error(path: &Path, error: LayoutError) -> FileError {
    match error {
        LayoutError::Foreign(detail) => {
            FileError::Format { path: path.to_owned(), expected: FORMAT.to_owned(), detail }
        }
        LayoutError::Version(found) => FileError::Version {
            path: path.to_owned(),
            format: FORMAT.to_owned(),
            found,
            supported: format!("version {VERSION}"),
        },
        LayoutError::Damaged(detail) => FileError::corrupt(path, detail),
    }
}
