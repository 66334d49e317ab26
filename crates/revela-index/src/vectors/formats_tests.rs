use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::npy::{Integers, read_integers, write_f16, write_f32, write_integers};
use super::*;

/// `numpy.save` of `numpy.array([[1.5, -2], [0, 3e-3]], dtype)` and of int64 `[[7], [-1]]`, NumPy 2.4.
const NUMPY_F8: &[u8] = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }                                                          \n\x00\x00\x00\x00\x00\x00\xf8\x3f\x00\x00\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x00\x00\xfa\x7e\x6a\xbc\x74\x93\x68\x3f";
const NUMPY_I8: &[u8] = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2, 1), }                                                          \n\x07\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff";

fn sample() -> Vectors {
    Vectors::new("x", 3, (0..3000).map(|i| (i as f32 * 0.37).sin()).collect()).unwrap()
}

fn in_dir(name: &str, test: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    test(&dir.path().join(name));
}

#[test]
fn numpy_reads_and_writes_the_same() {
    in_dir("x.npy", |path| {
        fs::write(path, NUMPY_F8).unwrap();
        assert_eq!(Vectors::read(path).unwrap().into_data(), [1.5, -2.0, 0.0, 3e-3]);
        fs::write(path, NUMPY_I8).unwrap();
        assert_eq!(read_integers(path).unwrap(), Integers::new("x", 1, vec![7, -1]).unwrap());
        let error = Vectors::read(path).unwrap_err().to_string();
        assert!(error.contains("floating-point"), "{error}");
        write_f32(path, Rows::new("x", 2, &[1.5, -2.0, 0.0, 3e-3]).unwrap()).unwrap();
        let written = fs::read(path).unwrap();
        let header = String::from_utf8_lossy(NUMPY_F8[..128].as_ref()).replace("<f8", "<f4");
        assert_eq!(String::from_utf8_lossy(&written[..128]), header);
        assert_eq!(written.len(), 128 + 16);
    });
}

#[test]
fn every_format_round_trips() {
    let vectors = sample();
    let ids: Vec<String> = (0..1000).map(|i| format!("id {i}")).collect();
    for name in ["x.npy", "x.fvecs", "x.safetensors", "x.jsonl"] {
        in_dir(name, |path| {
            match name {
                "x.npy" => write_f32(path, vectors.view()).unwrap(),
                "x.fvecs" => write_fvecs(path, vectors.view()).unwrap(),
                "x.safetensors" => write_safetensors(path, vectors.view()).unwrap(),
                _ => write_jsonl(path, ids.iter().map(String::as_str), vectors.view()).unwrap(),
            }
            assert_eq!(Vectors::read(path).unwrap(), vectors, "{name}");
            let mut reader = RowReader::open(path).unwrap();
            let mut block = RowBlock::default();
            assert_eq!(reader.next_block(300, &mut block).unwrap(), 300);
            assert_eq!(block.ids.len(), if name == "x.jsonl" { 300 } else { 0 });
            assert_eq!(block.data, &vectors.view().data()[..900]);
        });
    }
}

#[test]
fn lines_may_be_packed_and_ids_numbers() {
    in_dir("x.v2.jsonl.gz", |path| {
        let mut out =
            flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
        let lines =
            b"\xEF\xBB\xBF{\"_id\": 7, \"embedding\": [1, 2]}\r\n\n{\"id\": \"x\", \"vector\": [3, 4]}";
        std::io::Write::write_all(&mut out, lines).unwrap();
        out.finish().unwrap();
        let (mut reader, mut block) = (RowReader::open(path).unwrap(), RowBlock::default());
        assert_eq!(reader.next_block(9, &mut block).unwrap(), 2);
        assert_eq!((block.ids, block.data), (vec!["7".to_owned(), "x".into()], vec![1.0, 2.0, 3.0, 4.0]));
    });
}

#[test]
fn halves_and_integers() {
    in_dir("x.npy", |path| {
        write_f16(path, sample().view()).unwrap();
        for (a, b) in Vectors::read(path).unwrap().into_data().iter().zip(sample().into_data()) {
            assert!((a - b).abs() <= 0.0005 * b.abs() + 1e-7, "{a} {b}");
        }
        let integers = Integers::new("x", 2, vec![1, 2, i32::MAX, i32::MIN]).unwrap();
        write_integers(path, &integers).unwrap();
        assert_eq!(read_integers(path).unwrap(), integers);
    });
}

#[test]
fn refusals_say_why() {
    let refused = |name: &str, bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let message = Vectors::read(&path).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
        message
    };
    assert!(refused("x.txt", b"").contains("must end in"));
    assert!(refused("x.npy", b"").contains("shorter"));
    assert!(refused("x.npy", b"not an array at all").contains("does not begin"));
    assert!(refused("x.npy", &NUMPY_F8[..140]).contains("do not make"));
    let text = String::from_utf8_lossy(&NUMPY_F8[10..128]).into_owned();
    let with = |header: &str| [&NUMPY_F8[..10], header.as_bytes(), &NUMPY_F8[128..]].concat();
    assert!(refused("x.npy", &with(&text.replace("False", "True "))).contains("ascontiguousarray"));
    assert!(refused("x.npy", &with(&text.replace("(2, 2)", "(2,)  "))).contains("a matrix"));
    assert!(refused("x.npy", &with(&text.replace("<f8", ">f8"))).contains(">f8"));
    assert!(refused("x.fvecs", &[0xff; 8]).contains("fvecs"));
    assert!(refused("x.fvecs", &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]).contains("another length"));
    assert!(refused("x.safetensors", b"0").contains("shorter"));
    assert!(refused("x.jsonl", b"").contains("empty"));
    assert!(refused("x.jsonl", b"[1, 2]\n\n[3]\n").contains(":3: 1 numbers"));
    assert!(refused("x.jsonl", b"[1]\n{\"id\": \"a\", \"vector\": [1]}").contains(":2: some lines"));
    assert!(refused("x.jsonl", b"a").contains(":1: it is neither"));
    assert!(refused("x.jsonl", b"[\"a\"]").contains(":1: `[0]`: invalid type"));
    assert!(refused("x.jsonl", b"[1]\n[null]").contains(":2: `[0]`: invalid type: null"));
    assert!(
        refused("x.jsonl", b"{\"id\": 1, \"vector\": [1, NaN]}").contains(":1: `vector[1]`: JSON has no NaN")
    );
    assert!(refused("x.jsonl", b"{\"vector\": [1]}").contains("`id` is missing"));
    assert!(refused("x.npy.gz", b"\x1f\x8b").contains("unpack it first"));
    assert!(refused("x.fvecs.zst", b"").contains("unpack it first"));
    assert!(refused("x.jsonl", b"[]").contains("no numbers"));
    assert!(refused("x.jsonl", b"[1, 1e99]").contains(":1: `[1]`: number out of range"));
}

proptest! {
    /// Whatever a file holds, reading it gives rows or an error.
    #[test]
    fn rubbish_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..160, cut in 0usize..160) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x.npy", "x.fvecs", "x.safetensors", "x.jsonl"] {
            let path = dir.path().join(name);
            fs::write(&path, &bytes).unwrap();
            let _ = Vectors::read(&path);
        }
        let mut damaged = NUMPY_F8.to_vec();
        let at = at % damaged.len();
        damaged[at] ^= bytes.first().copied().unwrap_or(1);
        damaged.truncate(damaged.len() - cut % 32);
        let path = dir.path().join("y.npy");
        fs::write(&path, &damaged).unwrap();
        let _ = Vectors::read(&path);
    }
}
