//! Text files read line by line, with the file and the line in every error.

use std::fmt;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use crate::compressed;
use crate::file::FileError;

/// Longer lines are refused: a file of another kind may hold no line end at all, and must not fill the memory.
const LONGEST_LINE: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a line cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLine {
    /// It holds NUL bytes, so it is not text.
    Binary,
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// It is longer than allowed.
    TooLong,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its end, perhaps blank.
    Text(&'a str),
    /// One that cannot be used: why, and in words. What follows it can be read.
    Bad(BadLine, String),
}

/// A reader that lends one line at a time, of a file as it is or packed.
pub struct TextLines {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    longest: u64,
    buffer: Vec<u8>,
    number: u64,
}

impl fmt::Debug for TextLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextLines").field("path", &self.path).field("number", &self.number).finish()
    }
}

impl TextLines {
    /// Opens a file, which may be packed (see [`compressed::open`]).
    ///
    /// # Errors
    /// As [`compressed::open`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self::new(path, compressed::open(path)?))
    }

    /// Reads from anything; `path` is what errors name.
    pub fn new(path: &Path, input: impl BufRead + Send + 'static) -> Self {
        let (input, path) = (Box::new(input), path.to_owned());
        Self { path, input, longest: LONGEST_LINE, buffer: Vec::new(), number: 0 }
    }

    /// Refuses lines of more bytes than this; 64 MiB where not called.
    #[must_use]
    pub fn with_longest(self, bytes: u64) -> Self {
        Self { longest: bytes, ..self }
    }

    /// The next line, blank or not.
    ///
    /// # Errors
    /// [`FileError`] when the file cannot be read on.
    pub fn read(&mut self) -> Result<Option<Line<'_>>, FileError> {
        self.number += 1;
        let Some(length) = self.fill().map_err(FileError::io("read", &self.path))? else { return Ok(None) };
        let bad = |why, detail| Ok(Some(Line::Bad(why, detail)));
        if length > self.longest {
            return bad(BadLine::TooLong, format!("the line is longer than {} bytes", self.longest));
        }
        let mut line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        if self.number == 1 {
            if line.starts_with(b"\xFF\xFE") || line.starts_with(b"\xFE\xFF") {
                return bad(BadLine::NotUtf8, "the file is UTF-16, not UTF-8".to_owned());
            }
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.contains(&0) {
            return bad(BadLine::Binary, "not text but binary (NUL bytes)".to_owned());
        }
        match str::from_utf8(line) {
            Ok(text) => Ok(Some(Line::Text(text))),
            Err(e) => bad(BadLine::NotUtf8, format!("not UTF-8 (byte {} of the line)", e.valid_up_to() + 1)),
        }
    }

    /// The next line that is not blank, without its line end.
    ///
    /// # Errors
    /// [`FileError`] for a line that cannot be used, too.
    pub fn next_line(&mut self) -> Result<Option<&str>, FileError> {
        loop {
            match self.read()? {
                None => return Ok(None),
                Some(Line::Bad(_, detail)) => return Err(self.error(detail)),
                Some(Line::Text(text)) if text.trim().is_empty() => {}
                Some(Line::Text(_)) => break,
            }
        }
        Ok(Some(self.text()))
    }

    /// The line read last, which was text.
    fn text(&self) -> &str {
        let line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        let line = if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        str::from_utf8(line).unwrap_or_default()
    }

    /// Reads one line without its end and returns its length; of a line that is too long, nothing is kept.
    fn fill(&mut self) -> io::Result<Option<u64>> {
        self.buffer.clear();
        let (mut length, mut ended) = (0, false);
        while !ended {
            let block = match self.input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                block => block?,
            };
            if block.is_empty() {
                break;
            }
            let end = block.iter().position(|b| *b == b'\n');
            let taken = block.get(..end.unwrap_or(block.len())).unwrap_or_default();
            length += taken.len() as u64;
            if length <= self.longest {
                self.buffer.extend_from_slice(taken);
            }
            ended = end.is_some();
            let used = taken.len() + usize::from(ended);
            self.input.consume(used);
        }
        Ok((length > 0 || ended).then_some(length))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the line read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// An error about the line read last.
    pub fn error(&self, detail: impl ToString) -> FileError {
        line_error(&self.path, self.number, detail)
    }
}

/// An error about a line.
pub fn line_error(path: &Path, line: u64, detail: impl ToString) -> FileError {
    FileError::Line { path: path.to_owned(), line, detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &'static [u8]) -> TextLines {
        TextLines::new(Path::new("f.txt"), bytes)
    }

    #[test]
    fn line_ends_blank_lines_and_a_byte_order_mark_are_taken_off() {
        let mut lines = lines(b"\xEF\xBB\xBFone\r\n\n  \ntwo\tx \nlast");
        assert_eq!(lines.next_line().unwrap(), Some("one"));
        assert_eq!(lines.next_line().unwrap(), Some("two\tx "));
        assert!(lines.error("x").to_string().starts_with("f.txt:4: x"));
        assert_eq!(lines.next_line().unwrap(), Some("last"));
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let endless = std::io::BufReader::new(std::io::Read::take(std::io::repeat(b'x'), 1 << 20));
        let mut lines = TextLines::new(Path::new("f.bin"), endless).with_longest(1000);
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.contains("f.bin:1") && error.contains("1000 bytes"), "{error}");
        assert!(lines.buffer.capacity() < 1 << 17);
    }

    #[test]
    fn bytes_that_are_not_text_name_file_and_line() {
        let mut lines = lines(b"one\nt\xFFwo\n");
        lines.next_line().unwrap();
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.contains("f.txt:2") && error.contains("byte 2"), "{error}");
        assert_eq!(lines.next_line().unwrap(), None, "what follows can be read");
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_one_read() {
        let mut lines = lines(b"one\n\xE9t\xE9\n\ntwo\0\nthree");
        assert_eq!(lines.read().unwrap(), Some(Line::Text("one")));
        assert!(matches!(lines.read().unwrap(), Some(Line::Bad(BadLine::NotUtf8, _))));
        assert_eq!(lines.read().unwrap(), Some(Line::Text("")));
        assert!(matches!(lines.read().unwrap(), Some(Line::Bad(BadLine::Binary, _))));
        assert_eq!(lines.read().unwrap(), Some(Line::Text("three")));
        assert_eq!(lines.read().unwrap(), None);
        let mut wide = super::TextLines::new(Path::new("w.txt"), &b"\xFF\xFEo\0n\0"[..]);
        assert!(wide.next_line().unwrap_err().to_string().contains("UTF-16"));
    }
}
