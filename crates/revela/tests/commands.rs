//! The commands one by one: the way from text to a trained retriever, bad input, interruptions.

mod common;

use std::process::{Command, Stdio};

use common::{Place, interrupt_when, lines, text};

/// Chunks, groups and a tiny language model.
fn prepared() -> Place {
    let place = Place::new();
    place.code("code", 12);
    place.succeed("data chunk --input code --out chunks.jsonl --size 40 --keep-all");
    place.succeed("data group --chunks chunks.jsonl --out groups.jsonl --group-size 4 --keep-all");
    place.succeed(
        "model new --chunks chunks.jsonl --out lm --vocabulary 600 --hidden 32 --layers 1 --heads 2",
    );
    place
}

const TRAIN: &str = "train --groups groups.jsonl --lm lm --retriever-start lm --pooling mean --tau 0.1";

#[test]
fn from_text_to_a_measured_retriever() {
    let place = prepared();
    place.succeed("data code-search --input code --out collection --queries 60");
    let printed =
        place.succeed(&format!("{TRAIN} --out run --steps 4 --eval-data collection --eval-split test"));
    assert!(printed.contains("tau = 0.1") && printed.contains("best held-out score"), "{printed}");
    let dense = place.succeed("eval --data collection --encoder run/best");
    assert!(dense.contains("ndcg@10"), "{dense}");
    place.fail("eval --data collection --mode hybrid", &["--encoder"]);
    place.fail("eval --data collection --split dev --mode bm25", &["dev", "test"]);
    let bm25 = "eval --data collection --mode bm25 --analyser code --json bm25.json --run bm25.run";
    assert!(place.succeed(bm25).contains("recall@100"));
    place.succeed("eval --data collection --run-file bm25.run --json again.json");
    place.succeed("eval --data collection --encoder run/best --mode hybrid --json hybrid.json");
    let value = |file: &str| {
        let text = std::fs::read_to_string(place.path(file)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["per_query"]["ndcg@10"].as_object().unwrap().len(), 60, "{file}");
        json["metrics"]["ndcg@10"].as_f64().unwrap()
    };
    assert_eq!(value("bm25.json"), value("again.json"), "a run file scores as what wrote it");
    let compared = place.succeed("eval compare bm25.json again.json hybrid.json");
    assert!(compared.contains("again") && compared.contains("0/60/0"), "{compared}");
}

#[test]
fn what_teaches_nothing_is_left_out_and_said() {
    let place = Place::new();
    let words =
        "A miller kept his corn in the loft above the wheel, where the damp of the river could not reach it.";
    place.write("notes/a.md", format!("# The mill\n\n{words}\n"));
    place.write("notes/b.txt", format!("{words} He said so.\n"));
    place.write(
        "notes/node_modules/c.md",
        "What others wrote about their mills, their corn and the rivers that run past their doors.",
    );
    let run = |rest: &str| {
        let output = place.run(&format!("data chunk --input notes --out {rest}"));
        assert!(output.status.success(), "{rest}: {}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (kept, said) = run("cleaned.jsonl");
    assert!(kept.starts_with("1 chunks"), "{kept}");
    for part in ["--keep-all", "vendored", "1 documents", "near-copy", "1 chunks"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let (kept, said) = run("some.jsonl --keep near-copy,vendored");
    assert!(kept.starts_with("3 chunks") && !said.contains("left out"), "{kept} {said}");
    assert!(run("all.jsonl --keep-all").0.starts_with("3 chunks"));
    let group =
        |rest: &str| format!("data group --chunks all.jsonl --out groups.jsonl --group-size 2 {rest}");
    place.fail(&group(""), &["near-copy", "smaller than one group"]);
    place.succeed(&group("--keep-all"));
    place.fail("data chunk --input notes --out no.jsonl --keep nothing", &["nothing", "near-copy"]);
    place.fail("data chunk --input notes --out no.jsonl --max-share 0", &["share of a package"]);
}

#[test]
fn bad_corpora_are_named() {
    let place = Place::new();
    let chunk = |input: &str| format!("data chunk --input {input} --out out.jsonl");
    place.fail(&chunk("nowhere"), &["nowhere"]);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.fail(&chunk("empty"), &["empty"]);
    place.write("binary/a.rs", b"fn a() {}\0\x01\x02");
    place.fail(&chunk("binary"), &["binary", "1 binary"]);
    place.write("latin/b.rs", b"// caf\xe9\nfn b() {}\n");
    place.fail(&chunk("latin"), &["b.rs", "UTF-8"]);
    place.write("latin/good.rs", "fn good() { let number = 1; }\n".repeat(20));
    place.fail(&format!("{} --skip-bad", chunk("latin")), &["--keep-all", "repetitive"]);
    place.succeed(&format!("{} --skip-bad --keep-all", chunk("latin")));
    place.write("lines.jsonl", "{\"_id\": \"1\", \"text\": \"fine\"}\nrubbish\n");
    place.fail("data chunk --input lines.jsonl --out other.jsonl", &["lines.jsonl", "2"]);
    assert!(!place.path("other.jsonl").exists(), "nothing half-written stays");
}

#[test]
fn bad_settings_are_named() {
    let place = prepared();
    place.write("unknown.toml", "groups = \"groups.jsonl\"\nlm = \"lm\"\nout = \"run\"\ntua = 0.1\n");
    place.fail("train --config unknown.toml", &["unknown.toml", "tua"]);
    place.fail(&format!("{TRAIN} --out run --steps 2 --learning-rate -1"), &["learning"]);
    place.fail(&format!("{TRAIN} --out run --steps 2 --tau 0"), &["tau"]);
    place.fail(&format!("{TRAIN} --out run"), &["steps"]);
    place.fail("data group --chunks chunks.jsonl --out other.jsonl --group-size 1", &["group_size is 1"]);
    assert!(!place.path("run").exists(), "nothing was begun");
}

#[test]
fn damaged_models_are_named() {
    let place = prepared();
    let weights = place.path("lm/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    place.fail(&format!("{TRAIN} --out run --steps 2"), &["model.safetensors"]);
    // Without the manifest the file itself must tell.
    std::fs::remove_file(place.path("lm/revela.json")).unwrap();
    place.fail(&format!("{TRAIN} --out run --steps 2"), &["lm"]);
    std::fs::write(&weights, &bytes).unwrap();
    place.succeed(
        "model new --chunks chunks.jsonl --out large --vocabulary 700 --hidden 32 --layers 1 --heads 2",
    );
    std::fs::copy(place.path("large/tokenizer.json"), place.path("lm/tokenizer.json")).unwrap();
    place.fail(&format!("{TRAIN} --out run --steps 2"), &["tokenizer"]);
}

#[test]
fn a_folder_holds_one_run() {
    let place = prepared();
    place.succeed(&format!("{TRAIN} --out run --steps 2"));
    let before = std::fs::read(place.path("run/log.jsonl")).unwrap();
    place.fail(&format!("{TRAIN} --out run --steps 2"), &["run"]);
    assert_eq!(std::fs::read(place.path("run/log.jsonl")).unwrap(), before);
    place.fail("train --resume run --steps 3", &["--resume"]);
    place.fail("train --resume nowhere", &["nowhere"]);
}

#[test]
fn an_interrupted_run_goes_on_and_a_full_disk_loses_nothing() {
    let place = prepared();
    let settings = format!("{TRAIN} --steps 60 --checkpoint-every 1000");
    place.succeed(&format!("{settings} --out straight"));
    let mut command = place.command(&format!("{settings} --out run"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = interrupt_when(child, || lines(&place.path("run/log.jsonl")) > 5);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("revela train --resume"), "{}", text(&output.stdout));
    // Files may grow to 20 blocks of 512 bytes only, as on a disk that is nearly full.
    let program = env!("CARGO_BIN_EXE_revela");
    let script = format!("trap '' XFSZ; ulimit -f 20; exec {program} train --resume run");
    let full = Command::new("sh").args(["-c", &script]).current_dir(place.path("")).output().unwrap();
    assert!(!full.status.success());
    assert!(text(&full.stderr).contains("error:"), "{}", text(&full.stderr));
    place.succeed("train --resume run");
    let weights =
        |run: &str| std::fs::read(place.path(run).join("stages/revela/encoder/model.safetensors")).unwrap();
    assert!(weights("run") == weights("straight"), "a resumed run equals a straight one");
}

#[test]
fn help_is_a_manual() {
    let place = Place::new();
    let help = place.succeed("train --help");
    for part in ["[[stage]]", "Ctrl-C", "--tau-end", "[default: 1e-4", "Optimiser:"] {
        assert!(help.contains(part), "no {part:?} in {help}");
    }
    for command in ["", "quickstart", "data", "data chunk", "model new", "search", "eval"] {
        assert!(place.succeed(&format!("{command} --help")).contains("Usage:"), "{command}");
    }
    assert_eq!(place.run("no-such-command").status.code(), Some(2));
}
