//! Files read as they are, or through gzip or Zstandard, by their name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const BLOCK: usize = 1 << 16;

/// Opens a file for reading, unpacked when its name ends in `.gz` or `.zst`.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let file = BufReader::with_capacity(BLOCK, File::open(path)?);
    let extension = path.extension().unwrap_or_default();
    Ok(if extension.eq_ignore_ascii_case("gz") {
        Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(file)))
    } else if extension.eq_ignore_ascii_case("zst") {
        Box::new(BufReader::with_capacity(BLOCK, Zstandard::new(file)))
    } else {
        Box::new(file)
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

    fn read(name: &str, bytes: &[u8]) -> io::Result<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut text = String::new();
        open(&path)?.read_to_string(&mut text)?;
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
