//! The description of the API, for programs and, rendered from the same file, for people.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Map, Value};

/// OpenAPI 3.1.
const TEXT: &str = include_str!("openapi.json");

const STYLE: &str = include_str!("docs.css");

/// The page needs nothing but its own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// The page, rendered when first asked for.
static PAGE: LazyLock<String> = LazyLock::new(|| render(&parsed()).into_string());

fn parsed() -> Value {
    serde_json::from_str(TEXT).unwrap_or_default()
}

/// Methods and paths that are described.
#[cfg(test)]
pub(crate) fn operations() -> impl Iterator<Item = (String, String)> {
    let paths = parsed().get("paths").and_then(Value::as_object).cloned().unwrap_or_default();
    paths.into_iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().cloned().unwrap_or_default();
        methods.into_iter().map(move |(method, _)| (method, path.clone()))
    })
}

/// `GET /openapi.json`.
pub(crate) async fn json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT)
}

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    ([kind, (header::CONTENT_SECURITY_POLICY, POLICY)], PAGE.as_str()).into_response()
}

fn render(api: &Value) -> Markup {
    let text = |pointer: &str| api.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (text("/info/title")) " API" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (text("/info/title")) " API" }
                p { (text("/info/description")) }
                p { a href="/openapi.json" { "openapi.json" } " describes the same for programs. " a href="/" { "Search" } }
                @for (path, methods) in members(api.get("paths")) {
                    @for (method, operation) in members(Some(methods)) {
                        (render_operation(api, path, method, operation))
                    }
                }
                h2 { "Objects" }
                @for (name, schema) in members(api.pointer("/components/schemas")) {
                    section id=(name) {
                        h3 { (name) }
                        @if let Some(text) = schema.get("description").and_then(Value::as_str) { p { (text) } }
                        (render_fields(schema))
                    }
                }
            }
        }
    }
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn render_operation(api: &Value, path: &str, method: &str, operation: &Value) -> Markup {
    let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default();
    let request = operation.pointer("/requestBody/content/application~1json/schema");
    let open = operation
        .get("security")
        .or(api.get("security"))
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty);
    html! {
        section {
            h2 { span class="method" { (method.to_uppercase()) } " " code { (path) } }
            p { b { (text("summary")) } ". " (text("description")) @if open { " Needs no key." } }
            @for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
                @let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
                p { code { (text("name")) } " in the " (text("in")) ": " (text("description")) }
            }
            @if let Some(schema) = request {
                p { "Send " (kind(schema)) ":" }
                (render_fields(resolve(api, schema)))
            }
            table {
                @for (status, answer) in members(operation.get("responses")) {
                    @let answer = resolve(api, answer);
                    @let schema = answer.pointer("/content/application~1json/schema");
                    tr {
                        td { code { (status) } }
                        td { @if let Some(schema) = schema { (kind(schema)) } }
                        td { (answer.get("description").and_then(Value::as_str).unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

fn resolve<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let target = reference.and_then(|reference| api.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn render_fields(schema: &Value) -> Markup {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
    html! {
        table {
            @for (name, field) in members(schema.get("properties")) {
                tr {
                    td { code { (name) } @if is_required(name) { " *" } }
                    td { (kind(field)) }
                    td {
                        (field.get("description").and_then(Value::as_str).unwrap_or_default())
                        @if let Some(default) = field.get("default") { " Default: " code { (default) } }
                        @if field.get("properties").is_some() { (render_fields(field)) }
                    }
                }
            }
        }
    }
}

/// What a value is, in a word, with a link where it is described elsewhere.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#" (name) } { (name) } };
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let names: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        return html! { (names.join(" | ")) };
    }
    if let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) {
        return html! { @for (number, one) in kinds.iter().enumerate() { @if number > 0 { " | " } (kind(one)) } };
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            html! { "list of " (kind(schema.get("items").unwrap_or(&Value::Null))) }
        }
        Some(Value::String(name)) => html! { (name) },
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            html! { (names.join(" or ")) }
        }
        _ => html! {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` below a value.
    fn references(value: &Value) -> Vec<String> {
        match value {
            Value::Object(map) => {
                let own = map.get("$ref").and_then(Value::as_str).map(str::to_owned);
                own.into_iter().chain(map.values().flat_map(references)).collect()
            }
            Value::Array(list) => list.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn references_lead_somewhere_and_the_page_shows_all() {
        let api = parsed();
        let references = references(&api);
        assert!(references.len() > 20);
        for reference in references {
            assert!(api.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for (method, path) in operations() {
            let heading = format!("{}</span> <code>{path}</code>", method.to_uppercase());
            assert!(PAGE.contains(&heading), "{heading}");
        }
        assert!(PAGE.contains("id=\"Hit\"") && PAGE.contains("href=\"#Hit\"") && PAGE.contains("ef_search"));
        assert!(!PAGE.contains("http://") && !PAGE.contains("https://"), "nothing from elsewhere");
    }
}
