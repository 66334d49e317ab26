//! The keys of other tools' files: what is obeyed, what is refused, what changes no vector.
//!
//! A key that is passed over in silence may be the one that makes other vectors. So every key of a file is in
//! one of these lists, or the file is refused by the key's name.

use serde_json::{Map, Value};

/// What a key means for vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is read, and decides vectors.
    Decides,
    /// It would decide vectors; only these values, as JSON, are what is computed here.
    Only(&'static [&'static str]),
    /// It changes no vector.
    Idle,
}

/// A key and its role.
pub type Key = (&'static str, Role);

/// The keys of one kind of file, in several lists.
#[derive(Debug, Clone, Copy)]
pub struct Keys(pub &'static [&'static [Key]]);

impl Keys {
    /// All keys with their roles.
    pub fn iter(self) -> impl Iterator<Item = Key> {
        self.0.iter().flat_map(|list| list.iter().copied())
    }

    /// The role of a key; nothing for a key that is not known.
    pub fn role(self, name: &str) -> Option<Role> {
        self.iter().find(|(key, _)| *key == name).map(|(_, role)| role)
    }

    /// The keys that decide vectors.
    pub fn deciding(self) -> impl Iterator<Item = &'static str> {
        self.iter().filter(|(_, role)| *role == Role::Decides).map(|(key, _)| key)
    }

    /// Checks a file's object. A key whose value is null counts as absent.
    ///
    /// # Errors
    /// Every key whose value is not supported, and every key that is unknown.
    pub fn check(self, object: &Map<String, Value>) -> Result<(), String> {
        let (mut problems, mut unknown) = (Vec::new(), Vec::new());
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            match self.role(name) {
                Some(Role::Decides | Role::Idle) => {}
                Some(Role::Only(values)) if values.iter().any(|text| is(value, text)) => {}
                Some(Role::Only([])) => {
                    problems.push(format!("{name} is {value}; to set it is not supported"));
                }
                Some(Role::Only(values)) => {
                    let allowed = values.join(" or ");
                    problems.push(format!("{name} is {value}, which is not supported; it must be {allowed}"));
                }
                None => unknown.push(name.as_str()),
            }
        }
        if !unknown.is_empty() {
            let (names, is) = (unknown.join(", "), if unknown.len() == 1 { "is" } else { "are" });
            problems.push(format!(
                "{names} {is} not known here, so that what follows for vectors is not either; remove what does nothing"
            ));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

fn is(value: &Value, text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|allowed| match (allowed.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => allowed == *value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_keys_and_unsupported_values_are_named_and_null_is_absent() {
        const KEYS: Keys = Keys(&[
            &[("size", Role::Decides), ("note", Role::Idle)],
            &[("mode", Role::Only(&["\"plain\"", "1"])), ("never", Role::Only(&[]))],
        ]);
        let check = |json: Value| KEYS.check(json.as_object().unwrap());
        check(json!({"size": 3, "note": "x", "mode": "plain", "other": null, "never": null})).unwrap();
        check(json!({"mode": 1.0})).unwrap();
        assert!(check(json!({"mode": "odd"})).unwrap_err().contains("mode is \"odd\""));
        assert!(check(json!({"never": 0})).unwrap_err().contains("never is 0"));
        assert!(check(json!({"other": false})).unwrap_err().contains("other is not known"));
        let all = check(json!({"one": 1, "two": 2, "never": 0, "mode": 1})).unwrap_err();
        assert!(all.contains("never is 0; to set") && all.contains("one, two are not known"), "{all}");
        assert_eq!(KEYS.deciding().collect::<Vec<_>>(), ["size"]);
    }
}
