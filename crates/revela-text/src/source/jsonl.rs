//! Documents from JSON lines in BEIR layout.

use revela_base::record::{Record, from_json};
use revela_base::text_lines::{BadLine, Line, TextLines, line_error};

use super::{Bad, Event, Ignored, SourceConfig};
use crate::document::Document;
use crate::error::TextError;
use crate::language::Format;

pub(super) struct JsonLines {
    lines: TextLines,
    format: Format,
}

impl JsonLines {
    pub(super) fn open(config: &SourceConfig, format: Format) -> Result<Self, TextError> {
        Ok(Self { lines: TextLines::open(&config.path)?.with_longest(config.longest()), format })
    }

    /// The next line's meaning. A file that cannot be read on is an error whatever the policy, since all
    /// that follows would be lost.
    pub(super) fn next_event(&mut self) -> Result<Option<Event>, TextError> {
        let format = self.format;
        let read = match self.lines.read()? {
            None => return Ok(None),
            Some(Line::Text(text)) if text.trim().is_empty() => {
                return Ok(Some(Event::Ignored(Ignored::Blank)));
            }
            Some(Line::Text(text)) => document(text, format).map_err(|detail| (Bad::Malformed, detail)),
            Some(Line::Bad(why, detail)) => Err((why.into(), detail)),
        };
        Ok(Some(read.map_or_else(
            |(reason, detail)| {
                let error = line_error(self.lines.path(), self.lines.number(), detail);
                Event::Bad(reason, error.into())
            },
            Event::Document,
        )))
    }
}

fn document(line: &str, format: Format) -> Result<Document, String> {
    let mut record: Record =
        from_json(line).map_err(|e| format!("not a JSON object with _id and text: {e}"))?;
    let text = record.take_text()?;
    Ok(Document { id: record.id, title: record.title, text, format })
}

impl From<BadLine> for Bad {
    fn from(why: BadLine) -> Self {
        match why {
            BadLine::Binary => Self::Binary,
            BadLine::NotUtf8 => Self::NotUtf8,
            BadLine::TooLong => Self::TooLong,
        }
    }
}
