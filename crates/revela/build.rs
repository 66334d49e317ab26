//! Tells the program which commit it was built from, where that is known.

#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=REVELA_COMMIT");
    // Packagers build outside of the repository and say it themselves.
    let given = std::env::var("REVELA_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    if let Some(commit) = given.or_else(of_repository) {
        println!("cargo::rustc-env=REVELA_COMMIT={}", commit.trim());
    }
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo::rustc-env=REVELA_TARGET={target}");
    }
}

/// The commit of the repository that these sources are of; nothing in an unpacked archive, or without git.
fn of_repository() -> Option<String> {
    // An archive that was unpacked inside of some other repository is not of that.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    for name in ["HEAD", "packed-refs"] {
        watch(&git(&["rev-parse", "--git-path", name])?);
    }
    if let Some(branch) = git(&["symbolic-ref", "-q", "HEAD"]) {
        watch(&git(&["rev-parse", "--git-path", &branch])?);
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// A file that is not there would mean a build every time.
fn watch(path: &str) {
    if Path::new(path).exists() {
        println!("cargo::rerun-if-changed={path}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
