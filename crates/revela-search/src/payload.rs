//! What is known of a passage beside its text, and conditions on it.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::QueryError;

/// A JSON object: the fields of a passage that filters ask for, such as its language, date or path.
pub type Payload = serde_json::Map<String, Value>;

/// Predicates are nested at most this deep.
const DEEPEST: usize = 64;

/// A value that fields are compared with. Numbers are compared as f64, so whole numbers beyond 2^53 that
/// differ by little are equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text, compared byte by byte, which orders dates written as 2026-11-21.
    Text(String),
}

impl From<bool> for Scalar {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Scalar {
    /// How a field's value compares with this; nothing where they are of different kinds.
    fn order_of(&self, value: &Value) -> Option<Ordering> {
        match (value, self) {
            (Value::Bool(found), Self::Flag(wanted)) => Some(found.cmp(wanted)),
            (Value::Number(found), Self::Number(wanted)) => found.as_f64()?.partial_cmp(wanted),
            (Value::String(found), Self::Text(wanted)) => Some(found.as_bytes().cmp(wanted.as_bytes())),
            _ => None,
        }
    }
}

/// A condition on payloads.
///
/// A field is a key, or a path of keys with dots between them. Where it holds an array, one element that
/// fits is enough. A field that is missing, or of another kind than what it is compared with, fits nothing,
/// so that [`Not`](Self::Not) of it fits.
///
/// ```
/// use revela_search::Predicate;
/// let recent = Predicate::from_json(r#"{"all": [
///     {"equals": {"field": "language", "value": "en"}},
///     {"range": {"field": "year", "least": 2020}},
///     {"not": {"prefix": {"field": "path", "prefix": "drafts/"}}}
/// ]}"#)?;
/// let payload = serde_json::json!({"language": ["de", "en"], "year": 2024, "path": "notes/a.md"});
/// assert!(recent.fits(payload.as_object().unwrap()));
/// # Ok::<(), revela_search::QueryError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "Fields")]
pub enum Predicate {
    /// The field is this.
    Equals {
        /// Which field.
        field: String,
        /// What it is.
        value: Scalar,
    },
    /// The field is one of these.
    In {
        /// Which field.
        field: String,
        /// What it may be.
        values: Vec<Scalar>,
    },
    /// The field is neither below nor above these.
    Range {
        /// Which field.
        field: String,
        /// The least that fits, itself included; nothing for no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        least: Option<Scalar>,
        /// The most that fits, itself included; nothing for no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<Scalar>,
    },
    /// The field is a text that begins so.
    Prefix {
        /// Which field.
        field: String,
        /// How it begins.
        prefix: String,
    },
    /// All of these fit; so does an empty list.
    All(Vec<Predicate>),
    /// At least one of these fits.
    Any(Vec<Predicate>),
    /// This does not fit.
    Not(Box<Predicate>),
}

/// A predicate as programs may write it: one of these, the others absent or null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    equals: Option<Equals>,
    r#in: Option<In>,
    range: Option<Range>,
    prefix: Option<Prefix>,
    all: Option<Vec<Predicate>>,
    any: Option<Vec<Predicate>>,
    not: Option<Box<Predicate>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Equals {
    field: String,
    value: Scalar,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct In {
    field: String,
    values: Vec<Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    field: String,
    least: Option<Scalar>,
    most: Option<Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    field: String,
    prefix: String,
}

impl TryFrom<Fields> for Predicate {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        let given = [
            fields.equals.map(|Equals { field, value }| Self::Equals { field, value }),
            fields.r#in.map(|In { field, values }| Self::In { field, values }),
            fields.range.map(|Range { field, least, most }| Self::Range { field, least, most }),
            fields.prefix.map(|Prefix { field, prefix }| Self::Prefix { field, prefix }),
            fields.all.map(Self::All),
            fields.any.map(Self::Any),
            fields.not.map(Self::Not),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            _ => Err("a predicate is one of equals, in, range, prefix, all, any and not"),
        }
    }
}

impl Predicate {
    /// Reads the form that the documentation of [`Predicate`] shows.
    ///
    /// # Errors
    /// [`QueryError::Predicate`] for anything else, and as [`check`](Self::check).
    pub fn from_json(text: &str) -> Result<Self, QueryError> {
        let predicate: Self = serde_json::from_str(text).map_err(|e| QueryError::Predicate(e.to_string()))?;
        predicate.check()?;
        Ok(predicate)
    }

    /// Refuses what can never fit by mistake: NaN, a range without limits, nesting deeper than 64.
    ///
    /// # Errors
    /// [`QueryError::Predicate`].
    pub fn check(&self) -> Result<(), QueryError> {
        self.check_at(0)
    }

    fn check_at(&self, depth: usize) -> Result<(), QueryError> {
        let wrong = |detail: String| Err(QueryError::Predicate(detail));
        let is_nan = |value: &Scalar| matches!(value, Scalar::Number(number) if number.is_nan());
        if depth > DEEPEST {
            return wrong(format!("it is nested deeper than {DEEPEST}"));
        }
        match self {
            Self::Range { field, least: None, most: None } => {
                wrong(format!("the range of {field:?} has no limit; give least, most or both"))
            }
            Self::Range { field, least, most } if least.iter().chain(most).any(is_nan) => {
                wrong(format!("a limit of {field:?} is NaN"))
            }
            Self::Equals { field, value } if is_nan(value) => {
                wrong(format!("nothing equals NaN ({field:?})"))
            }
            Self::In { field, values } if values.iter().any(is_nan) => {
                wrong(format!("nothing equals NaN ({field:?})"))
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().try_for_each(|part| part.check_at(depth + 1)),
            Self::Not(part) => part.check_at(depth + 1),
            _ => Ok(()),
        }
    }

    /// Whether a payload fits.
    pub fn fits(&self, payload: &Payload) -> bool {
        match self {
            Self::Equals { field, value } => any_value(payload, field, |found| is(found, value)),
            Self::In { field, values } => {
                any_value(payload, field, |found| values.iter().any(|value| is(found, value)))
            }
            Self::Range { field, least, most } => any_value(payload, field, |found| {
                let above = |limit: &Scalar| limit.order_of(found).is_some_and(Ordering::is_ge);
                let below = |limit: &Scalar| limit.order_of(found).is_some_and(Ordering::is_le);
                least.as_ref().is_none_or(above) && most.as_ref().is_none_or(below)
            }),
            Self::Prefix { field, prefix } => {
                any_value(payload, field, |found| found.as_str().is_some_and(|text| text.starts_with(prefix)))
            }
            Self::All(parts) => parts.iter().all(|part| part.fits(payload)),
            Self::Any(parts) => parts.iter().any(|part| part.fits(payload)),
            Self::Not(part) => !part.fits(payload),
        }
    }
}

fn is(found: &Value, wanted: &Scalar) -> bool {
    wanted.order_of(found) == Some(Ordering::Equal)
}

/// Whether the field, or an element of the array that it is, fits.
fn any_value(payload: &Payload, field: &str, fits: impl Fn(&Value) -> bool) -> bool {
    match find(payload, field) {
        Some(Value::Array(elements)) => elements.iter().any(fits),
        Some(value) => fits(value),
        None => false,
    }
}

/// A key that holds dots itself comes before a path.
fn find<'a>(payload: &'a Payload, field: &str) -> Option<&'a Value> {
    if let Some(value) = payload.get(field) {
        return Some(value);
    }
    let (first, rest) = field.split_once('.')?;
    find(payload.get(first)?.as_object()?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(text: &str) -> Payload {
        serde_json::from_str(text).unwrap()
    }

    fn fits(predicate: &str, text: &str) -> bool {
        Predicate::from_json(predicate).unwrap().fits(&payload(text))
    }

    #[test]
    fn kinds_are_not_mixed_and_what_is_missing_fits_nothing() {
        let year = r#"{"equals": {"field": "year", "value": 2024}}"#;
        assert!(fits(year, r#"{"year": 2024}"#) && fits(year, r#"{"year": 2024.0}"#));
        assert!(!fits(year, r#"{"year": "2024"}"#) && !fits(year, r#"{"year": true}"#) && !fits(year, "{}"));
        assert!(fits(&format!(r#"{{"not": {year}}}"#), "{}"));
        assert!(!fits(r#"{"any": []}"#, "{}") && fits(r#"{"all": []}"#, "{}"));
        let text = r#"{"in": {"field": "a.b", "values": ["x", true, 3]}}"#;
        assert!(fits(text, r#"{"a": {"b": ["y", 3]}}"#) && fits(text, r#"{"a.b": true}"#));
        assert!(!fits(text, r#"{"a": {"b": [false, 4, null, ["x"]]}}"#) && !fits(text, r#"{"a": 3}"#));
        let dates = r#"{"range": {"field": "date", "least": "2026-01-01", "most": "2026-12-31"}}"#;
        assert!(fits(dates, r#"{"date": "2026-01-01"}"#) && !fits(dates, r#"{"date": "2025-12-31"}"#));
        assert!(!fits(dates, r#"{"date": 2026}"#));
        let prefix = r#"{"prefix": {"field": "path", "prefix": "src/"}}"#;
        assert!(fits(prefix, r#"{"path": "src/a.rs"}"#) && !fits(prefix, r#"{"path": 3}"#));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |text: &str| Predicate::from_json(text).unwrap_err().to_string();
        assert!(refused(r#"{"range": {"field": "x"}}"#).contains("no limit"));
        assert!(refused(r#"{"like": {"field": "x"}}"#).contains("like"));
        assert!(refused(r#"{"range": {"field": "x", "lest": 1}}"#).contains("lest"));
        assert!(refused("not json").contains("predicate"));
        assert!(refused(r#"{"all": [], "any": []}"#).contains("one of") && refused("{}").contains("one of"));
        let filled = r#"{"equals": null, "range": {"field": "x", "least": 1, "most": null}, "not": null}"#;
        assert!(matches!(Predicate::from_json(filled), Ok(Predicate::Range { most: None, .. })));
        let nan = Predicate::Equals { field: "x".into(), value: f64::NAN.into() };
        assert!(nan.check().is_err());
        let deep = (0..70).fold(Predicate::All(vec![]), |inner, _| Predicate::Not(Box::new(inner)));
        assert!(deep.check().unwrap_err().to_string().contains("deeper"));
    }

    proptest! {
        /// Ranges and their negations split the numbers in two.
        #[test]
        fn a_range_is_what_its_limits_say(x in -9i32..9, least in -9i32..9, most in -9i32..9) {
            let payload = payload(&format!(r#"{{"x": {x}}}"#));
            let limit = |x: i32| Some(Scalar::from(f64::from(x)));
            let range = Predicate::Range { field: "x".into(), least: limit(least), most: limit(most) };
            prop_assert_eq!(range.fits(&payload), least <= x && x <= most);
            prop_assert_eq!(Predicate::Not(Box::new(range.clone())).fits(&payload), !range.fits(&payload));
            let text = serde_json::to_string(&range).unwrap();
            prop_assert_eq!(Predicate::from_json(&text).unwrap(), range);
        }
    }
}
