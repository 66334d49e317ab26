//! The encoder that comes with the program.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::Device;
use revela_base::embed::{Embedder, TextKind};
use revela_model::encoder::Encoder;
use revela_model::shipped::ENCODER_CODE;
use revela_model::weights::Precision;

#[test]
fn it_is_its_folder_and_knows_code() {
    let open = |name: &Path| Encoder::open(name, Precision::F32, &Device::flex()).unwrap();
    let encoder = open(Path::new(ENCODER_CODE));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/encoder-code");
    assert_eq!(encoder.fingerprint(), open(&folder).fingerprint());
    let texts = [
        "read all lines of a file",
        "fn lines(p: &Path) -> io::Result<Vec<String>> { BufReader::new(File::open(p)?).lines().collect() }",
        "def area(radius): return math.pi * radius ** 2",
    ];
    let rows = encoder.embed(TextKind::Query, &texts).unwrap();
    let mut rows = rows.chunks_exact(encoder.dimension());
    let query = rows.next().unwrap();
    let scores: Vec<f32> = rows.map(|row| row.iter().zip(query).map(|(a, b)| a * b).sum()).collect();
    assert!(scores[0] > scores[1] + 0.1, "{scores:?}");
}
