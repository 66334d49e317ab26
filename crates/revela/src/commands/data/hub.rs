//! Files from the Hugging Face hub: what a data set holds at a commit, and each of them, resumed where a
//! download broke off and checked against the checksum that the commit fixes.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use revela_base::file::{FileError, create_dir, sync_dir};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Task as ProgressTask;
use revela_eval::catalog::HubSource;
use serde::Deserialize;
use sha2::Digest as _;
use ureq::Agent;
use ureq::http::Response;
use ureq::{Body, ResponseExt as _};

/// How often a download is taken up again before it counts as failed, if each time brought no progress.
const ATTEMPTS: u32 = 4;

/// How long connecting, and waiting for an answer to begin, may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause before a download is taken up again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(250);

/// Largest list of files that is read.
const LARGEST_LIST: u64 = 16 << 20;

/// A hub.
pub(super) struct Hub {
    agent: Agent,
    address: String,
}

/// A file of a data set at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RemoteFile {
    /// Its path in the data set.
    pub(super) path: String,
    /// Its length in bytes.
    #[serde(default)]
    pub(super) size: u64,
    /// "file" or "directory".
    #[serde(rename = "type")]
    kind: String,
    /// Git's checksum of the file, or of the note that stands for a large one.
    oid: String,
    /// A large file's own checksum.
    lfs: Option<Lfs>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Lfs {
    /// SHA-256.
    oid: String,
}

impl RemoteFile {
    /// Whether a file's content is what the commit fixes: by SHA-256 for large files, by Git's way of
    /// naming contents (SHA-1 over a header and the bytes) for small ones.
    fn matches(&self, path: &Path) -> Result<bool> {
        match &self.lfs {
            Some(lfs) => Ok(digest(sha2::Sha256::new(), path)? == lfs.oid),
            None => {
                let header = format!("blob {}\0", self.size);
                Ok(digest(sha1::Sha1::new_with_prefix(header), path)? == self.oid)
            }
        }
    }
}

fn digest<D: sha2::Digest>(mut digest: D, path: &Path) -> Result<String> {
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
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

impl Hub {
    pub(super) fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .http_status_as_error(false);
        Self { agent: config.build().into(), address: address.trim_end_matches('/').to_owned() }
    }

    /// All files of a data set at a commit.
    pub(super) fn files(&self, repo: &str, revision: &str) -> Result<Vec<RemoteFile>> {
        let mut address =
            Some(format!("{}/api/datasets/{repo}/tree/{revision}?recursive=true", self.address));
        let mut files = Vec::new();
        while let Some(page) = address {
            let mut response = self.get(&page, 0)?;
            ensure!(response.status() == 200, "{page} answers with status {}", response.status());
            let list = response.body_mut().with_config().limit(LARGEST_LIST).read_to_vec();
            let list = list.with_context(|| format!("cannot read {page}"))?;
            let found: Vec<RemoteFile> =
                serde_json::from_slice(&list).with_context(|| format!("{page} is not a list of files"))?;
            files.extend(found.into_iter().filter(|file| file.kind == "file"));
            address = next_page(&response);
        }
        for RemoteFile { path, .. } in &files {
            let leaves = path.starts_with('/') || path.split('/').any(|part| [".", "..", ""].contains(&part));
            ensure!(!leaves && !path.contains('\\'), "the hub names a file {path:?}, which is no plain path");
        }
        Ok(files)
    }

    fn get(&self, address: &str, from: u64) -> Result<Response<Body>> {
        let mut request = self.agent.get(address);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.call().with_context(|| format!("cannot reach {address}"))
    }

    /// Fetches a file to `target`, going on with what is there. When this succeeds its checksum was right.
    pub(super) fn fetch(
        &self,
        source: &HubSource,
        file: &RemoteFile,
        target: &Path,
        progress: &dyn ProgressTask,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let HubSource { repo, revision, .. } = source;
        let address = format!("{}/datasets/{repo}/resolve/{revision}/{}", self.address, file.path);
        let folder = target.parent().unwrap_or(Path::new("."));
        create_dir(folder)?;
        let there = length(target);
        progress.advance(there.min(file.size));
        let (mut failures, mut pause) = (0, PAUSE);
        while length(target) < file.size || !target.exists() {
            let before = length(target);
            let result = self.go_on(&address, target, progress, interrupt);
            interrupt.check()?;
            failures = if length(target) > before { 0 } else { failures + 1 };
            match result {
                Ok(()) if file.size == 0 => break,
                Ok(()) if failures < ATTEMPTS => {}
                Ok(()) => bail!("{address} ends before its {} bytes", file.size),
                Err(error) if failures >= ATTEMPTS => return Err(error),
                Err(_) => {
                    std::thread::sleep(pause);
                    pause = if failures == 0 { PAUSE } else { pause * 2 };
                }
            }
        }
        if length(target) != file.size || !file.matches(target)? {
            // Going on with it would never make it right.
            fs::remove_file(target).map_err(FileError::io("remove", target))?;
            bail!("what {address} gives is not what the commit fixes; it was removed, try again");
        }
        Ok(sync_dir(folder)?)
    }

    /// Appends what is still missing, as far as the connection holds.
    fn go_on(
        &self,
        address: &str,
        target: &Path,
        progress: &dyn ProgressTask,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let from = length(target);
        let response = self.get(address, from)?;
        let mut out = match response.status().as_u16() {
            206 if from > 0 => OpenOptions::new().append(true).open(target),
            // A server that knows no ranges sends everything again.
            200 => File::create(target),
            status => bail!("{address} answers with status {status} ({})", response.get_uri()),
        }
        .map_err(FileError::io("write", target))?;
        let mut body = response.into_body().into_reader();
        let mut block = vec![0; 1 << 16];
        loop {
            interrupt.check()?;
            let read = body.read(&mut block).with_context(|| format!("{address} breaks off"));
            let n = match read {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => {
                    out.sync_all().map_err(FileError::io("sync", target))?;
                    return Err(error);
                }
            };
            out.write_all(block.get(..n).unwrap_or_default()).map_err(FileError::io("write", target))?;
            progress.advance(n as u64);
        }
        Ok(out.sync_all().map_err(FileError::io("sync", target))?)
    }
}

/// Bytes that are there; 0 for no file.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

/// The address of the next page of a list, as the `link` header gives it.
fn next_page(response: &Response<Body>) -> Option<String> {
    let link = response.headers().get("link")?.to_str().ok()?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    Some(next.split('<').nth(1)?.split('>').next()?.to_owned())
}
