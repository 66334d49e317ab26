//! Which kinds of text there are, and which file extension means which.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A programming language with a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// Java.
    Java,
    /// JavaScript, with JSX.
    JavaScript,
    /// TypeScript without JSX.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
    /// Go.
    Go,
    /// C.
    C,
    /// C++.
    Cpp,
    /// C#.
    CSharp,
}

impl Language {
    pub(crate) fn grammar(self) -> tree_sitter::Language {
        match self {
            Self::Rust => tree_sitter_rust::LANGUAGE.into(),
            Self::Python => tree_sitter_python::LANGUAGE.into(),
            Self::Java => tree_sitter_java::LANGUAGE.into(),
            Self::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Self::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Self::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Self::Go => tree_sitter_go::LANGUAGE.into(),
            Self::C => tree_sitter_c::LANGUAGE.into(),
            Self::Cpp => tree_sitter_cpp::LANGUAGE.into(),
            Self::CSharp => tree_sitter_c_sharp::LANGUAGE.into(),
        }
    }
}

/// What a text is, which decides where it may be cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Format {
    /// Plain prose: cut at the ends of paragraphs and sentences.
    #[default]
    Text,
    /// Markdown: cut at headings, blocks and sentences.
    Markdown,
    /// Source code: cut between syntax nodes.
    Code(Language),
}

/// Every format with its name and its file extensions (lower case).
///
/// Notebooks (`.ipynb`) are read as Markdown. `.h` means C++, whose grammar reads nearly all of C; the C grammar makes nothing of C++ headers.
const TABLE: [(Format, &str, &[&str]); 12] = [
    (Format::Text, "text", &["txt", "text", "rst"]),
    (Format::Markdown, "markdown", &["md", "markdown", "ipynb"]),
    (Format::Code(Language::Rust), "rust", &["rs"]),
    (Format::Code(Language::Python), "python", &["py", "pyi", "pyw"]),
    (Format::Code(Language::Java), "java", &["java"]),
    (Format::Code(Language::JavaScript), "javascript", &["js", "mjs", "cjs", "jsx"]),
    (Format::Code(Language::TypeScript), "typescript", &["ts", "mts", "cts"]),
    (Format::Code(Language::Tsx), "tsx", &["tsx"]),
    (Format::Code(Language::Go), "go", &["go"]),
    (Format::Code(Language::C), "c", &["c"]),
    (
        Format::Code(Language::Cpp),
        "cpp",
        &["h", "cc", "cpp", "cxx", "c++", "hh", "hpp", "hxx", "h++", "ipp", "inl"],
    ),
    (Format::Code(Language::CSharp), "csharp", &["cs"]),
];

impl Format {
    /// The format that a file's extension stands for.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        TABLE.iter().find(|(_, _, list)| list.contains(&extension.as_str())).map(|(format, ..)| *format)
    }

    /// Its name in settings and files.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(format, ..)| *format == self).map_or("text", |(_, name, _)| name)
    }

    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(format, ..)| *format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|format| format.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("unknown format {text:?}; known are {}", names.join(", "))
        })
    }
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_extensions_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for (format, name, extensions) in TABLE {
            assert_eq!(name.parse::<Format>().unwrap(), format);
            assert_eq!(serde_json::from_str::<Format>(&format!("{name:?}")).unwrap(), format);
            for extension in extensions {
                assert!(seen.insert(*extension), "{extension} means two formats");
                assert_eq!(Format::of_path(Path::new(&format!("a/b.{extension}"))), Some(format));
            }
        }
        assert_eq!(Format::of_path(Path::new("README.MD")), Some(Format::Markdown));
        assert_eq!(Format::of_path(Path::new("Makefile")), None);
        assert!("cobol".parse::<Format>().unwrap_err().contains("csharp"));
    }
}
