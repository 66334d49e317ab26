//! What this machine offers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use revela_hub::Environment;

use super::super::eval::users_folder;
use super::{Findings, Problem};
use crate::version;

/// How long the hub may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn look(findings: &mut Findings, online: bool) {
    let commit = version::COMMIT.unwrap_or("not known");
    findings
        .fact("revela", format_args!("{}, commit {commit}, {}", env!("CARGO_PKG_VERSION"), version::TARGET));
    findings.fact("processor", version::cpu_path().trim_start_matches("cpu: "));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    findings.fact("threads", format_args!("{threads} offered, {} used", rayon::current_num_threads()));
    if let Some((all, free)) = memory() {
        findings.fact("memory", format_args!("{} GiB, {} GiB free", gib(all), gib(free)));
    }
    let gpu = if cfg!(feature = "cuda") { "CUDA is built in" } else { "not built in (--features cuda)" };
    findings.fact("gpu", gpu);
    if let Some((watches, instances)) = inotify() {
        findings.fact("inotify", format_args!("{watches} folders, {instances} watchers a user"));
    }
    caches(findings);
    hub(findings, online);
}

fn caches(findings: &mut Findings) {
    if let Some(cache) = users_folder() {
        let (files, bytes) = size(&cache);
        findings.fact("eval cache", format_args!("{}, {files} files, {} GiB", cache.display(), gib(bytes)));
    }
    let environment = Environment::read();
    let models = fs::read_dir(&environment.cache).into_iter().flatten().flatten();
    let models = models.filter(|entry| entry.file_name().to_string_lossy().starts_with("models--")).count();
    let (_, bytes) = size(&environment.cache);
    let cache = environment.cache.display();
    findings.fact("hub cache", format_args!("{cache}, {models} models, {} GiB", gib(bytes)));
}

fn hub(findings: &mut Findings, online: bool) {
    let environment = Environment::read();
    let token = if environment.token.is_some() { "with a token" } else { "without a token" };
    let mode = match (environment.offline, online) {
        (true, _) => "not asked: HF_HUB_OFFLINE is set".to_owned(),
        (false, false) => "not asked; --online does".to_owned(),
        (false, true) => match answers(&environment.endpoint) {
            Ok(()) => "it answers".to_owned(),
            Err(error) => {
                findings.problem(Problem::new(
                    format_args!("the hub {} does not answer: {error}", environment.endpoint),
                    "check the network and HF_ENDPOINT, or give models as folders",
                ));
                "no answer".to_owned()
            }
        },
    };
    findings.fact("hub", format_args!("{}, {token}, {mode}", environment.endpoint));
}

/// Whether anybody answers at an address, with whatever status.
fn answers(endpoint: &str) -> Result<(), String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    agent.head(endpoint).call().map(drop).map_err(|error| error.to_string())
}

/// Bytes of memory, and those that can be had.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    };
    Some((of("MemTotal:")?, of("MemAvailable:")?))
}

/// How many folders `revela sync --watch` can watch.
fn inotify() -> Option<(u64, u64)> {
    let of = |name: &str| -> Option<u64> {
        fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(name)).ok()?.trim().parse().ok()
    };
    Some((of("max_user_watches")?, of("max_user_instances")?))
}

/// Files in a folder, and their bytes; what cannot be looked at counts nothing. Links are not followed.
fn size(folder: &Path) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                Ok(metadata) if metadata.is_file() => {
                    files += 1;
                    bytes += metadata.len();
                }
                _ => {}
            }
        }
    }
    (files, bytes)
}

fn gib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 30))
}
