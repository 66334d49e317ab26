//! Bodies of requests, sent to a server on loopback: whatever they say, the answer is a success or an error of the
//! client's, in JSON, and the server goes on serving.

#[path = "../crates/revela-serve/tests/common/mod.rs"]
mod common;

use common::Running;

/// Routes that read a body. An input's first byte chooses one, the rest is the body.
pub const ROUTES: [&str; 4] = ["/v1/search", "/v1/search/batch", "/v1/embeddings", "/v1/documents"];

/// A server that lives as long as this.
pub struct Serving(Running);

impl Serving {
    /// Starts one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Running::start(|config| {
            config.access = revela_serve::Access::ReadWrite;
            config.embeddings.name = Some("encoder".into());
            config.batching.wait_ms = 0;
        }))
    }

    /// Sends an input, looks at the answer's form, and returns its status.
    pub fn send(&self, input: &[u8]) -> u16 {
        let Some((first, body)) = input.split_first() else { return 0 };
        let route = ROUTES[usize::from(*first) % ROUTES.len()];
        let answer = self.0.send("POST", route, &[("content-type", "application/json")], body);
        let shown =
            || format!("{route} {:?}: {} {}", String::from_utf8_lossy(body), answer.status, answer.text());
        assert!((200..500).contains(&answer.status), "{}", shown());
        assert_eq!(answer.json().get("error").is_some(), answer.status != 200, "{}", shown());
        answer.status
    }
}
