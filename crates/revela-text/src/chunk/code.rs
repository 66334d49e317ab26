//! Source code, cut between syntax nodes.
//!
//! One walk over the tree, as in cAST (Zhang et al. 2025, "split, then merge"): a node that fits joins
//! the chunk at hand or starts a new one, a node that does not fit is opened and its children are
//! treated alike, and a leaf that does not fit is cut at lines, spaces or, at last, anywhere. Comments
//! and attributes stay with the item that follows them, or with its beginning where it does not fit. Time grows with the number of nodes; the code
//! splitter of `text-splitter` produces similar chunks but takes a fresh look at all remaining nodes
//! for every chunk, which deep or flat generated code turns into minutes.

use std::ops::Range;

use tree_sitter::{Node, TreeCursor};

use super::border;
use crate::language::Language;
use crate::sizer::Measured;
use crate::syntax;

/// The chunks of a source file. Without a tree (see [`syntax::parse`]) it is cut by lines.
pub(super) fn ranges(
    measured: &Measured<'_>,
    language: Language,
    capacity: usize,
    overlap: usize,
) -> Vec<Range<usize>> {
    let mut packer = Packer::new(measured, capacity - overlap);
    match syntax::parse(language, measured.text) {
        Some(tree) => pack_tree(&mut packer, tree.root_node()),
        None => packer.cut(0..measured.text.len()),
    }
    packer.flush();
    let done = border::mend(measured, packer.done, capacity - overlap);
    let tidy: Vec<_> = done.into_iter().filter_map(|range| trim(measured.text, range)).collect();
    overlapped(measured, tidy, overlap)
}

/// A piece of the file: a run of sibling nodes with the space before them.
struct Piece<'tree> {
    range: Range<usize>,
    nodes: Vec<Node<'tree>>,
}

enum Step<'tree> {
    Place(Piece<'tree>),
    /// An opened node ends.
    Close,
}

fn pack_tree(packer: &mut Packer<'_, '_>, root: Node<'_>) {
    let mut cursor = root.walk();
    let whole = Piece { range: 0..packer.measured.text.len(), nodes: vec![root] };
    let mut steps = vec![Step::Place(whole)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Close => packer.flush_if_half_full(),
            Step::Place(piece) if packer.place(&piece.range) => {}
            Step::Place(piece) => {
                let parts = open(&mut cursor, &piece, packer.measured.text);
                if parts.is_empty() {
                    packer.cut(piece.range);
                    continue;
                }
                packer.flush_if_half_full();
                if piece.nodes.len() > 1 {
                    packer.lead = piece.range;
                }
                steps.push(Step::Close);
                steps.extend(parts.into_iter().rev().map(Step::Place));
            }
        }
    }
}

/// The parts of a piece that does not fit: its nodes one by one, or the children of its only node.
/// Together they cover the piece. None for a leaf.
fn open<'tree>(cursor: &mut TreeCursor<'tree>, piece: &Piece<'tree>, text: &str) -> Vec<Piece<'tree>> {
    let mut parts = match piece.nodes.as_slice() {
        [] => return Vec::new(),
        [node] => glued(node.children(cursor).collect(), text),
        nodes => nodes.iter().map(|node| vec![*node]).collect(),
    };
    parts.retain(|nodes| nodes.last().is_some_and(|n| n.end_byte() > n.start_byte()));
    let mut start = piece.range.start;
    let count = parts.len();
    let pieces = parts.into_iter().enumerate().map(|(i, nodes)| {
        let node_end = nodes.last().map_or(start, |n| n.end_byte());
        let end = if i + 1 == count { piece.range.end } else { node_end.clamp(start, piece.range.end) };
        let range = start..end;
        start = end;
        Piece { range, nodes }
    });
    pieces.collect()
}

/// Siblings, with comments and attributes joined to what directly follows them.
fn glued<'tree>(nodes: Vec<Node<'tree>>, text: &str) -> Vec<Vec<Node<'tree>>> {
    let mut parts: Vec<Vec<Node<'tree>>> = Vec::new();
    for node in nodes {
        let leads_here = |before: &Node<'_>| {
            let kind = before.kind();
            let leads = kind.contains("comment") || kind.contains("attribute") || kind == "decorator";
            leads && !syntax::has_blank_line(text, before.end_byte()..node.start_byte())
        };
        match parts.last_mut() {
            Some(part) if part.last().is_some_and(leads_here) => part.push(node),
            _ => parts.push(vec![node]),
        }
    }
    parts
}

/// Collects neighbouring ranges into chunks of at most `capacity` units.
struct Packer<'m, 't> {
    measured: &'m Measured<'t>,
    capacity: usize,
    /// The chunk at hand.
    current: Range<usize>,
    /// The last item that was opened after its comments, with these. The chunk that begins with them is filled
    /// up with the item's beginning.
    lead: Range<usize>,
    done: Vec<Range<usize>>,
}

impl<'m, 't> Packer<'m, 't> {
    fn new(measured: &'m Measured<'t>, capacity: usize) -> Self {
        Self { measured, capacity, current: 0..0, lead: 0..0, done: Vec::new() }
    }

    fn fits(&self, range: &Range<usize>) -> bool {
        self.measured.size(range) <= self.capacity
    }

    /// Adds a range if it fits whole, be it into a new chunk; but a chunk of comments that are less than half of
    /// one waits for a part of their item. Ranges come in order, without gaps.
    fn place(&mut self, range: &Range<usize>) -> bool {
        let waits = self.is_led() && range.end <= self.lead.end && !self.is_half_full();
        if self.fits(&(self.current.start..range.end)) {
            self.current.end = range.end;
            true
        } else if self.fits(range) && !waits {
            self.flush();
            self.current.end = range.end;
            true
        } else {
            false
        }
    }

    fn flush(&mut self) {
        let end = self.current.end;
        if end > self.current.start {
            self.done.push(self.current.clone());
        }
        self.current = end..end;
    }

    /// A large node begins or ends: a chunk that is worth it ends here too.
    fn flush_if_half_full(&mut self) {
        if !self.is_led() && self.is_half_full() {
            self.flush();
        }
    }

    fn is_half_full(&self) -> bool {
        self.measured.size(&self.current) * 2 >= self.capacity
    }

    /// Whether the chunk at hand holds comments whose item is being opened.
    fn is_led(&self) -> bool {
        !self.lead.is_empty() && self.current.contains(&self.lead.start)
    }

    /// Cuts what has no structure left, filling the chunk at hand first.
    fn cut(&mut self, range: Range<usize>) {
        while !self.place(&(self.current.end..range.end)) {
            let reach = self.measured.reach(&(self.current.start..range.end), self.capacity);
            let window = self.measured.text.get(self.current.end..reach).unwrap_or_default();
            let end = window.rfind('\n').or_else(|| window.rfind(' ')).map(|at| self.current.end + at + 1);
            match end {
                Some(end) => self.current.end = end,
                None if self.current.end > self.current.start => {}
                // No line and no space: anywhere, but at least one character further.
                None => self.current.end = reach.max(self.after_one_character()),
            }
            self.flush();
        }
    }

    fn after_one_character(&self) -> usize {
        self.measured.text.ceil_char_boundary(self.current.end + 1)
    }
}

/// Without the space around it, but with the indentation of its first line; none if nothing is left.
fn trim(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let piece = text.get(range.clone())?;
    let end = range.start + piece.trim_end().len();
    let visible = range.end - piece.trim_start().len();
    let line = text.get(..visible)?.trim_end_matches([' ', '\t']);
    // Only a chunk that starts a line takes its indentation along.
    let start = if line.is_empty() || line.ends_with('\n') { line.len().max(range.start) } else { visible };
    (visible < end).then_some(start..end)
}

/// Lets every chunk but the first begin with the last lines of the one before it.
fn overlapped(measured: &Measured<'_>, ranges: Vec<Range<usize>>, overlap: usize) -> Vec<Range<usize>> {
    if overlap == 0 {
        return ranges;
    }
    let mut before: Option<Range<usize>> = None;
    let longer = ranges.into_iter().map(|range| {
        let start = before.as_ref().map_or(range.start, |b| overlap_start(measured, b, range.start, overlap));
        before = Some(range.clone());
        start..range.end
    });
    longer.collect()
}

/// The first line start inside `before` from which at most `overlap` units lead to `end`.
fn overlap_start(measured: &Measured<'_>, before: &Range<usize>, end: usize, overlap: usize) -> usize {
    let text = measured.text.get(before.clone()).unwrap_or_default();
    let lines = text.rmatch_indices('\n').map(|(at, _)| before.start + at + 1);
    lines.take_while(|start| measured.size(&(*start..end)) <= overlap).last().unwrap_or(end)
}
