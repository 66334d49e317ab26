//! Documents from JSON lines in BEIR layout.

use std::fmt;
use std::io::{self, BufRead};
use std::path::PathBuf;

use revela_base::file::FileError;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::{Bad, Event, Ignored, SourceConfig, compressed};
use crate::document::Document;
use crate::error::TextError;
use crate::language::Format;

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: String,
    #[serde(default)]
    title: Option<String>,
    text: String,
}

/// An id is a string, or an integer that is turned into one.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Id;
    impl Visitor<'_> for Id {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an _id that is a string or an integer")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            if text.is_empty() { Err(E::custom("the _id is empty")) } else { Ok(text.to_owned()) }
        }

        fn visit_u64<E>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    deserializer.deserialize_any(Id)
}

pub(super) struct JsonLines {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    format: Format,
    longest: usize,
    line: Vec<u8>,
    number: u64,
}

/// How reading one line ended.
enum Read {
    Line,
    TooLong,
    End,
}

impl JsonLines {
    pub(super) fn open(config: &SourceConfig, format: Format) -> Result<Self, TextError> {
        let path = config.path.clone();
        let input = compressed::open(&path).map_err(FileError::io("open", &path))?;
        let longest = usize::try_from(config.longest()).unwrap_or(usize::MAX);
        Ok(Self { path, input, format, longest, line: Vec::new(), number: 0 })
    }

    /// The next line's meaning. A file that cannot be read on is an error whatever the policy, since all
    /// that follows would be lost.
    pub(super) fn next_event(&mut self) -> Result<Option<Event>, TextError> {
        self.number += 1;
        match self.read_line().map_err(FileError::io("read", &self.path))? {
            Read::End => Ok(None),
            Read::TooLong => {
                let detail = format!("the line is longer than {} bytes", self.longest);
                Ok(Some(self.bad(Bad::TooLong, detail)))
            }
            Read::Line => Ok(Some(self.event())),
        }
    }

    fn event(&self) -> Event {
        let line = if self.number == 1 { without_mark(&self.line) } else { &self.line };
        if line.contains(&0) {
            return self.bad(Bad::Binary, "not JSON lines but binary (NUL bytes)".to_owned());
        }
        let text = match str::from_utf8(line) {
            Ok(text) => text,
            Err(e) => {
                return self.bad(Bad::NotUtf8, format!("not UTF-8 (byte {} of the line)", e.valid_up_to()));
            }
        };
        if text.trim().is_empty() {
            return Event::Ignored(Ignored::Blank);
        }
        match serde_json::from_str::<Record>(text) {
            Ok(record) => Event::Document(Document {
                id: record.id,
                title: record.title.unwrap_or_default(),
                text: record.text,
                format: self.format,
            }),
            Err(e) => {
                // serde_json counts lines itself; here there is only one.
                let detail = e.to_string().replace(" at line 1 column ", " at column ");
                self.bad(Bad::Malformed, format!("not a JSON object with _id and text: {detail}"))
            }
        }
    }

    fn bad(&self, reason: Bad, detail: String) -> Event {
        let error = FileError::Line { path: self.path.clone(), line: self.number, detail };
        Event::Bad(reason, error.into())
    }

    /// Reads one line without its end; of a line that is too long, nothing is kept.
    fn read_line(&mut self) -> io::Result<Read> {
        self.line.clear();
        let (mut length, mut ended) = (0, false);
        while !ended {
            let block = self.input.fill_buf()?;
            if block.is_empty() {
                break;
            }
            let end = block.iter().position(|b| *b == b'\n');
            let taken = block.get(..end.unwrap_or(block.len())).unwrap_or_default();
            length += taken.len();
            if length <= self.longest {
                self.line.extend_from_slice(taken);
            }
            ended = end.is_some();
            let used = taken.len() + usize::from(ended);
            self.input.consume(used);
        }
        Ok(match length {
            0 if !ended => Read::End,
            n if n > self.longest => Read::TooLong,
            _ => Read::Line,
        })
    }
}

/// Without a byte order mark.
fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
}
