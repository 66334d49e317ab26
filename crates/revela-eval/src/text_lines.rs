//! Text files read line by line, with the file and the line in every error.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use revela_base::file::FileError;

/// Longer lines are refused: a file of another kind may hold no line end at all, and must not fill the memory.
const LONGEST_LINE: u64 = 64 << 20;

/// A reader that lends one line at a time.
pub(crate) struct TextLines {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    number: u64,
}

impl TextLines {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        Ok(Self::new(path, file))
    }

    /// Reads from anything; `path` is what errors name.
    pub(crate) fn new(path: &Path, input: impl Read + Send + 'static) -> Self {
        let input = Box::new(BufReader::with_capacity(1 << 16, input));
        Self { path: path.to_owned(), input, buffer: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, without its line end.
    pub(crate) fn next_line(&mut self) -> Result<Option<&str>, FileError> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let read = self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.buffer);
            match read.map_err(FileError::io("read", &self.path))? as u64 {
                0 => return Ok(None),
                LONGEST_LINE if !self.buffer.ends_with(b"\n") => {
                    return Err(self.error("the line is longer than 64 MiB; is this a text file?"));
                }
                _ => {}
            }
            if self.number == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.buffer.drain(..3);
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        match str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\n', '\r']))),
            Err(e) => Err(self.error(format!("byte {} of the line is not valid UTF-8", e.valid_up_to() + 1))),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An error about the line read last.
    pub(crate) fn error(&self, detail: impl ToString) -> FileError {
        line_error(&self.path, self.number, detail)
    }
}

/// An error about a line.
pub(crate) fn line_error(path: &Path, line: u64, detail: impl ToString) -> FileError {
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
        let mut lines = TextLines::new(Path::new("f.bin"), std::io::repeat(b'x'));
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.contains("f.bin:1") && error.contains("64 MiB"), "{error}");
    }

    #[test]
    fn bytes_that_are_not_text_name_file_and_line() {
        let mut lines = lines(b"one\nt\xFFwo\n");
        lines.next_line().unwrap();
        let error = lines.next_line().unwrap_err().to_string();
        assert!(error.contains("f.txt:2") && error.contains("byte 2"), "{error}");
    }
}
