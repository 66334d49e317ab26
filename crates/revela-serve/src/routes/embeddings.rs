//! `/v1/embeddings` and `/v1/models`, as OpenAI's clients use them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use revela_base::embed::TextKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::timed;
use crate::body::{Admitted, Guarded, Json};
use crate::config::Dimensions;
use crate::error::{ApiError, Code};
use crate::metrics::Stage;
use crate::middleware::{Deadline, Timings};
use crate::state::{App, Model};

/// What clients send; what they send beyond it is ignored, as OpenAI's service does with some of it.
#[derive(Debug, Deserialize)]
pub(crate) struct EmbeddingsRequest {
    input: Input,
    model: String,
    encoding_format: Option<Format>,
    dimensions: Option<usize>,
    input_type: Option<InputType>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "input must be a string, a list of strings, token ids, or lists of token ids")]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    IdLists(Vec<Vec<u32>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Float,
    Base64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InputType {
    Query,
    Passage,
}

impl From<InputType> for TextKind {
    fn from(kind: InputType) -> Self {
        match kind {
            InputType::Query => Self::Query,
            InputType::Passage => Self::Passage,
        }
    }
}

#[derive(Serialize)]
struct EmbeddingsAnswer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Guarded for EmbeddingsRequest {
    type Ticket = ();

    /// Spares reading texts for which there is no room.
    fn look(app: &App) -> Result<(), ApiError> {
        app.model()?.batcher.check_any_room()
    }

    /// Room is taken when the texts' tokens are counted.
    fn enter(_app: &App) -> Result<(), ApiError> {
        Ok(())
    }
}

/// `POST /v1/embeddings`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Admitted(request, ()): Admitted<EmbeddingsRequest>,
) -> Result<Response, ApiError> {
    let model = app.model()?;
    let kind = settle_model(&app, model, &request)?;
    let width = settle_dimensions(&app, model, request.dimensions)?;
    let texts = texts(model, request.input)?;
    check_texts(&app, &texts)?;
    let counted = app.count(kind, texts).await?;
    let tokens = counted.tokens();
    let embedded = model.batcher.embed(counted, deadline).await?;
    let full = model.batcher.encoder().dimension().max(1);
    let row = |(index, row): (usize, &[f32])| {
        let row = shorten(row, width);
        let embedding = match request.encoding_format.unwrap_or_default() {
            Format::Float => Vector::Float(row),
            Format::Base64 => Vector::Base64(base64(&row)),
        };
        Embedding { object: "embedding", index, embedding }
    };
    let answer = EmbeddingsAnswer {
        object: "list",
        data: embedded.rows.chunks_exact(full).enumerate().map(row).collect(),
        model: request.model,
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    };
    let timings = vec![(Stage::EmbedWait, embedded.waited), (Stage::Embed, embedded.embedded)];
    Ok(timed(Timings(timings), Json(answer)))
}

/// Checks the model's name, and finds out on which side of retrieval the texts stand.
fn settle_model(app: &App, model: &Model, request: &EmbeddingsRequest) -> Result<TextKind, ApiError> {
    let (name, suffix) = match request.model.rsplit_once(':') {
        Some((name, "query")) => (name, Some(InputType::Query)),
        Some((name, "passage")) => (name, Some(InputType::Passage)),
        _ => (request.model.as_str(), None),
    };
    if name != model.name && !app.config.embeddings.aliases.iter().any(|alias| alias == name) {
        return Err(no_model(model));
    }
    match (request.input_type, suffix) {
        (Some(one), Some(other)) if one != other => Err(ApiError::invalid(
            "input_type and the model's suffix contradict each other; send one of them",
        )),
        (kind, suffix) => Ok(kind.or(suffix).unwrap_or(InputType::Passage).into()),
    }
}

fn no_model(model: &Model) -> ApiError {
    ApiError::not_found(format!("there is no model of this name; this server has {:?}", model.name))
}

fn settle_dimensions(app: &App, model: &Model, asked: Option<usize>) -> Result<usize, ApiError> {
    let full = model.batcher.encoder().dimension();
    let refuse = |message: String| Err(ApiError::invalid(message));
    match (asked, app.config.embeddings.dimensions) {
        (None, _) => Ok(full),
        (Some(asked), _) if asked == full => Ok(full),
        (Some(asked), Dimensions::Truncate) if (1..full).contains(&asked) => Ok(asked),
        (Some(_), Dimensions::Truncate) => refuse(format!("dimensions must lie between 1 and {full}")),
        (Some(_), Dimensions::Full) => refuse(format!("this server gives vectors of {full} dimensions only")),
    }
}

/// The texts of an input; token ids become the text that they stand for, so that the encoder's own prefix
/// and end are put around it as around any other.
fn texts(model: &Model, input: Input) -> Result<Vec<String>, ApiError> {
    let encoder = model.batcher.encoder();
    let decode = |(number, ids): (usize, Vec<u32>)| {
        let unknown =
            |_| ApiError::invalid("it holds an id that the model's tokenizer does not have; send text");
        encoder.decode(&ids).map_err(|error| unknown(error).within("input", number))
    };
    match input {
        Input::Text(text) => Ok(vec![text]),
        Input::Texts(texts) => Ok(texts),
        Input::Ids(ids) => Ok(vec![decode((0, ids))?]),
        Input::IdLists(lists) => lists.into_iter().enumerate().map(decode).collect(),
    }
}

fn check_texts(app: &App, texts: &[String]) -> Result<(), ApiError> {
    let limits = &app.config.limits;
    if texts.is_empty() {
        return Err(ApiError::invalid("input is empty; send at least one text"));
    }
    if texts.len() > limits.inputs {
        let message = format!("more than {} inputs; send them in parts", limits.inputs);
        return Err(ApiError::new(Code::TooLarge, message));
    }
    match texts.iter().position(|text| text.len() > limits.text_bytes) {
        Some(number) => {
            let message = format!("it has more than {} bytes; cut it into passages", limits.text_bytes);
            Err(ApiError::new(Code::TooLarge, message).within("input", number))
        }
        None => Ok(()),
    }
}

/// The first `width` numbers; if that cuts any off, at length 1 again.
fn shorten(row: &[f32], width: usize) -> Vec<f32> {
    let mut short: Vec<f32> = row.iter().copied().take(width).collect();
    if short.len() < row.len() {
        let length = short.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            short.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    short
}

/// Little-endian `f32`, which is what clients read.
fn base64(row: &[f32]) -> String {
    let bytes: Vec<u8> = row.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

fn described(app: &App, model: &Model) -> Value {
    let encoder = model.batcher.encoder();
    json!({
        "id": model.name,
        "object": "model",
        "created": app.started,
        "owned_by": "revela",
        "dimension": encoder.dimension(),
        "max_tokens": encoder.max_tokens(),
        "fingerprint": encoder.fingerprint(),
    })
}

/// `GET /v1/models`.
pub(crate) async fn models(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let data: Vec<Value> = app.services()?.model.iter().map(|model| described(&app, model)).collect();
    Ok(Json(json!({ "object": "list", "data": data })).into_response())
}

/// `GET /v1/models/{model}`.
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(name) = name.map_err(|error| ApiError::invalid(format!("the name cannot be read: {error}")))?;
    let model = app.model()?;
    if name != model.name && !app.config.embeddings.aliases.contains(&name) {
        return Err(no_model(model));
    }
    Ok(Json(described(&app, model)).into_response())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<EmbeddingsRequest, ApiError> {
        crate::body::parse(text.as_bytes())
    }

    #[test]
    fn inputs_of_all_four_kinds() {
        let input = |text: &str| parse(&format!(r#"{{"model":"m","input":{text}}}"#)).unwrap().input;
        assert!(matches!(input(r#""a""#), Input::Text(_)));
        assert!(matches!(input(r#"["a","b"]"#), Input::Texts(texts) if texts.len() == 2));
        assert!(matches!(input("[1,2]"), Input::Ids(ids) if ids == [1, 2]));
        assert!(matches!(input("[[1],[2,3]]"), Input::IdLists(lists) if lists.len() == 2));
        for wrong in ["{}", "[1.5]", "[-1]", "[1,\"a\"]", "null"] {
            let error = parse(&format!(r#"{{"model":"m","input":{wrong}}}"#)).unwrap_err();
            assert!(error.message.contains("input must be"), "{wrong}: {error}");
        }
    }

    #[test]
    fn base64_is_little_endian_floats() {
        assert_eq!(base64(&[1.0, -2.5]), "AACAPwAAIMA=");
    }

    proptest! {
        #[test]
        fn shortened_rows_have_length_one(row in proptest::collection::vec(-1.0f32..1.0, 2..50), cut in 1usize..49) {
            let width = cut.min(row.len() - 1);
            let short = shorten(&row, width);
            prop_assert_eq!(short.len(), width);
            let length = short.iter().map(|x| x * x).sum::<f32>().sqrt();
            prop_assert!(row[..width].iter().all(|x| *x == 0.0) || (length - 1.0).abs() < 1e-5);
            prop_assert_eq!(shorten(&row, row.len()), row);
        }

        #[test]
        fn any_body_is_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = crate::body::parse::<EmbeddingsRequest>(&bytes);
        }
    }
}
