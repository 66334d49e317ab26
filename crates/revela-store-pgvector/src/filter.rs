//! Filters as SQL, with the meaning that `Predicate::fits` gives them.

use postgres::types::ToSql;
use revela_search::{Filter, Predicate, Scalar};

type Value = Box<dyn ToSql + Sync + Send>;

/// A condition and the values that it names as `$1`, `$2` and so on.
#[derive(Default)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    values: Vec<Value>,
}

impl Condition {
    /// The condition after parameters that a statement has already.
    pub(crate) fn of(filter: &Filter, parameters: usize) -> Self {
        let mut made = Self::default();
        made.sql = match filter {
            Filter::All => "TRUE".to_owned(),
            Filter::Ids(ids) => {
                let ids: Vec<String> = ids.iter().cloned().collect();
                format!("id = ANY({})", made.value(parameters, Box::new(ids), "text[]"))
            }
            Filter::Prefix(prefix) => {
                let prefix = prefix.as_ref().clone();
                format!("starts_with(id, {})", made.value(parameters, Box::new(prefix), "text"))
            }
            Filter::Payload(predicate) => made.predicate(parameters, predicate),
        };
        made
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync))
    }

    fn value(&mut self, parameters: usize, value: Value, kind: &str) -> String {
        self.values.push(value);
        format!("${}::{kind}", parameters + self.values.len())
    }

    fn predicate(&mut self, at: usize, predicate: &Predicate) -> String {
        match predicate {
            Predicate::Equals { field, value } => {
                let test = self.compare(at, "=", value);
                self.any(at, field, &test)
            }
            Predicate::In { field, values } => {
                let tests: Vec<String> = values.iter().map(|value| self.compare(at, "=", value)).collect();
                let test = joined(&tests, " OR ", "FALSE");
                self.any(at, field, &test)
            }
            Predicate::Range { field, least, most } => {
                let limits = [(">=", least), ("<=", most)];
                let tests: Vec<String> = limits
                    .into_iter()
                    .filter_map(|(sign, limit)| limit.as_ref().map(|limit| self.compare(at, sign, limit)))
                    .collect();
                let test = joined(&tests, " AND ", "TRUE");
                self.any(at, field, &test)
            }
            Predicate::Prefix { field, prefix } => {
                let prefix = self.value(at, Box::new(prefix.clone()), "text");
                let test = format!("jsonb_typeof(e) = 'string' AND starts_with(e #>> '{{}}', {prefix})");
                self.any(at, field, &test)
            }
            Predicate::All(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.predicate(at, part)).collect();
                joined(&parts, " AND ", "TRUE")
            }
            Predicate::Any(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.predicate(at, part)).collect();
                joined(&parts, " OR ", "FALSE")
            }
            Predicate::Not(part) => format!("(NOT {})", self.predicate(at, part)),
        }
    }

    /// How an element `e` compares with a value; false where they are of different kinds.
    fn compare(&mut self, at: usize, sign: &str, value: &Scalar) -> String {
        let (kind, cast, value) = match value {
            Scalar::Flag(flag) => ("boolean", "::boolean", self.value(at, Box::new(*flag), "boolean")),
            Scalar::Number(number) => ("number", "::float8", self.value(at, Box::new(*number), "float8")),
            Scalar::Text(text) => {
                ("string", r#" COLLATE "C""#, self.value(at, Box::new(text.clone()), "text"))
            }
        };
        // The cast is made only for elements of the kind.
        format!(
            "(CASE WHEN jsonb_typeof(e) = '{kind}' THEN (e #>> '{{}}'){cast} {sign} {value} ELSE FALSE END)"
        )
    }

    /// Whether the field, or an element of the array that it is, passes a test; false where it is missing.
    fn any(&mut self, at: usize, field: &str, test: &str) -> String {
        let found = self.found(at, "payload", field);
        format!(
            "EXISTS (SELECT FROM (SELECT {found}) AS f(x), LATERAL jsonb_array_elements(\
             CASE WHEN jsonb_typeof(x) = 'array' THEN x ELSE jsonb_build_array(x) END) AS v(e) \
             WHERE x IS NOT NULL AND {test})"
        )
    }

    /// The value of a field. A key that holds dots itself comes before a path.
    fn found(&mut self, at: usize, of: &str, field: &str) -> String {
        let whole = self.value(at, Box::new(field.to_owned()), "text");
        let own = format!("({of} -> {whole})");
        match field.split_once('.') {
            None => own,
            Some((first, rest)) => {
                let first = self.value(at, Box::new(first.to_owned()), "text");
                let inner = self.found(at, &format!("({of} -> {first})"), rest);
                format!("COALESCE({own}, {inner})")
            }
        }
    }
}

fn joined(parts: &[String], by: &str, none: &str) -> String {
    if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(by)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_travel_apart_from_the_statement() {
        let text = r#"{"all": [{"equals": {"field": "a.b", "value": "x'; DROP TABLE t"}}, {"any": []}]}"#;
        let condition = Condition::of(&Filter::payload(Predicate::from_json(text).unwrap()), 2);
        assert!(!condition.sql.contains("DROP") && condition.sql.contains("FALSE"), "{}", condition.sql);
        assert!(condition.sql.contains("$3::text") && !condition.sql.contains("$2"), "{}", condition.sql);
        assert_eq!(condition.parameters().count(), 4);
        assert_eq!(Condition::of(&Filter::All, 0).sql, "TRUE");
    }
}
