use super::*;

fn index(analyser: Analyser, texts: &[&str]) -> TextIndex {
    let mut writer = TextIndexWriter::in_memory(analyser).unwrap();
    for (row, text) in texts.iter().enumerate() {
        writer.add(&format!("d{row}"), "", text).unwrap();
    }
    writer.finish().unwrap()
}

fn rows(index: &TextIndex, query: &str, k: usize) -> Vec<u32> {
    index.search(&index.query(query), k).unwrap().into_iter().map(|hit| hit.id).collect()
}

#[test]
fn scores_are_the_formula() {
    let index = index(Analyser::Code, &["a b", "a a c d", "e"]);
    let found = index.search(&index.query("a"), 10).unwrap();
    let idf = (1.0f32 + (3.0 - 2.0 + 0.5) / (2.0 + 0.5)).ln();
    let score =
        |tf: f32, length: f32| idf * 2.2 * tf / (tf + 1.2 * (1.0 - 0.75 + 0.75 * length / (7.0 / 3.0)));
    let expected = [(1, score(2.0, 4.0)), (0, score(1.0, 2.0))];
    for (hit, (row, score)) in found.iter().zip(expected) {
        assert_eq!(hit.id, row);
        assert!((hit.score - score).abs() < 1e-5, "{} {score}", hit.score);
    }
    let twice = index.search(&index.query("a a"), 10).unwrap();
    assert!((twice[0].score - 2.0 * found[0].score).abs() < 1e-5);
}

#[test]
fn ties_are_in_row_order_and_k_is_kept() {
    let index = index(Analyser::Prose, &["zebra"; 500]);
    assert_eq!(rows(&index, "zebra", 7), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(rows(&index, "zebra", 0), [0; 0]);
    assert_eq!(rows(&index, "zebra", 10_000).len(), 500);
    assert_eq!(rows(&index, "horse", 3), [0; 0]);
}

#[test]
fn hostile_queries_are_plain_words() {
    let index = index(Analyser::Prose, &["alpha beta", "gamma"]);
    for query in ["", " ", "alpha AND (", "\"", "title:^2 ~ [a TO", "*", "-alpha", "\u{0}\u{feff}🦀 \u{202e}"]
    {
        rows(&index, query, 5);
    }
    assert_eq!(rows(&index, "-alpha +(", 5), [0]);
    let long = "alpha ".repeat(100_000) + &"x".repeat(100_000);
    assert_eq!(rows(&index, &long, 5), [0]);
    let many: String = (0..20_000).map(|i| format!("w{i} ")).collect();
    assert_eq!(rows(&index, &(many + "gamma"), 5), [1]);
}

#[test]
fn several_indexes_score_like_one() {
    let texts: Vec<String> =
        (0..400).map(|i| format!("common w{} w{} {}", i % 7, i % 31, "pad ".repeat(i % 13))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let one = index(Analyser::Code, &texts);
    let parts = [index(Analyser::Code, &texts[..150]), index(Analyser::Code, &texts[150..])];
    let query = one.query("common w3 w5 w5");
    let whole = one.search(&query, 50).unwrap();
    let split = search(&[&parts[0], &parts[1]], &query, 50, &|_| true).unwrap();
    assert_eq!(whole.len(), 50);
    for (a, b) in whole.iter().zip(&split) {
        assert_eq!(a.id, b.id.0 * 150 + b.id.1);
        assert!((a.score - b.score).abs() < 1e-5);
    }
    let kept = search(&[&parts[0], &parts[1]], &query, 50, &|(part, _)| part == 1).unwrap();
    assert!(kept.len() == 50 && kept.iter().all(|hit| hit.id.0 == 1));
}

#[test]
fn pruning_finds_what_scoring_everything_finds() {
    let texts: Vec<String> =
        (0..3000).map(|i| format!("all w{} w{} {}", i % 11, i % 97, "pad ".repeat(i * 7 % 40))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let index = index(Analyser::Code, &texts);
    let empty = TextIndexWriter::in_memory(Analyser::Code).unwrap().finish().unwrap();
    for text in ["all w3 w13", "w1 w2 w3 w4 w96", "pad", "pad pad w50"] {
        let query = index.query(text);
        let pruned = index.search(&query, 20).unwrap();
        // A second index, even an empty one, switches the skipping off.
        let full = search(&[&index, &empty], &query, 20, &|_| true).unwrap();
        let ids = |hits: Vec<u32>| hits;
        assert_eq!(
            ids(pruned.iter().map(|h| h.id).collect()),
            ids(full.iter().map(|h| h.id.1).collect()),
            "{text}"
        );
    }
}

#[test]
fn passages_come_back_from_disk() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("texts");
    let mut writer = TextIndexWriter::in_dir(&dir, Analyser::Prose).unwrap();
    writer.add("one", "A title", "first text").unwrap();
    writer.add("two", "", "second\n text \"here\"").unwrap();
    writer.finish().unwrap();
    assert!(TextIndexWriter::in_dir(&dir, Analyser::Prose).is_err(), "the folder is taken");
    let index = TextIndex::open(&dir).unwrap();
    assert_eq!((index.len(), index.analyser()), (2, Analyser::Prose));
    let passage = index.passage(1).unwrap();
    assert_eq!((passage.id.as_str(), passage.text.as_str()), ("two", "second\n text \"here\""));
    assert_eq!(index.passage(0).unwrap().title, "A title");
    assert!(index.passage(2).is_err());
    assert_eq!(rows(&index, "title", 5), [0]);
    assert_eq!(index.document_frequency("text").unwrap(), 2);
}

/// A sentence in each script, of which a part must find it, and that it is marked in what is shown.
#[test]
fn parts_of_texts_without_spaces_are_found_and_marked() {
    let texts = [
        ("图书馆每天早上八点开门", "早上"),
        ("新しい辞書を買いに行きました", "辞書"),
        ("도서관에서 책을 빌렸습니다", "도서관"),
        ("ห้องสมุดเปิดทุกวัน", "ทุกวัน"),
        ("ຫ້ອງສະໝຸດເປີດທຸກມື້", "ທຸກມື້"),
        ("បណ្ណាល័យបើករាល់ថ្ងៃ", "រាល់ថ្ងៃ"),
        ("စာကြည့်တိုက်ဖွင့်သည်", "ဖွင့်"),
        ("launch day 🚀 at last", "🚀"),
    ];
    for analyser in [Analyser::Prose, Analyser::Code] {
        let index = index(analyser, &texts.map(|(text, _)| text));
        for (row, (text, part)) in (0u32..).zip(texts) {
            assert_eq!(rows(&index, part, 8).first(), Some(&row), "{part}");
            let shown = snippet(analyser, part, text, 200);
            let marked: Vec<&str> = shown.highlights.iter().map(|range| &shown.text[range.clone()]).collect();
            assert_eq!(marked, [part], "{text}");
        }
    }
}

#[cfg(unix)]
#[test]
fn every_file_has_the_mode_that_the_mask_gives() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let plain = root.path().join("plain");
    std::fs::File::create(&plain).unwrap();
    let dir = root.path().join("texts");
    let mut writer = TextIndexWriter::in_dir(&dir, Analyser::Prose).unwrap();
    writer.add("one", "", "some text").unwrap();
    writer.finish().unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), mode(&plain), "{}", path.display());
        files += 1;
    }
    assert!(files > 4, "{files}");
}

#[test]
fn empty_index_and_missing_folder() {
    let index = index(Analyser::Prose, &[]);
    assert!(index.is_empty());
    assert_eq!(rows(&index, "anything", 3), [0; 0]);
    let root = tempfile::tempdir().unwrap();
    let error = TextIndex::open(&root.path().join("absent")).err().unwrap().to_string();
    assert!(error.contains("absent"), "{error}");
    assert!(TextIndex::open(root.path()).is_err());
}
