//! A folder and its collection, through all that may happen between two passes.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::payload::Payload;
use revela_index::testing::HashEmbedder;
use revela_index::{Collection, CollectionWriter, Passage};
use revela_sync::{Folder, FolderSync, Report, SyncError};

/// Counts what it embeds.
struct Counting(HashEmbedder, AtomicUsize);

impl Embedder for Counting {
    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.0.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.0.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        self.1.fetch_add(texts.len(), Ordering::Relaxed);
        self.0.embed(kind, texts)
    }
}

struct Place {
    dir: tempfile::TempDir,
    embedder: Option<Arc<Counting>>,
}

impl Place {
    fn new(with_vectors: bool) -> Self {
        let counting = || Arc::new(Counting(HashEmbedder::new(32), AtomicUsize::new(0)));
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("notes")).unwrap();
        Self { dir, embedder: with_vectors.then(counting) }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("notes")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn folder(&self) -> Folder {
        Folder { chunk_size: Some(20), ..Folder::new(&self.root()) }
    }

    fn syncer(&self, folder: Folder) -> FolderSync {
        FolderSync::new(folder, self.embedder.clone().map(|embedder| embedder as Arc<dyn Embedder>))
    }

    /// One pass by somebody who knows nothing but what is on the disk.
    fn sync(&self) -> Report {
        self.syncer(self.folder()).sync(&Silent, &Interrupt::new()).unwrap()
    }

    fn state(&self) -> State {
        state(&self.folder().collection)
    }

    /// What a collection holds that is made anew.
    fn fresh(&self) -> State {
        let collection = self.dir.path().join("fresh");
        if collection.exists() {
            fs::remove_dir_all(&collection).unwrap();
        }
        let folder = Folder { collection: collection.clone(), ..self.folder() };
        self.syncer(folder).sync(&Silent, &Interrupt::new()).unwrap();
        state(&collection)
    }

    fn embedded(&self) -> usize {
        self.embedder.as_ref().unwrap().1.load(Ordering::Relaxed)
    }
}

type State = BTreeMap<String, (Passage, Payload, Option<Vec<f32>>)>;

fn state(collection: &Path) -> State {
    let collection = Collection::open(collection).unwrap();
    let mut ids = Vec::new();
    collection.each_id(|id| ids.push(id.to_owned())).unwrap();
    let all = ids.iter().map(|id| {
        let passage = collection.passage(id).unwrap().unwrap();
        let vector = collection.vector(id).unwrap().map(|vector| {
            // A vector that was taken over may differ in its last bits.
            vector.into_iter().map(|x| (x * 1e5).round()).collect()
        });
        (id.clone(), (passage, collection.payload(id).unwrap().unwrap(), vector))
    });
    let state: State = all.collect();
    assert_eq!(state.len(), ids.len(), "no id twice");
    state
}

fn long(topic: &str) -> String {
    let part =
        |n: usize| format!("# Part {n} of {topic}\n\n{}\n\n", format!("{topic} word{n} and more ").repeat(4));
    (0..5).map(part).collect()
}

#[test]
fn what_changes_is_followed_and_nothing_else_is_done() {
    let place = Place::new(true);
    place.write("a.md", &long("lease"));
    place.write("sub/b.md", &long("socket"));
    place.write("c.rs", "/// Doc.\nfn renew() {\n    lease();\n}\n");
    place.write("d.png", "no");
    let first = place.sync();
    assert_eq!((first.files.added, first.chunks.removed), (3, 0));
    assert_eq!(first.left_out["other type"].count, 1);
    assert_eq!(place.state(), place.fresh());
    let (before, embedded) = (place.state(), place.embedded());

    let again = place.sync();
    assert_eq!((again.files.unchanged, again.chunks.written, again.generation), (3, 0, first.generation));
    assert!(!again.changed_anything());

    // One part of five, in the middle: what follows moves down by two lines.
    place.write("a.md", &long("lease").replace("word2 and", "word2\n\nand another"));
    let report = place.sync();
    assert_eq!((report.files.changed, report.files.unchanged), (1, 2));
    assert!(report.chunks.embedded < report.chunks.written, "{report:?}");
    assert!(place.embedded() - embedded <= 6, "a few chunks were embedded");
    assert_eq!(place.state(), place.fresh());
    assert_ne!(place.state(), before);

    let embedded = place.embedded();
    fs::rename(place.root().join("sub"), place.root().join("moved")).unwrap();
    let report = place.sync();
    assert_eq!((report.files.moved, report.files.added, report.files.removed), (1, 1, 1));
    assert_eq!((report.chunks.embedded, place.embedded()), (0, embedded), "nothing is embedded again");
    assert_eq!(report.chunks.reused, report.chunks.written);
    assert_eq!(place.state(), place.fresh());

    fs::remove_file(place.root().join("a.md")).unwrap();
    place.write("moved/b.md", "");
    let report = place.sync();
    assert_eq!(report.files.removed, 2);
    assert_eq!(report.left_out["blank"].count, 1);
    assert_eq!(place.state(), place.fresh());
    assert_eq!(place.state().len(), 1);
}

#[test]
fn rules_for_what_is_left_out_count_as_soon_as_they_stand_there() {
    let place = Place::new(false);
    place.write("a.md", &long("lease"));
    place.write("drafts/b.md", &long("socket"));
    assert_eq!(place.sync().files.added, 2);
    place.write(".revelaignore", "drafts\n");
    assert_eq!(place.sync().files.removed, 1);
    assert_eq!(place.state(), place.fresh());
    place.write(".revelaignore", "");
    place.write(".gitignore", "a.md");
    let report = place.sync();
    assert_eq!((report.files.added, report.files.removed), (1, 1));
    assert_eq!(place.state(), place.fresh());
}

/// Every state that a kill can leave: the files of before, after and between, in all combinations.
#[test]
fn whatever_of_three_files_is_old_the_next_pass_gives_the_same() {
    let place = Place::new(true);
    for name in ["a.md", "b.md", "c.md"] {
        place.write(name, &long(name));
    }
    place.sync();
    let collection = place.folder().collection;
    let copy = |name: &str| {
        let to = place.dir.path().join(name);
        let copied = std::process::Command::new("cp").arg("-rp").arg(&collection).arg(&to).status().unwrap();
        assert!(copied.success());
        to
    };
    // A change that has come to its end is made from here three times, and more.
    place.write("a.md", &long("other"));
    fs::remove_file(place.root().join("b.md")).unwrap();
    let before = copy("before");
    place.sync();
    let after = copy("after");
    let wanted = place.fresh();
    let logs = [&before, &after].map(|dir| fs::read(dir.join("sync.log")).unwrap_or_default());
    let cuts = (0..8).map(|part| logs[1][..logs[1].len() * part / 8].to_vec());
    let logs: Vec<Vec<u8>> = cuts.chain(logs.clone()).collect();
    for (shards, base) in [(&before, &before), (&after, &before), (&after, &after), (&before, &after)] {
        for (number, log) in logs.iter().enumerate() {
            fs::remove_dir_all(&collection).unwrap();
            fs::rename(copy_of(shards, &place), &collection).unwrap();
            fs::copy(base.join("sync.jsonl"), collection.join("sync.jsonl")).unwrap();
            fs::write(collection.join("sync.log"), log).unwrap();
            place.sync();
            assert_eq!(place.state(), wanted, "log {number}");
            assert!(!place.sync().changed_anything());
        }
    }
}

fn copy_of(dir: &Path, place: &Place) -> PathBuf {
    let to = place.dir.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-rp").arg(dir).arg(&to).status().unwrap();
    assert!(copied.success());
    to
}

#[test]
fn what_others_did_to_the_collection_is_undone() {
    let place = Place::new(false);
    place.write("a.md", &long("lease"));
    place.write("b.md", &long("socket"));
    place.sync();
    let collection = place.folder().collection;
    let wanted = place.state();
    let mut sync = place.syncer(place.folder());
    sync.sync(&Silent, &Interrupt::new()).unwrap();

    let mut writer = CollectionWriter::open(&collection).unwrap();
    writer.delete(["a.md#1", "b.md#0"]).unwrap();
    let stray = |id: &str| {
        let passage = Passage { id: id.to_owned(), title: String::new(), text: "stray".to_owned() };
        Ok::<_, std::io::Error>(passage)
    };
    let strays = ["stray", "a.md#99", "gone.md#0", "a.md#007"].map(stray);
    writer.add(strays, None, revela_index::Duplicates::Refuse, &Silent, &Interrupt::new()).unwrap();
    drop(writer);
    // Also for somebody who was there before.
    sync.sync(&Silent, &Interrupt::new()).unwrap();
    assert_eq!(place.state(), wanted);

    fs::remove_file(collection.join("sync.jsonl")).unwrap();
    place.sync();
    assert_eq!(place.state(), wanted);
    fs::write(collection.join("sync.jsonl"), "rubbish").unwrap();
    fs::write(collection.join("sync.log"), [0xff; 99]).unwrap();
    place.sync();
    assert_eq!(place.state(), wanted);
    assert!(!place.sync().changed_anything());
}

#[cfg(unix)]
#[test]
fn bad_files_are_counted_by_reason_and_the_rest_goes_on() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new(false);
    place.write("good.md", &long("lease"));
    fs::write(place.root().join("latin.txt"), b"caf\xe9 and more").unwrap();
    fs::write(place.root().join("binary.md"), b"a\0b").unwrap();
    place.write("broken.ipynb", "{");
    fs::File::create(place.root().join("huge.md")).unwrap().set_len(3 << 30).unwrap();
    std::os::unix::fs::symlink(place.root(), place.root().join("loop")).unwrap();
    fs::write(place.root().join(std::ffi::OsStr::from_bytes(b"\xff.md")), "name").unwrap();
    place.write("secret.md", "secret");
    fs::set_permissions(place.root().join("secret.md"), fs::Permissions::from_mode(0o000)).unwrap();
    let may_read_all = fs::read(place.root().join("secret.md")).is_ok();

    for _ in 0..2 {
        let report = place.sync();
        for (reason, what) in [
            ("not UTF-8", "latin.txt"),
            ("binary", "binary.md"),
            ("malformed", "broken.ipynb"),
            ("too long", "huge.md"),
            ("name not UTF-8", "md"),
        ] {
            let left_out = &report.left_out[reason];
            assert_eq!(left_out.count, 1, "{reason}");
            assert!(left_out.first.as_ref().unwrap().contains(what), "{left_out:?}");
        }
        assert_eq!(report.left_out["link"].count, 1);
        assert!(may_read_all || report.left_out["unreadable"].count == 1, "{report:?}");
    }
    // What becomes readable comes in.
    fs::set_permissions(place.root().join("secret.md"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(place.root().join("latin.txt"), "caf\u{e9}").unwrap();
    place.sync();
    let paths: Vec<_> = place.state().into_keys().filter(|id| id.ends_with("#0")).collect();
    assert_eq!(paths, ["good.md#0", "latin.txt#0", "secret.md#0"]);
    assert_eq!(place.state(), place.fresh());
}

#[test]
fn a_change_that_leaves_size_and_time_is_seen() {
    let place = Place::new(false);
    place.write("a.md", "the lease is renewed");
    place.sync();
    let path = place.root().join("a.md");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    place.write("a.md", "the lease is expired");
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(place.sync().files.changed, 1);
    assert!(place.state()["a.md#0"].0.text.contains("expired"));
}

#[test]
fn what_does_not_fit_the_collection_is_refused_with_a_way_out() {
    let place = Place::new(false);
    place.write("a.md", "the lease is renewed");
    place.sync();
    let said = |folder: Folder, place: &Place| {
        let error = place.syncer(folder).sync(&Silent, &Interrupt::new()).unwrap_err();
        assert!(!matches!(error, SyncError::Interrupted(_)));
        error.to_string()
    };
    let other = Folder { chunk_size: Some(50), ..place.folder() };
    assert!(said(other, &place).contains("--fresh"));
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let other = Folder { path: elsewhere.clone(), ..place.folder() };
    assert!(said(other, &place).contains("notes"));
    let gone = Folder::new(&place.dir.path().join("gone"));
    assert!(said(gone, &place).contains("nothing was changed"));
    let file = Folder { path: place.root().join("a.md"), ..place.folder() };
    assert!(said(file, &place).contains("not a folder"));
    let with = Place { embedder: Place::new(true).embedder, ..place };
    assert!(said(with.folder(), &with).contains("no vectors"));

    // A collection that lies elsewhere knows its folder, too, and goes along when that is moved.
    let place = Place::new(false);
    place.write("a.md", "the lease is renewed");
    let folder = Folder { collection: place.dir.path().join("index"), ..place.folder() };
    place.syncer(folder.clone()).sync(&Silent, &Interrupt::new()).unwrap();
    let other = place.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    assert!(said(Folder { path: other.clone(), ..folder.clone() }, &place).contains("--out"));
    fs::remove_dir(&other).unwrap();
    fs::rename(place.root(), &other).unwrap();
    let folder = Folder { path: other, ..folder };
    let report = place.syncer(folder).sync(&Silent, &Interrupt::new()).unwrap();
    assert_eq!(report.files.unchanged, 1);
}
