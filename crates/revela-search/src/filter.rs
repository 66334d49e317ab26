//! Searching only a part of a store.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::payload::Predicate;

/// Which passages may be found. Those that may not are left out before the best are chosen, so a filter
/// never costs results. Cheap to clone.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those with one of these ids; ids that the store lacks are ignored.
    Ids(#[serde(with = "shared")] Arc<HashSet<String>>),
    /// Those whose id begins so, such as a folder's path.
    Prefix(#[serde(with = "shared")] Arc<String>),
    /// Those whose payload fits.
    Payload(#[serde(with = "shared")] Arc<Predicate>),
}

impl Filter {
    /// Only these ids.
    pub fn ids(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Ids(Arc::new(ids.into_iter().map(Into::into).collect()))
    }

    /// Only ids that begin so.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::Prefix(Arc::new(prefix.into()))
    }

    /// Only passages whose payload fits.
    pub fn payload(predicate: Predicate) -> Self {
        Self::Payload(Arc::new(predicate))
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Ids(ids) => write!(f, "Ids({})", ids.len()),
            Self::Prefix(prefix) => write!(f, "Prefix({prefix:?})"),
            Self::Payload(predicate) => f.debug_tuple("Payload").field(predicate).finish(),
        }
    }
}

/// A shared value is written as the value.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_travel_as_json() {
        let predicate = Predicate::Equals { field: "year".into(), value: 2024.0.into() };
        for filter in
            [Filter::All, Filter::ids(["a", "b"]), Filter::prefix("src/"), Filter::payload(predicate)]
        {
            let text = serde_json::to_string(&filter).unwrap();
            assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter, "{text}");
        }
        assert_eq!(serde_json::to_string(&Filter::prefix("a")).unwrap(), r#"{"prefix":"a"}"#);
        assert!(serde_json::from_str::<Filter>(r#"{"like":"a"}"#).is_err());
    }
}
