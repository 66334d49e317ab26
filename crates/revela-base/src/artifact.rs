//! Directories that Revela writes: a manifest names the format, the version and every file's checksum.
//!
//! A directory is built under a temporary name and renamed when whole, so that it is either absent or
//! complete. Readers check the manifest first and each file before they trust it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checksum::{Checksum, Fingerprint, HashingWriter};
use crate::destination;
use crate::file::{FileError, check_version, create_dir, sync_dir, temporary_beside, write_atomic};

/// The manifest's name in the directory.
pub const MANIFEST: &str = "revela.json";

/// Size and checksum of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content.
    pub blake3: Checksum,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    files: BTreeMap<String, FileEntry>,
    body: serde_json::Value,
    /// Over all the fields above, so that a flipped bit in the manifest itself is noticed too.
    blake3: Checksum,
}

impl Manifest {
    fn checksum(&self) -> Checksum {
        Fingerprint::new()
            .part("format", &self.format)
            .part("version", self.version.to_le_bytes())
            .part("files", json_text(&self.files))
            .part("body", json_text(&self.body))
            .finish()
    }
}

/// JSON text of a value that cannot fail to encode: string keys, finite numbers.
fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What to do when the target directory exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Fail with [`FileError::Exists`].
    Refuse,
    /// Replace it: the old one is moved aside, the new one takes its name, the old one is removed.
    Replace,
}

/// Builds such a directory.
pub struct ArtifactWriter {
    target: PathBuf,
    temporary: PathBuf,
    format: &'static str,
    version: u32,
    if_exists: IfExists,
    files: BTreeMap<String, FileEntry>,
    committed: bool,
}

impl ArtifactWriter {
    /// Starts a directory that will stand at `target`.
    pub fn create(
        target: &Path,
        format: &'static str,
        version: u32,
        if_exists: IfExists,
    ) -> Result<Self, FileError> {
        let target = destination::folder(target)?;
        if if_exists == IfExists::Refuse && target.exists() {
            return Err(FileError::Exists { path: target });
        }
        let temporary = temporary_beside(&target);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(FileError::io("remove", &temporary))?;
        }
        create_dir(&temporary)?;
        Ok(Self { target, temporary, format, version, if_exists, files: BTreeMap::new(), committed: false })
    }

    /// Writes one file; `name` may hold `/`.
    pub fn file(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<(), FileError> {
        let path = self.temporary.join(name);
        if let Some(parent) = path.parent() {
            create_dir(parent)?;
        }
        let file = File::create(&path).map_err(FileError::io("create", &path))?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(1 << 16, file));
        let shown = self.target.join(name);
        write(&mut out).and_then(|()| out.flush()).map_err(FileError::io("write", &shown))?;
        let entry = FileEntry { bytes: out.bytes(), blake3: out.checksum() };
        let file =
            out.into_inner().into_inner().map_err(|e| FileError::io("write", &shown)(e.into_error()))?;
        file.sync_all().map_err(FileError::io("sync", &shown))?;
        self.files.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Writes one file of JSON, indented for people.
    pub fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), FileError> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|e| FileError::io("encode", &self.target.join(name))(e.into()))?;
        text.push(b'\n');
        self.file(name, |out| out.write_all(&text))
    }

    /// Writes the manifest and gives the directory its name.
    pub fn finish(mut self, body: &impl Serialize) -> Result<(), FileError> {
        let encode = |e: serde_json::Error| FileError::io("encode", &self.target)(e.into());
        let body = serde_json::to_value(body).map_err(encode)?;
        let mut manifest = Manifest {
            format: self.format.to_owned(),
            version: self.version,
            files: std::mem::take(&mut self.files),
            body,
            blake3: Checksum::of(b""),
        };
        manifest.blake3 = manifest.checksum();
        let text = serde_json::to_vec_pretty(&manifest).map_err(encode)?;
        write_atomic(&self.temporary.join(MANIFEST), |out| out.write_all(&text))?;
        self.publish()
    }

    fn publish(&mut self) -> Result<(), FileError> {
        let parent = self.target.parent().unwrap_or(Path::new(".")).to_owned();
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(FileError::io("rename", to));
        if self.target.exists() {
            if self.if_exists == IfExists::Refuse {
                return Err(FileError::Exists { path: self.target.clone() });
            }
            let old = fs::metadata(&self.target).map_err(FileError::io("open", &self.target))?;
            fs::set_permissions(&self.temporary, old.permissions())
                .map_err(FileError::io("set the mode of", &self.target))?;
            let aside = self.temporary.with_extension("old");
            rename(&self.target, &aside)?;
            rename(&self.temporary, &self.target)?;
            self.committed = true;
            sync_dir(&parent)?;
            return fs::remove_dir_all(&aside).map_err(FileError::io("remove", &aside));
        }
        rename(&self.temporary, &self.target)?;
        self.committed = true;
        sync_dir(&parent)
    }
}

impl Drop for ArtifactWriter {
    fn drop(&mut self) {
        if !self.committed {
            // A failure leaves a folder under a name that is never read and that the next run clears.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// An opened directory: its manifest is read and checked, its files are not yet.
#[derive(Debug)]
pub struct Artifact<B> {
    dir: PathBuf,
    files: BTreeMap<String, FileEntry>,
    /// What the format itself stores in the manifest.
    pub body: B,
}

impl<B: DeserializeOwned> Artifact<B> {
    /// Reads the manifest and checks format, version and the manifest's own checksum.
    pub fn open(dir: &Path, format: &str, versions: RangeInclusive<u32>) -> Result<Self, FileError> {
        let path = dir.join(MANIFEST);
        let bytes = fs::read(&path).map_err(FileError::io("read", &path))?;
        let not_ours =
            |detail: String| FileError::Format { path: path.clone(), expected: format.to_owned(), detail };
        let head: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| not_ours(e.to_string()))?;
        let found = head.get("format").and_then(|f| f.as_str()).unwrap_or("nothing by name");
        if found != format {
            return Err(not_ours(format!("it says that it is {found}")));
        }
        let version = head.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        check_version(&path, format, u32::try_from(version).unwrap_or(u32::MAX), versions)?;
        let manifest: Manifest =
            serde_json::from_value(head).map_err(|e| FileError::corrupt(&path, e.to_string()))?;
        if manifest.checksum() != manifest.blake3 {
            return Err(FileError::corrupt(&path, "its checksum does not match"));
        }
        let body =
            serde_json::from_value(manifest.body).map_err(|e| FileError::corrupt(&path, e.to_string()))?;
        Ok(Self { dir: dir.to_owned(), files: manifest.files, body })
    }

    /// Whether the manifest names a file.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The path of a file that the manifest names, after its length was checked.
    pub fn path(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.dir.join(name);
        let entry = self
            .files
            .get(name)
            .ok_or_else(|| FileError::corrupt(&self.dir.join(MANIFEST), format!("it lists no {name}")))?;
        let length = fs::metadata(&path).map_err(FileError::io("open", &path))?.len();
        if length != entry.bytes {
            let detail = format!("it has {length} bytes where the manifest says {}", entry.bytes);
            return Err(FileError::corrupt(&path, detail));
        }
        Ok(path)
    }

    /// The path of a file after its whole content was checked.
    pub fn verified(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.path(name)?;
        if self.files.get(name).map(|e| e.blake3) != Some(Checksum::of_file(&path)?) {
            return Err(FileError::corrupt(&path, "its checksum does not match the manifest"));
        }
        Ok(path)
    }

    /// A checked file of JSON.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, FileError> {
        let path = self.verified(name)?;
        let bytes = fs::read(&path).map_err(FileError::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|e| FileError::corrupt(&path, e.to_string()))
    }

    /// Every file's name, size and checksum.
    pub fn files(&self) -> &BTreeMap<String, FileEntry> {
        &self.files
    }

    /// Checks every file.
    pub fn verify(&self) -> Result<(), FileError> {
        self.files.keys().try_for_each(|name| self.verified(name).map(drop))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(dir: &Path, if_exists: IfExists, text: &str) -> Result<(), FileError> {
        let mut writer = ArtifactWriter::create(dir, "revela.test", 2, if_exists)?;
        writer.file("a/b.txt", |out| out.write_all(text.as_bytes()))?;
        writer.json("c.json", &[1, 2, 3])?;
        writer.finish(&"body")
    }

    fn open(dir: &Path) -> Result<Artifact<String>, FileError> {
        Artifact::open(dir, "revela.test", 1..=2)
    }

    #[test]
    fn round_trip_and_replace() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x");
        build(&dir, IfExists::Refuse, "one").unwrap();
        let artifact = open(&dir).unwrap();
        artifact.verify().unwrap();
        assert_eq!(artifact.body, "body");
        assert_eq!(artifact.json::<Vec<u32>>("c.json").unwrap(), [1, 2, 3]);
        assert!(matches!(build(&dir, IfExists::Refuse, "two"), Err(FileError::Exists { .. })));
        build(&dir, IfExists::Replace, "two").unwrap();
        let text = fs::read_to_string(open(&dir).unwrap().verified("a/b.txt").unwrap()).unwrap();
        assert_eq!(text, "two");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays_one_and_the_folder_keeps_its_mode() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let (link, real) = (root.path().join("link"), root.path().join("real"));
        symlink("real", &link).unwrap();
        build(&link, IfExists::Refuse, "one").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o750)).unwrap();
        build(&link, IfExists::Replace, "two").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(fs::read_to_string(open(&real).unwrap().verified("a/b.txt").unwrap()).unwrap(), "two");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing temporary is left");
        let file = root.path().join("file");
        fs::write(&file, "not a folder").unwrap();
        assert!(matches!(build(&file, IfExists::Replace, "x"), Err(FileError::Exists { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
    }

    #[test]
    fn unfinished_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x");
        let mut writer = ArtifactWriter::create(&dir, "revela.test", 2, IfExists::Refuse).unwrap();
        writer.file("a", |out| out.write_all(b"1")).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn damage_is_noticed_in_files_and_manifest() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x");
        build(&dir, IfExists::Refuse, "one").unwrap();
        fs::write(dir.join("a/b.txt"), "onE").unwrap();
        assert!(matches!(open(&dir).unwrap().verify(), Err(FileError::Corrupt { .. })));
        fs::write(dir.join("a/b.txt"), "longer").unwrap();
        assert!(open(&dir).unwrap().path("a/b.txt").is_err());
        let manifest = fs::read_to_string(dir.join(MANIFEST)).unwrap();
        fs::write(dir.join(MANIFEST), manifest.replace("\"body\": \"body\"", "\"body\": \"bodY\"")).unwrap();
        assert!(matches!(open(&dir), Err(FileError::Corrupt { .. })));
        fs::write(dir.join(MANIFEST), manifest.replace("revela.test", "revela.tost")).unwrap();
        assert!(matches!(open(&dir), Err(FileError::Format { .. })));
    }
}
