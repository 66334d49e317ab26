//! Files read as they are, or unpacked from gzip or Zstandard.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::file::FileError;

const BLOCK: usize = 1 << 16;

/// Endings of names whose files are unpacked.
pub const ENDINGS: [&str; 2] = [".gz", ".zst"];

/// How bytes are packed.
enum Packing {
    Gzip,
    Zstandard,
    /// In a way that is not read here, by its name.
    Other(&'static str),
}

/// The first bytes of packed files. None of them begins a text.
const BEGINNINGS: [(&[u8], Packing); 9] = [
    (b"\x1F\x8B", Packing::Gzip),
    (b"\x28\xB5\x2F\xFD", Packing::Zstandard),
    (b"\xFD7zXZ\0", Packing::Other("xz")),
    (b"BZh91AY&SY", Packing::Other("bzip2")),
    (b"PK\x03\x04", Packing::Other("zip")),
    (b"7z\xBC\xAF\x27\x1C", Packing::Other("7-Zip")),
    (b"\x04\x22\x4D\x18", Packing::Other("LZ4")),
    (b"\xFF\x06\0\0sNaPpY", Packing::Other("Snappy")),
    (b"PAR1", Packing::Other("Parquet")),
];

impl Packing {
    /// By the file's name, or else by its first bytes; nothing for plain files.
    fn of(path: &Path, first: &[u8]) -> Option<&'static Self> {
        let extension = path.extension().unwrap_or_default();
        if extension.eq_ignore_ascii_case("gz") {
            return Some(&Self::Gzip);
        }
        if extension.eq_ignore_ascii_case("zst") {
            return Some(&Self::Zstandard);
        }
        BEGINNINGS.iter().find(|(beginning, _)| first.starts_with(beginning)).map(|(_, packing)| packing)
    }
}

/// Opens a file of text for reading. It is unpacked when its name ends in `.gz` or `.zst`, or its bytes begin so.
///
/// # Errors
/// [`FileError`] when it cannot be opened, or is packed in a way that is not read here, which it names.
pub fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    unpack(path, BufReader::with_capacity(BLOCK, file))
}

/// Refuses a packed file where one is read at places that are not known before.
///
/// # Errors
/// [`FileError`] that says so, or when the file cannot be read.
pub fn refuse(path: &Path) -> Result<(), FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    let mut input = BufReader::with_capacity(64, file);
    let first = input.fill_buf().map_err(FileError::io("read", path))?;
    match Packing::of(path, first) {
        None => Ok(()),
        Some(_) => {
            let detail = "it is packed, but is read here and there; unpack it first".to_owned();
            Err(FileError::Format { path: path.to_owned(), expected: "plain".to_owned(), detail })
        }
    }
}

/// As [`open`], for what is open already.
///
/// # Errors
/// As [`open`].
pub fn unpack(
    path: &Path,
    mut input: impl BufRead + Send + 'static,
) -> Result<Box<dyn BufRead + Send>, FileError> {
    let first = input.fill_buf().map_err(FileError::io("read", path))?;
    Ok(match Packing::of(path, first) {
        None => Box::new(input),
        Some(Packing::Gzip) => Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(input))),
        Some(Packing::Zstandard) => Box::new(BufReader::with_capacity(BLOCK, Zstandard::new(input))),
        Some(Packing::Other(name)) => {
            let detail =
                format!("it is packed with {name}; unpack it first (.gz and .zst are read as they are)");
            let detail = if *name == "Parquet" { "it is a Parquet file".to_owned() } else { detail };
            return Err(FileError::Format { path: path.to_owned(), expected: "text".to_owned(), detail });
        }
    })
}

/// All frames of a Zstandard file, one after the other, with their checksums checked.
///
/// (The crate's own streaming reader stops after one frame and leaves the checksum to its caller.)
struct Zstandard<R> {
    input: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstandard<R> {
    fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), in_frame: false }
    }

    /// Starts the next frame, passing over skippable ones; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => skip(&mut self.input, u64::from(length))?,
                Err(e) => return Err(damaged(e)),
            }
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(damaged("its Zstandard checksum does not match"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                self.in_frame = self.next_frame()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(damaged)?;
            }
            let n = self.decoder.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            self.end_frame()?;
        }
    }
}

fn skip(input: &mut impl BufRead, length: u64) -> io::Result<()> {
    if io::copy(&mut input.by_ref().take(length), &mut io::sink())? < length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is cut short"));
    }
    Ok(())
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<String, FileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut text = String::new();
        open(&path)?.read_to_string(&mut text).map_err(FileError::io("read", &path))?;
        Ok(text)
    }

    fn gz(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    fn zst(text: &str) -> Vec<u8> {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    #[test]
    fn every_member_of_an_archive_is_read() {
        let long: String = (0..200_000).map(|i| format!("{i} ")).collect();
        let whole = format!("{long}two");
        assert_eq!(read("a.jsonl", whole.as_bytes()).unwrap(), whole);
        assert_eq!(read("a.jsonl.gz", &[gz(&long), gz("two")].concat()).unwrap(), whole);
        assert_eq!(read("a.jsonl.zst", &[zst(&long), zst("two")].concat()).unwrap(), whole);
        let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        assert_eq!(read("a.ZST", &[skippable, zst("two")].concat()).unwrap(), "two");
        assert_eq!(read("empty.zst", b"").unwrap(), "");
    }

    #[test]
    fn bytes_tell_what_a_name_does_not() {
        assert_eq!(read("a.jsonl", &gz("one")).unwrap(), "one");
        assert_eq!(read("a", &zst("one")).unwrap(), "one");
        assert_eq!(read("a", b"BZh and so on").unwrap(), "BZh and so on");
        for (bytes, name) in [
            (&b"\xFD7zXZ\0\0\x04"[..], "xz"),
            (b"BZh91AY&SY\0", "bzip2"),
            (b"PK\x03\x04\x14", "zip"),
            (b"PAR1\x15", "Parquet"),
        ] {
            let error = read("a.jsonl", bytes).unwrap_err().to_string();
            assert!(error.contains("a.jsonl") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_cut_or_damaged_archive_is_an_error() {
        let long: String = (0..2_000).map(|i| format!("{i} ")).collect();
        for (name, bytes) in [("a.gz", gz(&long)), ("a.zst", zst(&long))] {
            for cut in [1, 3, bytes.len() / 2, bytes.len() - 1] {
                assert!(read(name, &bytes[..cut]).is_err(), "{name} cut at {cut}");
            }
            let mut flipped = bytes.clone();
            *flipped.last_mut().unwrap() ^= 1;
            assert!(read(name, &flipped).is_err(), "{name} with a flipped bit");
            assert!(read(name, b"this is no archive").is_err());
        }
    }
}
