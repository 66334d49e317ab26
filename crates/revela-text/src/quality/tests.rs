use std::collections::BTreeMap;

use super::*;
use crate::chunk::ChunkerConfig;

/// Code as people write it; no two numbers give near-copies.
fn code(number: usize) -> String {
    let word = |k: usize| format!("name{}", number * 100 + k);
    format!(
        "/// Turns the {} of every {} into a {} that {} wants.\nfn {}({}: {}) -> {} {{\n    let {} = {}.{}();\n    \
         if {}.is_{}() {{ return {}; }}\n    {}.push({})\n}}\n",
        word(0),
        word(1),
        word(2),
        word(3),
        word(4),
        word(5),
        word(6),
        word(7),
        word(8),
        word(5),
        word(9),
        word(8),
        word(10),
        word(11),
        word(12),
        word(8)
    )
}

fn document(id: &str, text: impl Into<String>) -> Document {
    let format = Format::of_path(std::path::Path::new(id)).unwrap_or_default();
    Document { id: id.into(), title: String::new(), text: text.into(), format }
}

/// The texts that stay, and how many documents and chunks each reason left out.
fn clean(config: QualityConfig, documents: &[Document]) -> (Vec<String>, BTreeMap<Reason, (u64, u64)>) {
    let chunker = Chunker::new(ChunkerConfig { size: 40, ..ChunkerConfig::default() }, None).unwrap();
    let mut cleaner = Cleaner::new(config).unwrap();
    let chunks: Vec<Chunk> = documents.iter().flat_map(|d| cleaner.chunks(d, &chunker)).collect();
    let cleaned = cleaner.finish();
    let kept = chunks.iter().enumerate().filter(|(number, _)| cleaned.keeps(*number));
    let texts: Vec<String> = kept.map(|(_, chunk)| chunk.text.clone()).collect();
    let report = cleaned.report();
    assert_eq!(report.kept.chunks, texts.len() as u64);
    assert_eq!(report.kept.bytes, texts.iter().map(|text| text.len() as u64).sum::<u64>());
    for (chunk, document) in
        chunks.iter().filter_map(|c| Some((c, documents.iter().find(|d| d.id == c.id.document)?)))
    {
        assert_eq!(document.text.get(chunk.range.clone()), Some(chunk.text.as_str()));
    }
    let counts = report.left_out.iter().map(|(reason, amount)| (*reason, (amount.documents, amount.chunks)));
    (texts, counts.collect())
}

/// Every reason but the shares, by a document each.
fn rubbish() -> Vec<Document> {
    let numbers: String = (0..30).map(|n| format!("{n}, 0x{:x}, ", n * 77)).collect();
    let rows: String = (0..7).map(|n| format!("    self.value_of_{n}.add(other);\n")).collect();
    let stamps = ["started", "listening", "ready", "asked", "answered", "stopped"]
        .map(|what| format!("2024-05-01T12:00:00 the server at home was {what} as it should be\n"))
        .concat();
    vec![
        document("a/vendor/x.rs", code(1)),
        document(
            "a/poetry.lock",
            "name and version of all that is installed here and there, and more words than that",
        ),
        document("a/out.txt", stamps),
        document("a/gen.rs", format!("// @generated\n{}", code(2))),
        document("a/lib.js", "function a(b){var c=b+1;return c.d(e)}".repeat(30)),
        document(
            "a/LICENSE.txt",
            "Do what you want to do with it, for ever and ever, as we all did before you.",
        ),
        document(
            "a/use.rs",
            "use a::b;\nuse c::{d, e};\nuse f::g as h;\nuse i::j;\npub use k::l;\nmod m;\nmod n;\n",
        ),
        document("a/data.rs", format!("const A: [u32; 60] = [{numbers}];")),
        document("a/rows.rs", format!("fn add(&mut self) {{\n{rows}}}\n")),
        document("a/few.rs", "fn first() { second_of_all(); }"),
        document("a/first.rs", code(3)),
        document("a/copy.rs", code(3).replace("wants", "needs")),
    ]
}

#[test]
fn every_reason_leaves_out_what_it_is_for_and_can_be_switched_off() {
    let documents = rubbish();
    let (texts, counts) = clean(QualityConfig::default(), &documents);
    assert_eq!(texts, [code(3).trim_end()]);
    let expected = [
        (Reason::Vendored, (1, 0)),
        (Reason::LockFile, (1, 0)),
        (Reason::Log, (1, 0)),
        (Reason::MachineWritten, (1, 0)),
        (Reason::Minified, (1, 0)),
        (Reason::Licence, (1, 0)),
        (Reason::Boilerplate, (0, 1)),
        (Reason::DataLike, (0, 2)),
        (Reason::Repetitive, (0, 1)),
        (Reason::Fragment, (0, 1)),
        (Reason::NearCopy, (0, 1)),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    let (all, none) = clean(QualityConfig::keep_all(), &documents);
    assert!(none.is_empty() && all.len() >= documents.len());
    for (reason, _) in expected {
        let keep = [reason].into();
        let (kept, counts) = clean(QualityConfig { keep, ..QualityConfig::default() }, &documents);
        assert!(!counts.contains_key(&reason), "{reason}");
        assert!(kept.len() > 1 || reason == Reason::Minified, "{reason}: {counts:?}");
    }
}

#[test]
fn what_people_wrote_stays() {
    let documents: Vec<Document> = [
        include_str!("mod.rs"),
        include_str!("copies.rs"),
        include_str!("../chunk/code.rs"),
        include_str!("../doc.rs"),
        include_str!("../source/jsonl.rs"),
    ]
    .iter()
    .enumerate()
    .map(|(n, text)| document(&format!("src/{n}.rs"), *text))
    .collect();
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    let (texts, counts) = clean(QualityConfig::default(), &documents);
    let kept: usize = texts.iter().map(String::len).sum();
    assert!(kept * 100 > bytes * 90, "{kept} of {bytes}: {counts:?}");
}

#[test]
fn a_licence_over_a_file_is_cut_off_and_the_file_kept() {
    let head = "// Copyright 2020 The Authors. All rights reserved.\n// SPDX-License-Identifier: MIT\n\n";
    let documents = [document("a/x.rs", format!("{head}{}", code(1)))];
    let (texts, counts) = clean(QualityConfig::default(), &documents);
    assert_eq!(texts, [code(1).trim_end()]);
    assert_eq!(counts, BTreeMap::from([(Reason::Licence, (0, 1))]));
    let all = clean(QualityConfig::keep_all(), &documents).0;
    assert!(all[0].starts_with("// Copyright"), "{all:?}");
}

#[test]
fn shares_are_bounded_at_the_end() {
    let package = |name: &str, from: usize, count: usize| {
        let name = name.to_owned();
        (from..from + count).map(move |n| document(&format!("{name}/{n}.rs"), code(n)))
    };
    let documents: Vec<Document> =
        package("a", 0, 60).chain((1..31).flat_map(|k| package(&format!("p{k}"), k * 100, 5))).collect();
    let config = QualityConfig { share_floor: 5, package_share: 0.1, ..QualityConfig::default() };
    let (texts, counts) = clean(config, &documents);
    // A tenth of all beside 150 is 16.
    assert_eq!(counts, BTreeMap::from([(Reason::PackageShare, (0, 44))]));
    assert_eq!(texts.len(), 166);
}
