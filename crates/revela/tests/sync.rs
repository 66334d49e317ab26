//! A folder that stays searchable: passes, kills, and changes that are watched.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use common::{Place, text};
use serde_json::Value;

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The passages of a collection, by id, with all that is known of them.
fn passages(place: &Place, collection: &str) -> Vec<String> {
    place.succeed(&format!("index export {collection} --passages exported.jsonl --quiet"));
    let exported = fs::read_to_string(place.path("exported.jsonl")).unwrap();
    let mut lines: Vec<String> = exported.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn fresh(place: &Place) -> Vec<String> {
    let _ = fs::remove_dir_all(place.path("fresh"));
    place.succeed("sync notes --out fresh --quiet");
    passages(place, "fresh")
}

const KEPT: &str = "notes/.revela/collection";

fn note(number: u64, version: u64) -> String {
    let part = |part: u64| {
        format!(
            "# Part {part} of {number}\n\nThe lease {number} is renewed {} times, version {}.\n\n",
            part * 7,
            version % (part + 2)
        )
    };
    (0..version % 9).map(part).collect()
}

/// Changes the folder somehow: writes, moves, removes.
fn change(place: &Place, numbers: &mut Numbers) {
    for _ in 0..1 + numbers.below(12) {
        let (one, other) = (numbers.below(40), numbers.below(40));
        let path = |n: u64| place.path(&format!("notes/d{}/n{n}.md", n % 5));
        match numbers.below(5) {
            0 => drop(fs::remove_file(path(one))),
            1 => drop(fs::rename(path(one), path(other))),
            _ => fs::write(path(one), note(one, numbers.below(1000))).unwrap(),
        }
    }
}

#[test]
fn killed_at_many_moments_it_loses_nothing_and_keeps_nothing_stale() {
    let place = Place::new();
    let mut numbers = Numbers(20_261_128);
    for n in 0..40 {
        place.write(&format!("notes/d{}/n{n}.md", n % 5), note(n, n + 3));
    }
    let start = Instant::now();
    place.succeed("sync notes");
    let mut longest = start.elapsed();
    let mut killed = 0;
    for round in 0..50 {
        change(&place, &mut numbers);
        let mut child =
            place.command("sync notes --quiet").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(longest.mul_f64(numbers.below(1000) as f64 / 1000.0));
        if child.try_wait().unwrap().is_none() {
            killed += 1;
        } else {
            // Later passes have less to do than the first.
            longest = longest.mul_f64(0.8);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever was left can be searched, and now and then it is made whole.
        place.succeed("search notes lease --quiet");
        if round % 10 == 9 {
            place.succeed("sync notes");
            assert_eq!(passages(&place, KEPT), fresh(&place), "round {round}");
            place.succeed(&format!("index verify {KEPT} --quiet"));
        }
    }
    assert!(killed > 10, "{killed} of 50 were killed before they ended");
    let report: Value = serde_json::from_str(&place.succeed("sync notes --json")).unwrap();
    assert_eq!(report["chunks"]["written"], 0);
}

#[test]
fn what_is_found_says_file_and_line_from_where_one_is() {
    let place = Place::new();
    place.code("src", 2);
    place.write("src/guide.md", "# Lease\n\n## Renewal\n\nThe holder renews it every minute.\n");
    place.write("src/page.html", "<title>Sockets</title><h1>Listen</h1><p>Open a port and listen.</p>");
    let said = place.succeed("sync src");
    assert!(said.contains("10 added") && said.contains("revela search src"), "{said}");
    let found = place.succeed("search src --mode bm25 renews");
    assert!(found.contains("src/guide.md:") && found.contains("Lease > Renewal"), "{found}");

    let inside = |arguments: &[&str]| {
        let mut command = place.command("");
        let output = command.current_dir(place.path("src/part00")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let found = inside(&["search", "sorts every line number 10"]);
    assert!(found.contains("file0.rs:") && !found.contains("src/part00"), "{found}");
    let answer: Value = serde_json::from_str(&inside(&["search", "--json", "port"])).unwrap();
    let payload = &answer["hits"][0]["payload"];
    assert_eq!((&payload["path"], &payload["language"]), (&"page.html".into(), &"html".into()));
    assert_eq!((&payload["heading"], payload.get("start_line")), (&"Listen".into(), None));
    assert!(answer["folder"].as_str().unwrap().ends_with("/src"));
    let answer: Value =
        serde_json::from_str(&inside(&["search", "--json", "-k", "1", "sorts_line_10"])).unwrap();
    let payload = &answer["hits"][0]["payload"];
    let (path, line) = (payload["path"].as_str().unwrap(), payload["start_line"].as_u64().unwrap() as usize);
    let text = fs::read_to_string(place.path("src").join(path)).unwrap();
    assert!(answer["hits"][0]["text"].as_str().unwrap().starts_with(text.lines().nth(line - 1).unwrap()));
    assert!(payload["symbol"].is_string());
    assert!(place.succeed("search src --under part01/ line").contains("src/part01/"));
}

/// A pass of `--watch --json`, as it is printed.
struct Watched {
    child: Child,
    lines: Receiver<Value>,
}

impl Watched {
    fn start(place: &Place) -> Self {
        let mut command = place.command("sync notes --watch --json");
        let log = fs::File::create(place.path("watch.log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    fn next(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn stop(mut self) {
        let signal = std::process::Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(signal.unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn finds(place: &Place, word: &str) -> bool {
    // By words alone: something is always near.
    !place.succeed(&format!("search notes {word} --mode bm25 --quiet")).contains("nothing found")
}

#[test]
fn changes_are_watched_and_bursts_joined() {
    let place = Place::new();
    place.write("notes/a.md", note(1, 8));
    let watched = Watched::start(&place);
    assert_eq!(watched.next()["files"]["added"], 1);
    wait_until("watching", || fs::read_to_string(place.path("watch.log")).unwrap().contains("watching"));

    place.write("notes/b.md", "# B\n\nA zebra.\n");
    let pass = watched.next();
    assert_eq!(pass["files"]["added"], 1);
    assert!(finds(&place, "zebra"));
    assert!(pass["seconds_after_change"].as_f64().unwrap() < 20.0, "even on a machine that is busy: {pass}");

    // A folder that comes with its files, all at once.
    for n in 0..30 {
        place.write(&format!("outside/deep/n{n}.md"), note(n, 5));
    }
    fs::rename(place.path("outside"), place.path("notes/inside")).unwrap();
    let mut added = 0;
    while added < 30 {
        added += watched.next()["files"]["added"].as_u64().unwrap();
    }
    assert_eq!(added, 30);
    // It is watched, too, and goes as it came.
    place.write("notes/inside/deep/new.md", "# New\n\nA giraffe.\n");
    wait_until("the giraffe", || finds(&place, "giraffe"));
    fs::rename(place.path("notes/inside"), place.path("notes/other")).unwrap();
    place.write("notes/.revelaignore", "b.md\n");
    wait_until("b.md leaving", || !finds(&place, "zebra"));
    place.write("notes/other/deep/new.md", "# New\n\nAn okapi.\n");
    wait_until("the okapi", || finds(&place, "okapi") && !finds(&place, "giraffe"));
    wait_until("the folder's state", || passages(&place, KEPT) == fresh(&place));

    // The folder vanishes and comes back.
    fs::rename(place.path("notes"), place.path("away")).unwrap();
    fs::write(place.path("away/late.md"), "# Late\n\nA walrus.\n").unwrap();
    wait_until("a clear word", || {
        // Something has to happen for the loss to be seen.
        let _ = fs::write(place.path("away/a.md"), note(2, 8));
        fs::read_to_string(place.path("watch.log")).unwrap().contains("cannot look at the folder")
    });
    fs::rename(place.path("away"), place.path("notes")).unwrap();
    wait_until("the walrus", || finds(&place, "walrus"));
    watched.stop();
    assert_eq!(passages(&place, KEPT), fresh(&place));
}

#[test]
fn without_a_command_it_says_what_could_be_done() {
    let place = Place::new();
    assert!(place.succeed("").contains("holds no documents"));
    place.write("notes/a.md", "# A\n\ntext\n");
    let said = place.succeed("");
    assert!(said.contains("1 documents (1 markdown)") && said.contains("revela sync . &&"), "{said}");
    place.succeed("sync notes");
    let output = place.command("").current_dir(place.path("notes")).output().unwrap();
    assert!(text(&output.stdout).contains("a collection of 1 chunks"));
    assert!(place.succeed("--version").contains("cpu: search "));
    assert_eq!(place.succeed("-V").lines().count(), 1);
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let place = Place::new();
    place.write("notes/a.md", "# A\n\nThe lease is renewed.\n");
    place.succeed("sync notes");
    let said = place.succeed("doctor notes");
    for fact in ["processor", "threads", "hub cache", "not asked; --online does", "encoder-code"] {
        assert!(said.contains(fact), "no {fact} in {said}");
    }
    let json: Value = serde_json::from_str(&place.succeed("doctor notes --json")).unwrap();
    assert_eq!(json["problems"].as_array().unwrap().len(), 0);
    place.fail("doctor nothing", &["1 problem"]);

    let shard = place.path(KEPT).join("000000.shard");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&shard, bytes).unwrap();
    let output = place.run("doctor notes");
    assert!(!output.status.success());
    assert!(text(&output.stdout).contains("--fresh"), "{}", text(&output.stdout));
    place.succeed("sync notes --fresh --encoder none");
    assert!(place.succeed("doctor notes").contains("words alone find"));
    assert!(!Path::new(&place.path("notes/.revela/.collection.old")).exists());

    place.write("bad.toml", "lm = 3\n");
    place.fail("doctor bad.toml", &["1 problem"]);
    place.write("model/config.json", "{}");
    place.fail("doctor model", &["1 problem"]);
}
