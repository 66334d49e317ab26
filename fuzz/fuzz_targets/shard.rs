#![no_main]

use std::sync::LazyLock;

#[path = "../bodies.rs"]
#[allow(dead_code)]
mod bodies;

static WHOLE: LazyLock<bodies::Whole> = LazyLock::new(bodies::Whole::new);

libfuzzer_sys::fuzz_target!(|edits: &[u8]| WHOLE.shard(edits));
