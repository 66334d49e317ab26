//! Functions of source files with their doc comments.
//!
//! One walk over the syntax tree in document order. The comments, attributes and decorators that stand
//! before a node wait at its level until the node itself says whether it is a function; asking a node for
//! its left neighbours instead would take time that grows with the square of a flat file's length.

use std::ops::Range;
use std::rc::Rc;

use tree_sitter::Node;

use crate::language::Language;
use crate::syntax;

mod code;
mod comment;
mod detect;
mod kind;
#[cfg(test)]
mod tests;

pub use detect::detect_format;
pub(crate) use kind::{Shape, leads, shape};

/// What a function is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Part of what the program does.
    #[default]
    Product,
    /// A test: in Rust, marked by an attribute such as `#[test]`, or inside a `#[cfg(test)]` item. In
    /// other languages tests are told by their paths, see [`TestCode`](crate::TestCode).
    Test,
}

/// A function or method that has a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name as it is written at the definition: `push`, in C++ also `Stack::push`.
    pub name: String,
    /// The text of its doc comment without comment marks; empty where there is none.
    pub doc: String,
    /// Where its doc comments stand in the file, in bytes and in order.
    pub docs: Vec<Range<usize>>,
    /// Its text from the first attribute or decorator on, without the doc comment, dedented by the
    /// indentation of its first line, without blanks at the ends of lines, with `\n` between them.
    pub code: String,
    /// Where it stands in the file, in bytes: from the first attribute or decorator to the end of the
    /// body. A doc comment inside that range (a Python docstring) belongs to it, one before it does not.
    pub range: Range<usize>,
    /// What it is for.
    pub role: Role,
}

/// The functions of a source file, in order, without overlap.
///
/// Functions are definitions with a name and a body: free functions, methods, constructors, and in
/// JavaScript and TypeScript also `const name = () => { ... }`. Functions inside functions belong to the
/// outer one and are not listed, nor are closures, and methods of classes that stand inside functions.
/// Empty for a text that cannot be parsed.
///
/// Doc comments must stand directly above (no blank line between), with attributes allowed between:
/// `///` and `/** */`; Go has `//` and `/* */` without directives such as `//go:noinline`; Python has
/// docstrings. C#'s XML tags are removed.
pub fn functions(language: Language, text: &str) -> Vec<Function> {
    found(language, text).functions
}

/// A type, a module, a constant or the like with a doc comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name as it is written at the definition.
    pub(crate) name: String,
    /// See [`Function::doc`].
    pub(crate) doc: String,
    /// See [`Function::docs`].
    pub(crate) docs: Vec<Range<usize>>,
}

/// What is defined in a text.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// See [`functions`].
    pub(crate) functions: Vec<Function>,
    /// What else has a doc comment, in order.
    pub(crate) items: Vec<Item>,
}

fn found(language: Language, text: &str) -> Definitions {
    let Some(tree) = syntax::parse(language, text) else {
        return Definitions::default();
    };
    let mut finder = Finder { language, text, found: Definitions::default() };
    let mut cursor = tree.walk();
    let mut levels = vec![Level::default()];
    loop {
        let inside = levels.last_mut().and_then(|level| finder.visit(cursor.node(), level));
        if let Some(level) = inside
            && cursor.goto_first_child()
        {
            levels.push(level);
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return finder.found;
            }
            levels.pop();
        }
    }
}

/// The definitions of a piece of a source file, which may begin and end anywhere.
///
/// Where a grammar knows methods only inside of classes, a piece that begins with one is read as if a class
/// stood around it. Ranges are those of the piece.
pub(crate) fn definitions_of_piece(language: Language, piece: &str) -> Definitions {
    let whole = found(language, piece);
    let Some(class) = kind::class_around(language, piece).filter(|_| whole.functions.is_empty()) else {
        return whole;
    };
    let moved = |range: &Range<usize>| {
        let at = |place: usize| place.saturating_sub(class.len()).min(piece.len());
        at(range.start)..at(range.end)
    };
    let mut found = found(language, &format!("{class}{piece}"));
    for function in &mut found.functions {
        function.range = moved(&function.range);
        function.docs.iter_mut().for_each(|doc| *doc = moved(doc));
    }
    // The class around it is no item of the piece, and hides those that are.
    Definitions { items: whole.items, ..found }
}

/// A text without some ranges of it (in order, apart), and without the lines that only these fill; dedented
/// by the indentation of its first line.
pub(crate) fn text_without(text: &str, holes: &[Range<usize>]) -> String {
    let visible = text.len() - text.trim_start().len();
    code::without(text, &(visible..text.len()), holes).trim_start().to_owned()
}

/// The siblings being walked.
#[derive(Default)]
struct Level<'t> {
    /// Comments, attributes and decorators since the last other node.
    lead: Vec<Node<'t>>,
    /// Inside a wrapper such as `export`: what stands for the function it may hold.
    wrapper: Option<Rc<Outer<'t>>>,
    role: Role,
}

/// A function's outermost node and what precedes it.
struct Outer<'t> {
    lead: Vec<Node<'t>>,
    node: Node<'t>,
}

struct Finder<'x> {
    language: Language,
    text: &'x str,
    found: Definitions,
}

impl Finder<'_> {
    /// Takes note of a node; gives the level of its children where they are to be visited.
    fn visit<'t>(&mut self, node: Node<'t>, level: &mut Level<'t>) -> Option<Level<'t>> {
        if kind::leads(node) {
            level.lead.push(node);
            return None;
        }
        let own = Outer { lead: std::mem::take(&mut level.lead), node };
        let role = if self.is_test(&own) { Role::Test } else { level.role };
        match kind::shape(self.language, node, level.wrapper.is_some()) {
            Shape::Function { name, body } => {
                let outer = level.wrapper.clone().unwrap_or_else(|| Rc::new(own));
                self.function(&outer, name, body, role);
                None
            }
            Shape::Item { name } => {
                let outer = level.wrapper.clone().unwrap_or_else(|| Rc::new(own));
                self.item(&outer, node, name);
                Some(Level { role, ..Level::default() })
            }
            Shape::Wrapper => {
                let wrapper = level.wrapper.clone().unwrap_or_else(|| Rc::new(own));
                Some(Level { lead: Vec::new(), wrapper: Some(wrapper), role })
            }
            Shape::Other => Some(Level { role, ..Level::default() }),
        }
    }

    fn is_test(&self, outer: &Outer<'_>) -> bool {
        let attributes = outer.lead.iter().filter(|n| n.kind() == "attribute_item");
        self.language == Language::Rust && attributes.into_iter().any(|n| kind::marks_test(self.slice(*n)))
    }

    fn slice(&self, node: Node<'_>) -> &str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn function(&mut self, outer: &Outer<'_>, name: Node<'_>, body: Node<'_>, role: Role) {
        let name = kind::without_macros(self.slice(name)).to_owned();
        if name.is_empty() {
            return;
        }
        let before = self.before(outer);
        let range = before.start..outer.node.end_byte();
        let (doc, holes) = self.doc(before, Some(body));
        let code = code::without(self.text, &range, &holes);
        self.found.functions.push(Function { name, doc, docs: holes, code, range, role });
    }

    fn item(&mut self, outer: &Outer<'_>, node: Node<'_>, name: Node<'_>) {
        let (doc, docs) = self.doc(self.before(outer), node.child_by_field_name("body"));
        if !docs.is_empty() {
            self.found.items.push(Item { name: self.slice(name).to_owned(), doc, docs });
        }
    }

    /// The text of a doc comment, and where it stands.
    fn doc(&self, before: Before, body: Option<Node<'_>>) -> (String, Vec<Range<usize>>) {
        if self.language != Language::Python {
            return (comment::clean(self.language, self.text, &before.docs), before.docs);
        }
        match body.and_then(|body| comment::docstring(self.text, body)) {
            Some((doc, hole)) => (doc, vec![hole]),
            None => (String::new(), Vec::new()),
        }
    }

    /// What belongs to a definition among the nodes before it, looked at from the nearest on.
    fn before(&self, outer: &Outer<'_>) -> Before {
        let mut start = outer.node.start_byte();
        let mut below = start;
        let mut docs: Vec<Range<usize>> = Vec::new();
        let mut first_style = None;
        for node in outer.lead.iter().rev() {
            let piece = self.slice(*node).trim_end();
            let here = node.start_byte();
            let end = here + piece.len();
            if syntax::has_blank_line(self.text, end..below) {
                break;
            }
            if kind::is_comment(*node) {
                // A comment behind other code tells about that code.
                if !code::starts_line(self.text, here) {
                    break;
                }
                if let Some(style) = comment::style(self.language, piece) {
                    let first = *first_style.get_or_insert(style);
                    if !docs.is_empty() && !comment::continues(self.language, style, first) {
                        break;
                    }
                    docs.push(here..end);
                }
            } else {
                start = here;
            }
            below = here;
        }
        docs.reverse();
        Before { start, docs }
    }
}

struct Before {
    /// Where the first attribute or decorator, or else the function, starts.
    start: usize,
    /// The doc comments, in order.
    docs: Vec<Range<usize>>,
}
