//! Names that can stand in files whose fields are divided by white space.

use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(super) struct Ids {
    taken: HashSet<String>,
    /// How often a name was asked for.
    times: HashMap<String, u64>,
}

impl Ids {
    /// `PATH#NAME`, with `~2`, `~3` and so on where that is taken.
    pub(super) fn name(&mut self, path: &str, name: &str) -> String {
        let plain = escaped(&format!("{path}#{name}"));
        let times = self.times.entry(plain.clone()).or_default();
        loop {
            *times += 1;
            let id = if *times == 1 { plain.clone() } else { format!("{plain}~{times}") };
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// White space, control characters and `%` as `%XX` per byte.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || c == '%' {
            let mut bytes = [0; 4];
            let escapes = c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}"));
            out.extend(escapes);
        } else {
            out.push(c);
        }
    }
    out
}
