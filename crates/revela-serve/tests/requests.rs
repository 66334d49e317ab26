//! Bodies that are nearly right, through the fuzz target's own code.
#![allow(clippy::panic, clippy::unwrap_used, unreachable_pub)]

#[path = "../../../fuzz/requests.rs"]
mod requests;

use std::collections::BTreeSet;

use proptest::prelude::*;

/// A sound body for each route.
const SOUND: [&str; 6] = [
    "\0{\"query\": \"lease\", \"k\": 3, \"mode\": \"hybrid\", \"fusion\": {\"rrf\": {\"k\": 60}}, \"snippet\": {\"length\": 50}}",
    "\0{\"vector\": [0.5, 1, -2], \"ef_search\": 9, \"exact\": true, \"filter\": {\"ids\": [\"plain\"]}, \"include_text\": false}",
    "\x01{\"searches\": [{\"query\": \"a\", \"filter\": {\"prefix\": \"net\"}}, {\"query\": \"b\", \"mode\": \"bm25\"}]}",
    "\x02{\"model\": \"encoder\", \"input\": [\"some\", \"texts\"], \"encoding_format\": \"base64\", \"dimensions\": 64}",
    "\x02{\"model\": \"encoder:query\", \"input\": [[97, 98], [99]], \"input_type\": \"query\"}",
    "\x03{\"documents\": [{\"id\": \"new\", \"text\": \"words\", \"title\": \"t\"}]}",
];

/// What likes to break parsers and bounds.
const PIECES: [&[u8]; 20] = [
    b"",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"\"\"",
    b"\"\\ud800\"",
    b"\"\\u0000\"",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"\"",
    b"\xff",
    b"[[[[[[[[",
    b"\"x\": 1,",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<u16>(), 0usize..12, proptest::sample::select(&PIECES[..]));
    let edits = proptest::collection::vec(edit, 0..4);
    (proptest::sample::select(&SOUND[..]), edits).prop_map(|(sound, edits)| {
        let mut bytes = sound.as_bytes().to_vec();
        for (place, length, piece) in edits {
            let begin = 1 + usize::from(place) % (bytes.len() - 1).max(1);
            let end = (begin + length).min(bytes.len());
            bytes.splice(begin.min(end)..end, piece.iter().copied());
        }
        bytes
    })
}

#[test]
fn any_body_is_answered() {
    let serving = requests::Serving::new();
    for sound in SOUND.iter().filter(|sound| !sound.contains("vector")) {
        assert_eq!(serving.send(sound.as_bytes()), 200, "{sound}");
    }
    let seen = std::cell::RefCell::new(BTreeSet::new());
    proptest!(ProptestConfig::with_cases(400), |(body in body())| {
        seen.borrow_mut().insert(serving.send(&body));
    });
    assert!(seen.borrow().contains(&200) && seen.borrow().contains(&400), "{seen:?}");
}
