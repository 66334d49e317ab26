//! Which files are documents, and how they are read.

use std::path::Path;

use revela_text::{Format, is_notebook};

/// How a file becomes a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is one as it stands.
    Plain(Format),
    /// A notebook, read as Markdown without what came out of it.
    Notebook,
    /// A web page, read as Markdown.
    #[cfg(feature = "html")]
    Html,
    /// A mail: subject, sender, date, text.
    #[cfg(feature = "mail")]
    Mail,
}

impl Form {
    /// What a file's name says.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        if is_notebook(path) {
            return Some(Self::Notebook);
        }
        if let Some(format) = Format::of_path(path) {
            return Some(Self::Plain(format));
        }
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            #[cfg(feature = "html")]
            "html" | "htm" | "xhtml" => Some(Self::Html),
            #[cfg(feature = "mail")]
            "eml" => Some(Self::Mail),
            _ => None,
        }
    }

    /// Its name in payloads.
    pub(crate) fn language(self) -> &'static str {
        match self {
            Self::Plain(format) => format.name(),
            Self::Notebook => "notebook",
            #[cfg(feature = "html")]
            Self::Html => "html",
            #[cfg(feature = "mail")]
            Self::Mail => "mail",
        }
    }

    /// How the text that it becomes is cut.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Plain(format) => format,
            Self::Notebook => Format::Markdown,
            #[cfg(feature = "html")]
            Self::Html => Format::Markdown,
            #[cfg(feature = "mail")]
            Self::Mail => Format::Text,
        }
    }

    /// Whether lines of the document are lines of the file.
    pub(crate) fn has_lines(self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// How many bytes of such a file are read where a text may have `longest`: most of a page is marks, most of a notebook
    /// or mail may be pictures.
    pub(crate) fn longest_file(self, path: &Path, longest: u64) -> u64 {
        let factor = match self {
            Self::Plain(_) | Self::Notebook => return revela_text::longest_file(path, longest),
            #[cfg(feature = "html")]
            Self::Html => 8,
            #[cfg(feature = "mail")]
            Self::Mail => 32,
        };
        longest.saturating_mul(factor)
    }
}
