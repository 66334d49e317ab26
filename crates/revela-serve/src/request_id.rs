//! Names of requests, by which an answer and its line in the log find each other.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName};

use crate::error::ServeError;

/// The header that carries it, both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name that is taken over from a client.
const LONGEST: usize = 64;

/// Names requests.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Result<Self, ServeError> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(ServeError::system("draw a number"))?;
        Ok(Self { process: u32::from_le_bytes(bytes), next: AtomicU64::new(1) })
    }

    /// The client's own name for the request where it has a plain one, else a new one.
    pub(crate) fn name(&self, headers: &HeaderMap) -> String {
        let plain = |name: &&str| {
            (1..=LONGEST).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(plain);
        given.map_or_else(
            || format!("{:08x}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed)),
            str::to_owned,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken_over_and_others_replaced() {
        let ids = RequestIds::new().unwrap();
        let name = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, given.parse().unwrap());
            ids.name(&headers)
        };
        assert_eq!(name("trace-1.a:b"), "trace-1.a:b");
        for odd in ["", "a b", "<script>", &"x".repeat(65)] {
            assert_ne!(name(odd), odd);
        }
        assert_ne!(ids.name(&HeaderMap::new()), ids.name(&HeaderMap::new()));
    }
}
