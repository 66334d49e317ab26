#![no_main]

use std::sync::LazyLock;

#[path = "../requests.rs"]
#[allow(dead_code)]
mod requests;

static SERVING: LazyLock<requests::Serving> = LazyLock::new(requests::Serving::new);

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    SERVING.send(input);
});
