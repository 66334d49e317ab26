//! An encoder behind HTTP: a server that speaks OpenAI's embeddings.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use revela_base::checksum::{Checksum, Fingerprint};
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

/// Texts in one request.
const BATCH: usize = 64;

/// How often a request is made that the server is too busy to answer, or that does not reach it.
const ATTEMPTS: u32 = 4;

/// The pause after the first of these; it doubles each time.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a batch may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Largest answer that is read: a batch of vectors with 16,384 numbers as text.
const LARGEST_ANSWER: u64 = 64 << 20;

/// What is embedded to learn the dimension, and to notice that another model answers under the same name.
const PROBES: [&str; 2] = ["What does a retriever read first?", "fn main() { println!(\"hello\"); }"];

/// Where the model is, and what is said to it.
pub(super) struct EndpointConfig {
    /// The base address, with or without `/embeddings`.
    pub(super) url: String,
    /// The model's name there.
    pub(super) model: String,
    /// The key that is sent, if any.
    pub(super) key: Option<String>,
    /// Put before queries.
    pub(super) query_prefix: String,
    /// Put before passages.
    pub(super) passage_prefix: String,
}

/// Such an encoder. Its vectors are made to have length 1.
pub(super) struct Endpoint {
    agent: Agent,
    address: String,
    config: EndpointConfig,
    dimension: usize,
    fingerprint: Checksum,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Numbers,
}

/// Numbers as text, or the bytes of little-endian single precision in base64.
#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    Floats(Vec<f32>),
    Base64(String),
}

impl Numbers {
    fn decode(self) -> Result<Vec<f32>> {
        let text = match self {
            Self::Floats(numbers) => return Ok(numbers),
            Self::Base64(text) => text,
        };
        let bytes = STANDARD.decode(text).context("an embedding is not valid base64")?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        ensure!(
            rest.is_empty(),
            "an embedding of {} bytes is not made of single-precision numbers",
            bytes.len()
        );
        Ok(numbers.iter().map(|&number| f32::from_le_bytes(number)).collect())
    }
}

impl Endpoint {
    /// Asks the endpoint for the embeddings of two texts, to learn their dimension and a fingerprint.
    pub(super) fn open(config: EndpointConfig) -> Result<Self> {
        let agent = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        let base = config.url.trim_end_matches('/');
        let address =
            if base.ends_with("/embeddings") { base.to_owned() } else { format!("{base}/embeddings") };
        let mut endpoint =
            Self { agent: agent.into(), address, config, dimension: 0, fingerprint: Checksum::of(b"") };
        let rows = endpoint.ask(&PROBES.map(str::to_owned))?;
        endpoint.dimension = rows.first().map_or(0, Vec::len);
        let mut fingerprint = Fingerprint::new();
        let config = &endpoint.config;
        for part in [&endpoint.address, &config.model, &config.query_prefix, &config.passage_prefix] {
            fingerprint = fingerprint.part("endpoint", part);
        }
        for number in rows.iter().flatten() {
            fingerprint = fingerprint.part("probe", number.to_le_bytes());
        }
        endpoint.fingerprint = fingerprint.finish();
        Ok(endpoint)
    }

    /// One request, made again while the server is busy or the connection fails.
    fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let body = json!({ "model": self.config.model, "input": texts, "encoding_format": "base64" });
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            match self.post(&body) {
                Ok((200, answer)) => {
                    return rows(&answer, texts.len())
                        .with_context(|| format!("{} answers badly", self.address));
                }
                Ok((429 | 500..=599, _)) | Err(_) if !last => std::thread::sleep(pause),
                Ok((status, answer)) => {
                    bail!("{} answers with status {status}: {}", self.address, reason(&answer))
                }
                Err(error) => return Err(error),
            }
            pause *= 2;
        }
        bail!("{} stays busy", self.address)
    }

    fn post(&self, body: &Value) -> Result<(u16, Vec<u8>)> {
        let cannot = || format!("cannot reach {}", self.address);
        let mut request = self.agent.post(&self.address).header("content-type", "application/json");
        if let Some(key) = &self.config.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(&serde_json::to_vec(body)?[..]).with_context(cannot)?;
        let status = response.status().as_u16();
        let answer =
            response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().with_context(cannot)?;
        Ok((status, answer))
    }

    fn embed_all(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>> {
        let prefix = match kind {
            TextKind::Query => &self.config.query_prefix,
            TextKind::Passage => &self.config.passage_prefix,
        };
        let mut all = Vec::with_capacity(texts.len() * self.dimension);
        for batch in texts.chunks(BATCH) {
            let batch: Vec<String> = batch.iter().map(|text| format!("{prefix}{text}")).collect();
            for row in self.ask(&batch)? {
                let (wanted, found) = (self.dimension, row.len());
                ensure!(found == wanted, "{} gives {found} numbers where it gave {wanted}", self.address);
                all.extend(row);
            }
        }
        Ok(all)
    }
}

/// The vectors of an answer in the order of the texts, each of length 1.
fn rows(answer: &[u8], texts: usize) -> Result<Vec<Vec<f32>>> {
    let Answer { data } = serde_json::from_slice(answer).context("not the JSON of embeddings")?;
    ensure!(data.len() == texts, "{} embeddings for {texts} texts", data.len());
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; texts];
    for Item { index, embedding } in data {
        let row = normalised(embedding.decode()?)?;
        let place = rows.get_mut(index).with_context(|| format!("an embedding has the index {index}"))?;
        ensure!(place.replace(row).is_none(), "two embeddings have the index {index}");
    }
    rows.into_iter().map(|row| row.context("an embedding is missing")).collect()
}

fn normalised(mut row: Vec<f32>) -> Result<Vec<f32>> {
    let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    ensure!(length.is_finite() && length > 0.0, "an embedding has the length {length}");
    row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    Ok(row)
}

/// What an error answer says: OpenAI's message, or the beginning of whatever came.
fn reason(answer: &[u8]) -> String {
    let message = |value: Value| Some(value.pointer("/error/message")?.as_str()?.to_owned());
    let text = serde_json::from_slice(answer).ok().and_then(message);
    text.unwrap_or_else(|| String::from_utf8_lossy(answer).chars().take(200).collect())
}

impl Embedder for Endpoint {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn fingerprint(&self) -> Checksum {
        self.fingerprint
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        self.embed_all(kind, texts).map_err(|error| EmbedError(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(embeddings: &str) -> Vec<u8> {
        format!("{{\"data\": [{embeddings}]}}").into_bytes()
    }

    #[test]
    fn both_encodings_in_any_order_give_rows_of_length_one() {
        let bytes: Vec<u8> = [3.0f32, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let coded = STANDARD.encode(bytes);
        let found = rows(
            &answer(&format!(
                "{{\"index\": 1, \"embedding\": [0, -2]}}, {{\"index\": 0, \"embedding\": \"{coded}\"}}"
            )),
            2,
        );
        assert_eq!(found.unwrap(), [vec![0.6, 0.8], vec![0.0, -1.0]]);
    }

    #[test]
    fn bad_answers_say_why() {
        for (embeddings, part) in [
            ("", "0 embeddings for 1 texts"),
            ("{\"index\": 1, \"embedding\": [1]}", "the index 1"),
            ("{\"index\": 0, \"embedding\": [0, 0]}", "the length 0"),
            ("{\"index\": 0, \"embedding\": [1e38, 1e39]}", "the length inf"),
            ("{\"index\": 0, \"embedding\": \"AAAA\"}", "3 bytes"),
            ("{\"index\": 0, \"embedding\": \"*\"}", "base64"),
            ("{\"index\": 0}", "not the JSON"),
        ] {
            let error = format!("{:#}", rows(&answer(embeddings), 1).unwrap_err());
            assert!(error.contains(part), "{embeddings}: {error}");
        }
        let twice = "{\"index\": 0, \"embedding\": [1]}, {\"index\": 0, \"embedding\": [1]}";
        assert!(rows(&answer(twice), 2).unwrap_err().to_string().contains("two embeddings"));
        assert_eq!(reason(b"{\"error\": {\"message\": \"no such model\"}}"), "no such model");
        assert_eq!(reason(b"<html>"), "<html>");
    }
}
