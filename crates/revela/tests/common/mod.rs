//! A folder, a corpus made up from a fixed list of words, and the program.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of several tests, none of which uses all")]

pub(crate) mod server;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program in this folder; arguments are split at spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_revela"));
        command.args(arguments.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("REVELA_CACHE", self.path("cache")).env_remove("OPENAI_API_KEY");
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must succeed; returns what it printed.
    pub(crate) fn succeed(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs what must fail with a clear error that holds all of `parts`.
    pub(crate) fn fail(&self, arguments: &str, parts: &[&str]) {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{arguments} must not succeed");
        assert!(!said.contains("panicked"), "{arguments}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments}: no {part:?} in {said}");
        }
    }

    /// A folder of documented functions: `folders` folders of 4 files each.
    pub(crate) fn code(&self, name: &str, folders: usize) {
        for folder in 0..folders {
            for file in 0..4 {
                self.write(&format!("{name}/part{folder:02}/file{file}.rs"), functions(folder * 4 + file));
            }
        }
    }
}

const VERBS: [&str; 8] = ["reads", "writes", "sorts", "counts", "merges", "splits", "hashes", "copies"];
const NOUNS: [&str; 11] =
    ["byte", "line", "node", "page", "token", "frame", "shard", "entry", "label", "point", "block"];
const PLACES: [&str; 7] = ["buffer", "stream", "queue", "table", "cache", "archive", "socket"];

/// Functions that all differ, with doc comments that all differ.
fn functions(file: usize) -> String {
    let function = |i: usize| {
        let at = file * 16 + i;
        let verb = VERBS[at % 8];
        let (noun, place, other) = (NOUNS[at / 8 % 11], PLACES[at / 88 % 7], NOUNS[(at * 5 + 3) % 11]);
        format!(
            "/// {verb} every {noun} number {at} of the {place} before the {other} is needed.\n\
             pub fn {verb}_{noun}_{at}({place}: &mut Vec<u8>) -> usize {{\n    \
             let {other} = {place}.len() + {at};\n    \
             for {noun} in 0..{other} {{\n        {place}.push(({noun} * {at}) as u8);\n    }}\n    {other}\n}}\n\n"
        )
    };
    (0..16).map(function).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Presses Ctrl-C once `ready` holds; returns how the program ended.
pub(crate) fn interrupt_when(mut child: Child, ready: impl Fn() -> bool) -> Output {
    let start = Instant::now();
    while !ready() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        assert!(start.elapsed() < Duration::from_secs(300), "it never came so far");
        std::thread::sleep(Duration::from_millis(20));
    }
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    child.wait_with_output().unwrap()
}

/// Lines of a file that may not be there yet.
pub(crate) fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}
