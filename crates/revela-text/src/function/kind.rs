//! What the grammars call things.

use tree_sitter::Node;

use crate::language::Language;

/// What a node means for the search for functions.
pub(crate) enum Shape<'t> {
    /// A function with a name and a body.
    Function { name: Node<'t>, body: Node<'t> },
    /// Something else that is defined, and may hold functions of its own.
    Item { name: Node<'t> },
    /// It may hold one function, and stands for it: `export`, `template`, decorators, `const f =`.
    Wrapper,
    /// It may hold functions of their own.
    Other,
}

/// Whether a node may belong to what follows it.
pub(crate) fn leads(node: Node<'_>) -> bool {
    is_comment(node) || matches!(node.kind(), "attribute_item" | "decorator")
}

pub(super) fn is_comment(node: Node<'_>) -> bool {
    matches!(node.kind(), "comment" | "line_comment" | "block_comment")
}

pub(crate) fn shape<'t>(language: Language, node: Node<'t>, in_wrapper: bool) -> Shape<'t> {
    if is_wrapper(language, node) {
        return Shape::Wrapper;
    }
    if !node.is_named() {
        return Shape::Other;
    }
    if !is_function(language, node.kind(), in_wrapper) {
        let name = node.child_by_field_name("name").filter(|_| is_item(node.kind()));
        return name.map_or(Shape::Other, |name| Shape::Item { name });
    }
    match (name(language, node), body(node)) {
        (Some(name), Some(body)) => Shape::Function { name, body },
        _ => Shape::Other,
    }
}

/// A type, a module, a constant or a macro, not a part of one.
fn is_item(kind: &str) -> bool {
    let ends = ["_item", "_declaration", "_definition", "_specifier", "_spec"];
    let is_part = ["field", "parameter", "local", "enum_member"].iter().any(|part| kind.contains(part));
    !is_part && ends.iter().any(|end| kind.ends_with(end))
}

fn is_wrapper(language: Language, node: Node<'_>) -> bool {
    match (language, node.kind()) {
        (Language::Python, "decorated_definition") | (Language::Cpp, "template_declaration") => true,
        (Language::JavaScript | Language::TypeScript | Language::Tsx, kind) => match kind {
            "export_statement" => true,
            "lexical_declaration" | "variable_declaration" => node.named_child_count() == 1,
            _ => false,
        },
        _ => false,
    }
}

fn is_function(language: Language, kind: &str, in_wrapper: bool) -> bool {
    match language {
        Language::Rust => kind == "function_item",
        Language::Python | Language::C | Language::Cpp => kind == "function_definition",
        Language::Go => matches!(kind, "function_declaration" | "method_declaration"),
        Language::Java => matches!(
            kind,
            "method_declaration" | "constructor_declaration" | "compact_constructor_declaration"
        ),
        Language::CSharp => matches!(
            kind,
            "method_declaration"
                | "constructor_declaration"
                | "destructor_declaration"
                | "operator_declaration"
        ),
        Language::JavaScript | Language::TypeScript | Language::Tsx => match kind {
            "function_declaration" | "generator_function_declaration" | "method_definition" => true,
            "variable_declarator" => in_wrapper,
            _ => false,
        },
    }
}

/// What opens a class around a piece of one, where the grammar needs that to see methods.
pub(super) fn class_around(language: Language, piece: &str) -> Option<&'static str> {
    match language {
        Language::Java | Language::CSharp | Language::JavaScript | Language::TypeScript | Language::Tsx => {
            Some("class Piece {\n")
        }
        Language::Python if piece.starts_with([' ', '\t']) => Some("class Piece:\n"),
        _ => None,
    }
}

fn body(node: Node<'_>) -> Option<Node<'_>> {
    if node.kind() != "variable_declarator" {
        return node.child_by_field_name("body");
    }
    let value = node.child_by_field_name("value")?;
    let is_function = matches!(value.kind(), "arrow_function" | "function_expression" | "generator_function");
    let body = value.child_by_field_name("body").filter(|b| b.kind() == "statement_block");
    body.filter(|_| is_function)
}

fn name(language: Language, node: Node<'_>) -> Option<Node<'_>> {
    match language {
        Language::C | Language::Cpp => declared(node),
        _ => node.child_by_field_name("name").or_else(|| node.child_by_field_name("operator")),
    }
}

/// The name inside a C declarator, which may be wrapped in pointers, references and brackets.
fn declared(node: Node<'_>) -> Option<Node<'_>> {
    let mut inner = node.child_by_field_name("declarator")?;
    loop {
        inner = match inner.kind() {
            "identifier"
            | "field_identifier"
            | "qualified_identifier"
            | "destructor_name"
            | "operator_name"
            | "operator_cast"
            | "template_function" => return Some(inner),
            _ => inner.child_by_field_name("declarator").or_else(|| inner.named_child(0))?,
        };
    }
}

/// Without words before the name, which are macros and types that the C grammars took for part of it.
pub(super) fn without_macros(name: &str) -> &str {
    let name = name.trim();
    if name.contains("operator") { name } else { name.rsplit(char::is_whitespace).next().unwrap_or(name) }
}

/// Whether a Rust attribute says that its item is for tests alone: `#[test]`, `#[tokio::test]`,
/// `#[bench]`, `#[cfg(test)]`.
pub(super) fn marks_test(attribute: &str) -> bool {
    let inner = attribute.trim_start_matches(['#', '[', ' ']).trim_end_matches([']', ' ']);
    let (path, arguments) = inner.split_at(inner.find(['(', '=', '{']).unwrap_or(inner.len()));
    let name = path.rsplit("::").next().unwrap_or(path).trim();
    if name != "cfg" {
        return matches!(name, "test" | "bench" | "rstest" | "test_case" | "quickcheck");
    }
    let dense: String = arguments.chars().filter(|c| !c.is_whitespace()).collect();
    let all = dense.trim_start_matches("(all").trim_matches(['(', ')']);
    all.split(',').any(|condition| condition == "test")
}
