//! Asking a hub.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use revela_base::file::{FileError, create_dir, sync_dir};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Task;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::environment::Environment;
use crate::error::HubError;
use crate::remote::{Listing, RemoteFile};

/// How often a download is taken up again before it counts as failed, if each time brought no progress.
const ATTEMPTS: u32 = 4;

/// How long connecting, and waiting for an answer to begin, may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause before a download is taken up again; it doubles each time.
const PAUSE: Duration = Duration::from_millis(250);

/// Largest list of files that is read.
const LARGEST_LIST: u64 = 16 << 20;

/// A repository of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repository<'a> {
    /// A model, `organisation/model`.
    Model(&'a str),
    /// A data set, `organisation/name`.
    DataSet(&'a str),
}

impl Repository<'_> {
    /// Its place under `/api/`.
    fn api(self) -> String {
        match self {
            Self::Model(name) => format!("models/{name}"),
            Self::DataSet(name) => format!("datasets/{name}"),
        }
    }

    /// Its place on the hub's pages.
    fn page(self) -> String {
        match self {
            Self::Model(name) => name.to_owned(),
            Self::DataSet(name) => format!("datasets/{name}"),
        }
    }
}

/// What a download needs to be watched and stopped.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Counts bytes.
    pub progress: &'a dyn Task,
    /// Asks it to stop.
    pub interrupt: &'a Interrupt,
}

/// A hub.
#[derive(Debug)]
pub struct Hub {
    agent: Agent,
    address: String,
    token: Option<String>,
}

impl Hub {
    /// The hub that the environment names.
    pub fn new(environment: &Environment) -> Self {
        let config = Agent::config_builder()
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .http_status_as_error(false);
        Self {
            agent: config.build().into(),
            address: environment.endpoint.clone(),
            token: environment.token.clone(),
        }
    }

    /// A model's newest commit, with its files.
    ///
    /// # Errors
    /// When nobody answers, there is no such model, or it may not be read with this token.
    pub fn newest(&self, model: &str) -> Result<Listing, HubError> {
        let page =
            format!("{}/api/{}/revision/main?blobs=true", self.address, Repository::Model(model).api());
        let (_, json) = self.list(&page)?;
        Listing::of_info(&json).map_err(|detail| HubError::Answer { address: page, detail })
    }

    /// All files of a repository at a commit.
    ///
    /// # Errors
    /// As for [`newest`](Self::newest).
    pub fn files(&self, repository: Repository<'_>, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        let mut address =
            Some(format!("{}/api/{}/tree/{commit}?recursive=true", self.address, repository.api()));
        let mut files = Vec::new();
        while let Some(page) = address {
            let (next, json) = self.list(&page)?;
            let found = RemoteFile::of_tree(&json);
            files.extend(found.map_err(|detail| HubError::Answer { address: page, detail })?);
            address = next;
        }
        Ok(files)
    }

    /// A page of a list, and the address of the next.
    fn list(&self, page: &str) -> Result<(Option<String>, Vec<u8>), HubError> {
        let mut response = self.get(page, 0)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(HubError::Status { address: page.to_owned(), status });
        }
        let json = response.body_mut().with_config().limit(LARGEST_LIST).read_to_vec();
        let json = json.map_err(|e| HubError::Answer { address: page.to_owned(), detail: e.to_string() })?;
        Ok((next_page(&response), json))
    }

    fn get(&self, address: &str, from: u64) -> Result<Response<Body>, HubError> {
        let mut request = self.agent.get(address);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        // Not handed on when the hub sends us to another host.
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let unreachable =
            |source| HubError::Unreachable { address: address.to_owned(), source: Box::new(source) };
        request.call().map_err(unreachable)
    }

    /// Fetches a file to `target`, going on with what is there. When this succeeds, its length and checksum
    /// were right, as far as the hub says them.
    ///
    /// # Errors
    /// When nobody answers, the answer breaks off again and again, or is not what the commit fixes.
    pub fn fetch(
        &self,
        repository: Repository<'_>,
        commit: &str,
        file: &RemoteFile,
        target: &Path,
        watch: Watch<'_>,
    ) -> Result<(), HubError> {
        let address = format!("{}/{}/resolve/{commit}/{}", self.address, repository.page(), file.path);
        let folder = target.parent().unwrap_or(Path::new("."));
        create_dir(folder)?;
        watch.progress.advance(length(target).min(file.size.unwrap_or(0)));
        let (mut failures, mut pause) = (0, PAUSE);
        let mut expected = file.size;
        while expected.is_none_or(|size| length(target) < size) || !target.exists() {
            let before = length(target);
            let result = self.go_on(&address, target, watch);
            watch.interrupt.check()?;
            failures = if length(target) > before { 0 } else { failures + 1 };
            match result {
                Ok(whole) if expected.is_none() => expected = Some(whole),
                Ok(_) if expected == Some(0) => break,
                Ok(_) if failures < ATTEMPTS => {}
                Ok(_) => {
                    let detail = format!("it ends before its {} bytes", expected.unwrap_or(0));
                    return Err(HubError::Answer { address, detail });
                }
                Err(error) if failures >= ATTEMPTS || !error.may_pass() => return Err(error),
                Err(_) => {
                    std::thread::sleep(pause);
                    pause = if failures == 0 { PAUSE } else { pause * 2 };
                }
            }
        }
        if expected.is_some_and(|size| length(target) != size) || !file.matches(target)? {
            // Going on with it would never make it right.
            fs::remove_file(target).map_err(FileError::io("remove", target))?;
            return Err(HubError::Checksum { address, path: target.to_owned() });
        }
        Ok(sync_dir(folder)?)
    }

    /// Appends what is still missing, as far as the connection holds; returns the length of the whole.
    fn go_on(&self, address: &str, target: &Path, watch: Watch<'_>) -> Result<u64, HubError> {
        let from = length(target);
        let response = self.get(address, from)?;
        let (opened, start) = match response.status().as_u16() {
            206 if from > 0 => (OpenOptions::new().append(true).open(target), from),
            // A server that knows no ranges sends everything again.
            200 => (File::create(target), 0),
            // What is there is the whole.
            416 if from > 0 => return Ok(from),
            status => return Err(HubError::Status { address: address.to_owned(), status }),
        };
        let mut out = opened.map_err(FileError::io("write", target))?;
        let announced = response.headers().get("content-length");
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let mut body = response.into_body().into_reader();
        let mut block = vec![0; 1 << 16];
        let mut came = 0;
        loop {
            watch.interrupt.check()?;
            let n = match body.read(&mut block) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => {
                    out.sync_all().map_err(FileError::io("sync", target))?;
                    return Err(breaks_off(address, &error.to_string()));
                }
            };
            out.write_all(block.get(..n).unwrap_or_default()).map_err(FileError::io("write", target))?;
            watch.progress.advance(n as u64);
            came += n as u64;
        }
        out.sync_all().map_err(FileError::io("sync", target))?;
        match announced {
            Some(announced) if came < announced => {
                Err(breaks_off(address, &format!("{came} of {announced} bytes came")))
            }
            _ => Ok(start + came),
        }
    }
}

impl HubError {
    /// Whether trying again may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == 408 || *status == 429 || *status >= 500,
            Self::Unreachable { .. } | Self::Answer { .. } => true,
            Self::File(_) | Self::Interrupted(_) | Self::Checksum { .. } => false,
        }
    }
}

fn breaks_off(address: &str, detail: &str) -> HubError {
    HubError::Answer { address: address.to_owned(), detail: format!("it breaks off: {detail}") }
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
