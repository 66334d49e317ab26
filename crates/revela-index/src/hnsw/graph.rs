//! A finished graph as plain arrays.

use bytemuck::{Pod, Zeroable};

use super::links::{Links, NONE, pack};

/// A node that is on more than the lowest level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct UpperNode {
    pub(crate) node: u32,
    /// Its list on level 1; those of the levels above follow.
    pub(crate) first_list: u32,
}

/// The arrays of a graph. Nodes above level 0 are known by their place among [`upper_nodes`].
///
/// [`upper_nodes`]: Self::upper_nodes
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    /// Slots of a list on level 0.
    pub(crate) slots: u32,
    /// Slots of a list above; also the M that the graph was built with.
    pub(crate) upper_slots: u32,
    pub(crate) ef_construction: u32,
    /// Levels above the lowest.
    pub(crate) levels: u32,
    /// Where walks begin: a place among the upper nodes, or a node where there are none.
    pub(crate) entry: u32,
    /// `slots` nodes per node.
    pub(crate) links: Vec<u32>,
    /// In ascending order of nodes.
    pub(crate) upper_nodes: Vec<UpperNode>,
    /// `upper_slots` places per list.
    pub(crate) upper_links: Vec<u32>,
}

/// A graph in place. Nothing in it is trusted: a number that leads nowhere ends the list it is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GraphView<'a> {
    pub(crate) count: u32,
    pub(crate) slots: u32,
    pub(crate) upper_slots: u32,
    pub(crate) levels: u32,
    pub(crate) entry: u32,
    pub(crate) links: Links<'a>,
    pub(crate) upper_nodes: &'a [UpperNode],
    pub(crate) upper_links: &'a [u32],
}

impl Graph {
    /// The lists of level 0 as a file holds them.
    pub(crate) fn link_bytes(&self) -> Vec<u8> {
        pack(&self.links, self.view().count)
    }

    /// The same graph among `count` nodes, of which its own are those that are named, in ascending order. Nothing leads to
    /// the others.
    pub(crate) fn among(self, nodes: &[u32], count: usize) -> Self {
        let renamed = |&link: &u32| nodes.get(link as usize).copied().unwrap_or(NONE);
        let slots = self.slots as usize;
        let mut links = vec![NONE; count * slots];
        for (&node, list) in nodes.iter().zip(self.links.chunks_exact(slots)) {
            let start = node as usize * slots;
            links[start..start + slots].iter_mut().zip(list).for_each(|(to, link)| *to = renamed(link));
        }
        let upper_node = |upper: &UpperNode| UpperNode { node: renamed(&upper.node), ..*upper };
        let upper_nodes = self.upper_nodes.iter().map(upper_node).collect();
        let entry = if self.levels == 0 { renamed(&self.entry) } else { self.entry };
        Self { entry, links, upper_nodes, ..self }
    }

    pub(crate) fn view(&self) -> GraphView<'_> {
        GraphView {
            count: (self.links.len() / self.slots as usize) as u32,
            slots: self.slots,
            upper_slots: self.upper_slots,
            levels: self.levels,
            entry: self.entry,
            links: Links::Wide(&self.links),
            upper_nodes: &self.upper_nodes,
            upper_links: &self.upper_links,
        }
    }
}

impl<'a> GraphView<'a> {
    /// A node's neighbours on level 0.
    #[inline]
    pub(crate) fn neighbours(&self, node: u32) -> impl Iterator<Item = u32> + 'a {
        let count = self.count;
        self.list(node).iter().take_while(move |&neighbour| neighbour < count)
    }

    /// The slots for a node's neighbours on level 0; the first that holds no node ends them.
    #[inline]
    pub(super) fn list(&self, node: u32) -> Links<'a> {
        self.links.list(node, self.slots)
    }

    /// The neighbours of an upper node on a level above 0, as places.
    pub(crate) fn upper_neighbours(&self, place: u32, level: u32) -> impl Iterator<Item = u32> + 'a {
        let count = self.upper_nodes.len();
        self.upper_list(place, level).iter().take_while(move |&place| (place as usize) < count)
    }

    /// The slots for them.
    pub(super) fn upper_list(&self, place: u32, level: u32) -> Links<'a> {
        let first =
            self.upper_nodes.get(place as usize).map_or(usize::MAX, |upper| upper.first_list as usize);
        let number = first.saturating_add(level.saturating_sub(1) as usize);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Links::Wide(self.upper_links).list(number, self.upper_slots)
    }

    /// The node at a place among the upper nodes, if it is one.
    pub(crate) fn upper_node(&self, place: u32) -> Option<u32> {
        self.upper_nodes.get(place as usize).map(|upper| upper.node).filter(|&node| node < self.count)
    }

    /// The node at which walks begin.
    pub(crate) fn entry_node(&self) -> Option<u32> {
        if self.levels == 0 {
            return Some(self.entry).filter(|&node| node < self.count);
        }
        self.upper_node(self.entry)
    }

    /// Looks at every number. An error says what leads nowhere.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.entry_node().is_none() {
            return Err("its entry point is none of its nodes".to_owned());
        }
        if !self.upper_nodes.is_sorted_by(|a, b| a.node < b.node && a.first_list < b.first_list) {
            return Err("its upper nodes are out of order".to_owned());
        }
        let lists = self.upper_links.len() / self.upper_slots.max(1) as usize;
        if let Some(last) = self.upper_nodes.last()
            && (last.node >= self.count || last.first_list as usize >= lists)
        {
            return Err("its upper nodes lead outside of the graph".to_owned());
        }
        check_lists("level 0", self.links, self.slots, self.count)?;
        let upper = Links::Wide(self.upper_links);
        check_lists("the upper levels", upper, self.upper_slots, self.upper_nodes.len() as u32)
    }
}

fn check_lists(which: &str, links: Links<'_>, slots: u32, count: u32) -> Result<(), String> {
    let lists = links.len() / slots.max(1) as usize;
    match (0..lists as u32).all(|number| links.list(number, slots).is_list(count)) {
        true => Ok(()),
        false => Err(format!("a list of {which} leads outside of the graph")),
    }
}
