//! Notebooks (`.ipynb`) as Markdown: what people wrote in them, without what came out of it.

use serde::Deserialize;

/// Versions 3 (with worksheets) and 4 of the format.
#[derive(Deserialize)]
struct Notebook {
    nbformat: u32,
    #[serde(default)]
    cells: Vec<Cell>,
    #[serde(default)]
    worksheets: Vec<Worksheet>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Worksheet {
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    cell_type: String,
    /// In version 3, code has this instead of `source`.
    #[serde(alias = "input")]
    source: Lines,
    /// Of headings in version 3.
    level: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Many(Vec<String>),
}

#[derive(Default, Deserialize)]
struct Metadata {
    language_info: Option<LanguageInfo>,
}

#[derive(Deserialize)]
struct LanguageInfo {
    name: String,
}

/// The cells of a notebook one after the other: Markdown as it is, code between fences.
///
/// # Errors
/// In words, what is no notebook.
pub(super) fn as_markdown(json: &str) -> Result<String, String> {
    let notebook: Notebook =
        serde_json::from_str(json).map_err(|e| format!("it is not a notebook that can be read: {e}"))?;
    if !matches!(notebook.nbformat, 3 | 4) {
        return Err(format!("it is a notebook of format {}; 3 and 4 are known", notebook.nbformat));
    }
    let language = notebook.metadata.language_info.map(|info| info.name).unwrap_or_default();
    let sheets = notebook.worksheets.into_iter().flat_map(|sheet| sheet.cells);
    let cells = notebook.cells.into_iter().chain(sheets).map(|cell| markdown(cell, &language));
    Ok(cells.filter(|cell| !cell.trim().is_empty()).collect::<Vec<_>>().join("\n\n"))
}

fn markdown(cell: Cell, language: &str) -> String {
    let source = match cell.source {
        Lines::One(text) => text,
        Lines::Many(lines) => lines.concat(),
    };
    let source = source.trim_end();
    match cell.cell_type.as_str() {
        _ if source.trim().is_empty() => String::new(),
        "code" => {
            let mut fence = "```".to_owned();
            while source.contains(&fence) {
                fence.push('`');
            }
            format!("{fence}{language}\n{source}\n{fence}")
        }
        "heading" => format!("{} {source}", "#".repeat(cell.level.unwrap_or(1).clamp(1, 6))),
        _ => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_stays_and_what_came_out_goes() {
        let four = r##"{"nbformat": 4, "nbformat_minor": 5, "metadata": {"language_info": {"name": "python"}}, "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "Text."]},
            {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": "print('```')",
             "outputs": [{"output_type": "stream", "text": ["came out"]}]},
            {"cell_type": "code", "metadata": {}, "source": [], "outputs": []}]}"##;
        assert_eq!(as_markdown(four).unwrap(), "# Title\nText.\n\n````python\nprint('```')\n````");
        let three = r#"{"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": [
            {"cell_type": "heading", "level": 2, "source": ["Title"]},
            {"cell_type": "code", "input": ["a = 1\n", "a"], "outputs": [{"text": "1"}]}]}]}"#;
        assert_eq!(as_markdown(three).unwrap(), "## Title\n\n```\na = 1\na\n```");
    }

    #[test]
    fn what_is_no_notebook_is_refused() {
        for (json, told) in [
            ("{", "not a notebook"),
            ("{}", "nbformat"),
            ("{\"nbformat\": 2, \"cells\": []}", "format 2"),
            ("{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\"}]}", "source"),
        ] {
            assert!(as_markdown(json).unwrap_err().contains(told), "{json}");
        }
    }
}
