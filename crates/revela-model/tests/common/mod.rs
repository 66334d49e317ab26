//! Golden folders, and copies of them with changes.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of several tests, none of which uses all")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use revela_base::artifact::IfExists;
use revela_model::encoder::Encoder;
use revela_model::weights::Precision;
use serde_json::Value;

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub(crate) fn open_at(dir: &Path) -> revela_model::Result<Encoder> {
    Encoder::open(dir, Precision::F32, &Device::flex())
}

pub(crate) fn open(name: &str) -> Encoder {
    open_at(&golden(name)).unwrap()
}

pub(crate) fn save(encoder: &Encoder, dir: &Path) {
    encoder.save(dir, Precision::F32, IfExists::Refuse).unwrap();
}

/// Largest difference.
pub(crate) fn distance(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_into(&path, &target);
        } else if !["expected.safetensors", "cases.json"].iter().any(|name| path.ends_with(name)) {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A fresh copy of a golden folder under its own name, with the base of an adapter beside it.
pub(crate) fn copy_of(name: &str, root: &Path) -> PathBuf {
    let dir = root.join(name);
    let _ = std::fs::remove_dir_all(&dir);
    copy_into(&golden(name), &dir);
    if name == "llama-adapter" && !root.join("llama").exists() {
        copy_into(&golden("llama"), &root.join("llama"));
    }
    dir
}

/// Per file: `write` a document, `set` keys of one (null removes), or `delete` it.
pub(crate) fn edit(dir: &Path, edits: &BTreeMap<String, Value>) {
    for (name, edit) in edits {
        let path = dir.join(name);
        if edit.get("delete").is_some() {
            std::fs::remove_file(&path).unwrap();
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut document = match edit.get("write") {
            Some(document) => document.clone(),
            None => serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
        };
        for (key, value) in edit.get("set").and_then(Value::as_object).into_iter().flatten() {
            let object = document.as_object_mut().unwrap();
            match value {
                Value::Null => drop(object.remove(key)),
                value => drop(object.insert(key.clone(), value.clone())),
            }
        }
        std::fs::write(&path, document.to_string()).unwrap();
    }
}
