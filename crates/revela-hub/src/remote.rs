//! What a hub says of the files of a repository.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use revela_base::file::FileError;
use serde::Deserialize;

use crate::error::HubError;

/// A file of a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository.
    pub path: String,
    /// Its length in bytes, where the hub says.
    pub size: Option<u64>,
    /// Its checksum, where the hub says.
    pub(crate) checksum: Option<Checksum>,
}

/// What fixes a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Of large files.
    Sha256(String),
    /// Of small ones: SHA-1 over a header and the bytes.
    Git(String),
}

/// The files of a model at the newest commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The commit.
    pub commit: String,
    /// Its files.
    pub files: Vec<RemoteFile>,
}

/// An entry of a list of a folder's files.
#[derive(Deserialize)]
struct TreeEntry {
    path: String,
    #[serde(default)]
    size: Option<u64>,
    r#type: String,
    oid: Option<String>,
    lfs: Option<TreeLarge>,
}

#[derive(Deserialize)]
struct TreeLarge {
    oid: String,
}

/// What the hub says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<SiblingLarge>,
}

#[derive(Deserialize)]
struct SiblingLarge {
    sha256: Option<String>,
    size: Option<u64>,
}

impl RemoteFile {
    /// A file of which only the path is known.
    pub fn named(path: &str) -> Self {
        Self { path: path.to_owned(), size: None, checksum: None }
    }

    /// The files of one page of a list.
    pub(crate) fn of_tree(json: &[u8]) -> Result<Vec<Self>, String> {
        let entries: Vec<TreeEntry> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let files = entries.into_iter().filter(|entry| entry.r#type == "file");
        let files = files.map(|TreeEntry { path, size, oid, lfs, .. }| Self {
            path,
            size,
            checksum: lfs.map(|large| Checksum::Sha256(large.oid)).or(oid.map(Checksum::Git)),
        });
        checked(files.collect())
    }

    /// Whether a file's content is what the commit fixes, as far as the hub said.
    pub(crate) fn matches(&self, path: &Path) -> Result<bool, HubError> {
        match (&self.checksum, self.size) {
            (Some(Checksum::Sha256(oid)), _) => Ok(digest(sha2::Sha256::default(), path)? == *oid),
            (Some(Checksum::Git(oid)), Some(size)) => {
                let header = format!("blob {size}\0");
                Ok(digest(<sha1::Sha1 as sha1::Digest>::new_with_prefix(header), path)? == *oid)
            }
            (Some(Checksum::Git(_)) | None, _) => Ok(true),
        }
    }
}

impl Listing {
    pub(crate) fn of_info(json: &[u8]) -> Result<Self, String> {
        let Info { sha, siblings } = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if sha.is_empty() || !sha.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("the commit {sha:?} is none"));
        }
        let file = |Sibling { rfilename, size, blob_id, lfs }: Sibling| {
            let large = lfs.as_ref().and_then(|large| large.sha256.clone()).map(Checksum::Sha256);
            RemoteFile {
                path: rfilename,
                size: size.or(lfs.as_ref().and_then(|large| large.size)),
                checksum: large.or(blob_id.filter(|_| lfs.is_none()).map(Checksum::Git)),
            }
        };
        Ok(Self { commit: sha, files: checked(siblings.into_iter().map(file).collect())? })
    }
}

/// Refuses paths that lead out of the folder they belong into.
fn checked(files: Vec<RemoteFile>) -> Result<Vec<RemoteFile>, String> {
    let leaves = |path: &str| {
        path.starts_with('/')
            || path.contains('\\')
            || path.split('/').any(|part| [".", "..", ""].contains(&part))
    };
    match files.iter().find(|file| leaves(&file.path)) {
        Some(file) => Err(format!("it names a file {:?}, which is no plain path", file.path)),
        None => Ok(files),
    }
}

fn digest<D: sha2::Digest>(mut digest: D, path: &Path) -> Result<String, HubError> {
    let mut file = File::open(path).map_err(FileError::io("open", path))?;
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block).map_err(FileError::io("read", path))? {
            0 => break,
            n => digest.update(block.get(..n).unwrap_or_default()),
        }
    }
    let mut text = String::new();
    for byte in digest.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read_with_and_without_sizes_and_bad_paths_are_refused() {
        let info = br#"{"sha": "abc1", "siblings": [{"rfilename": "a.json"},
            {"rfilename": "b.json", "size": 3, "blobId": "77"},
            {"rfilename": "w", "size": 9, "blobId": "1", "lfs": {"sha256": "ff", "size": 9}}]}"#;
        let Listing { commit, files } = Listing::of_info(info).unwrap();
        assert_eq!(commit, "abc1");
        assert_eq!(files[0], RemoteFile { path: "a.json".into(), size: None, checksum: None });
        assert_eq!(files[1].checksum, Some(Checksum::Git("77".into())));
        assert_eq!(files[2].checksum, Some(Checksum::Sha256("ff".into())));
        for path in ["../a", "/a", "a/../b", "a//b", "a\\b"] {
            let info = serde_json::json!({"sha": "a", "siblings": [{"rfilename": path}]}).to_string();
            assert!(Listing::of_info(info.as_bytes()).unwrap_err().contains("plain path"), "{path}");
        }
        assert!(Listing::of_info(br#"{"sha": "../x"}"#).is_err());
        let tree = br#"[{"type": "directory", "path": "d", "oid": "0"},
            {"type": "file", "path": "d/x", "size": 2, "oid": "5", "lfs": null}]"#;
        let files = RemoteFile::of_tree(tree).unwrap();
        assert_eq!((files.len(), files[0].size), (1, Some(2)));
    }

    #[test]
    fn contents_are_compared_with_either_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "hello\n").unwrap();
        let file = |checksum| RemoteFile { path: "x".into(), size: Some(6), checksum: Some(checksum) };
        let git = |oid: &str| file(Checksum::Git(oid.into())).matches(&path).unwrap();
        assert!(git("ce013625030ba8dba906f756967f9e9ca394464a") && !git("00"));
        let sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert!(file(Checksum::Sha256(sha.into())).matches(&path).unwrap());
    }
}
