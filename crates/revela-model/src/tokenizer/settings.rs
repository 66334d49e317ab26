//! What transformers' settings make of a tokenizer, beside its own file.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::normalizers::{Lowercase, Sequence as Normalizers};
use tokenizers::{NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use super::{COMPANIONS, Frame, SETTINGS, TextTokenizer};
use crate::bert_config::BertFamily;
use crate::error::{ModelError, Result};
use crate::fields::Fields;
use crate::model_config::ModelConfig;

/// Values from here on mean that nobody set a length.
const NO_LIMIT: f64 = 1e18;

impl TextTokenizer {
    /// Makes the tokenizer what transformers' class for it does by tokenizer_config.json. Only texts' ids
    /// count; what is said of decoding, padding and chats changes none.
    ///
    /// # Errors
    /// When a setting is not supported; the error names it.
    pub(crate) fn follow_settings(&mut self, config: &ModelConfig) -> Result<()> {
        let settings = self.companion(SETTINGS).cloned().unwrap_or(Value::Null);
        self.check_settings(&settings).map_err(|detail| self.wrong_settings(detail))?;
        let class = settings.get("tokenizer_class").and_then(Value::as_str).or(config.tokenizer_class());
        let result = match (config, class) {
            (ModelConfig::Decoder(_), _) => self.frame_by_settings(&settings),
            // Encoders may have another family's tokenizer.
            (_, Some(class)) if class.contains("BertTokenizer") => self.bert_normalizer(&settings),
            (_, Some(class)) if class.starts_with("RobertaTokenizer") => self.roberta_spaces(&settings),
            (ModelConfig::Bert(bert), None) => match bert.family {
                BertFamily::Bert | BertFamily::DistilBert => self.bert_normalizer(&settings),
                BertFamily::Roberta => self.roberta_spaces(&settings),
                BertFamily::XlmRoberta => Ok(()),
            },
            _ => Ok(()),
        };
        result.map_err(|detail| self.wrong_settings(detail))
    }

    pub(super) fn wrong_settings(&self, detail: String) -> ModelError {
        ModelError::Config { path: self.path.with_file_name(SETTINGS), detail }
    }

    fn check_settings(&self, settings: &Value) -> std::result::Result<(), String> {
        if Fields(settings).flag("split_special_tokens")? {
            return Err("split_special_tokens is true, which is not supported".into());
        }
        match settings.get("truncation_side").and_then(Value::as_str) {
            None | Some("right") => Ok(()),
            Some(other) => Err(format!(
                "truncation_side is {other:?}, which is not supported: texts that are too long lose their end"
            )),
        }
    }

    /// BERT's normaliser is made of the settings, whatever the tokenizer's own file says.
    fn bert_normalizer(&mut self, settings: &Value) -> std::result::Result<(), String> {
        let fields = Fields(settings);
        let lower = fields.flag_or("do_lower_case", true)?;
        let chinese = fields.flag_or("tokenize_chinese_chars", true)?;
        let accents = match settings.get("strip_accents") {
            None | Some(Value::Null) => Value::Null,
            Some(_) => fields.flag("strip_accents")?.into(),
        };
        let mut normalizer = as_json(self.inner.get_normalizer())?;
        let changed = change(&mut normalizer, "BertNormalizer", &mut |bert| {
            bert["lowercase"] = lower.into();
            bert["handle_chinese_chars"] = chinese.into();
            bert["strip_accents"] = accents.clone();
        });
        match changed {
            true => self.set_normalizer(normalizer),
            // Another normaliser than BERT's: only what is said explicitly counts.
            false if lower && settings.get("do_lower_case").is_some_and(|v| !v.is_null()) => {
                self.lower_case().map_err(|e| e.to_string())
            }
            false => Ok(()),
        }
    }

    fn set_normalizer(&mut self, json: Value) -> std::result::Result<(), String> {
        let normalizer: Option<NormalizerWrapper> =
            serde_json::from_value(json).map_err(|e| e.to_string())?;
        self.inner.with_normalizer(normalizer).map(|_| ()).map_err(|e| e.to_string())
    }

    /// Whether RoBERTa's texts begin as if after a space.
    fn roberta_spaces(&mut self, settings: &Value) -> std::result::Result<(), String> {
        let space = Fields(settings).flag("add_prefix_space")?;
        let mut cutter = as_json(self.inner.get_pre_tokenizer())?;
        if change(&mut cutter, "ByteLevel", &mut |bytes| bytes["add_prefix_space"] = space.into()) {
            let cutter: Option<PreTokenizerWrapper> =
                serde_json::from_value(cutter).map_err(|e| e.to_string())?;
            self.inner.with_pre_tokenizer(cutter);
        }
        Ok(())
    }

    /// Tokens at the beginning and the end that the settings ask for, where the file has none there.
    fn frame_by_settings(&mut self, settings: &Value) -> std::result::Result<(), String> {
        let fields = Fields(settings);
        if fields.flag("add_bos_token")? && self.frame.opening.is_empty() {
            let begin = self.special(settings, "bos_token", "add_bos_token")?;
            self.put_around(Some(begin), None).map_err(|e| e.to_string())?;
        }
        if fields.flag("add_eos_token")? && self.frame.closing.is_empty() {
            let end = self.special(settings, "eos_token", "add_eos_token")?;
            self.put_around(None, Some(end)).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The id of a special token that a setting asks for.
    fn special(&self, settings: &Value, name: &str, by: &str) -> std::result::Result<u32, String> {
        let files =
            std::iter::once(settings).chain(COMPANIONS.iter().filter_map(|file| self.companion(file)));
        let token = files.filter_map(|file| token_text(file.get(name)?)).next();
        let token = token.ok_or_else(|| format!("{by} is true, but nothing says what {name} is"))?;
        self.id(token).ok_or_else(|| format!("{by} is true, but the tokenizer has no {name} {token:?}"))
    }

    /// Makes it put texts into lower case before anything else, if it does not do so already.
    pub(crate) fn lower_case(&mut self) -> Result<()> {
        let old = self.inner.get_normalizer().cloned();
        let text = serde_json::to_string(&old).unwrap_or_default();
        if text.contains("\"Lowercase\"") || text.contains("\"lowercase\":true") {
            return Ok(());
        }
        let normalizers = std::iter::once(Lowercase.into()).chain(old).collect();
        let changed = self.inner.with_normalizer(Some(Normalizers::new(normalizers))).map(|_| ());
        changed.map_err(|e| self.wrong(e.to_string()))?;
        // The classes of BERT would make their own normaliser again.
        self.leave_its_class();
        Ok(())
    }

    /// Ends every text with this token, after what the tokenizer adds already.
    ///
    /// # Errors
    /// When the tokenizer has no such token.
    pub(crate) fn end_with(&mut self, end: u32) -> Result<()> {
        self.put_around(None, Some(end))
    }

    /// Puts nothing around texts from here on.
    pub(crate) fn take_frame_off(&mut self) {
        self.inner.with_post_processor(None::<PostProcessorWrapper>);
        self.frame = Frame::default();
    }

    /// Puts special tokens around what the tokenizer gives for a text.
    fn put_around(&mut self, begin: Option<u32>, end: Option<u32>) -> Result<()> {
        let named = |id: u32| {
            let name =
                self.inner.id_to_token(id).ok_or_else(|| self.wrong(format!("it has no token {id}")))?;
            Ok::<_, ModelError>((name, id))
        };
        let (begin, end) = (begin.map(named).transpose()?, end.map(named).transpose()?);
        let old = as_json(self.inner.get_post_processor()).map_err(|e| self.wrong(e))?;
        let all = framed(old, begin.as_ref(), end.as_ref()).map_err(|e| self.wrong(e))?;
        let all: PostProcessorWrapper = serde_json::from_value(all).map_err(|e| self.wrong(e.to_string()))?;
        self.inner.with_post_processor(Some(all));
        self.frame = Frame::of(&self.inner).map_err(|e| self.wrong(e.to_string()))?;
        if let Some((name, _)) = &end {
            self.tell_settings_of_end(name);
        }
        Ok(())
    }

    /// The class for Llama in transformers 4 makes the last step anew, of its settings.
    fn tell_settings_of_end(&mut self, name: &str) {
        let Some(settings) = self.companions.get_mut(SETTINGS) else { return };
        let class = settings.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
        if !class.starts_with("LlamaTokenizer") {
            return;
        }
        if settings.get("eos_token").and_then(token_text) == Some(name) {
            settings["add_eos_token"] = true.into();
        } else {
            self.leave_its_class();
        }
    }

    /// Lets transformers take the tokenizer's file as it is.
    fn leave_its_class(&mut self) {
        if let Some(settings) = self.companions.get_mut(SETTINGS) {
            settings["tokenizer_class"] = "PreTrainedTokenizerFast".into();
        }
    }

    /// The longest sequence by tokenizer_config.json, whose path is for messages.
    pub(crate) fn limit(&self, path: &Path) -> Result<Option<usize>> {
        let Some(limit) = self.companion(SETTINGS).and_then(|s| s.get("model_max_length")) else {
            return Ok(None);
        };
        match limit.as_f64() {
            _ if limit.is_null() => Ok(None),
            Some(number) if number >= NO_LIMIT => Ok(None),
            Some(number) if number >= 1.0 && number.fract() == 0.0 => Ok(Some(number as usize)),
            _ => {
                let detail = format!("model_max_length is {limit}, which is no positive whole number");
                Err(ModelError::Config { path: path.to_owned(), detail })
            }
        }
    }
}

/// A special token's text, in either of the forms that files have.
fn token_text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

fn as_json<T: serde::Serialize>(part: T) -> std::result::Result<Value, String> {
    serde_json::to_value(part).map_err(|e| e.to_string())
}

/// Changes every part of this type; says whether there was one.
fn change(part: &mut Value, kind: &str, how: &mut dyn FnMut(&mut Value)) -> bool {
    if part.get("type").is_some_and(|t| t == kind) {
        how(part);
        return true;
    }
    let lists = ["normalizers", "pretokenizers"];
    let mut changed = false;
    for list in lists {
        for inner in part.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            changed |= change(inner, kind, how);
        }
    }
    changed
}

/// A token's text and id.
type Named = (String, u32);

/// A tokenizer's last step with one token more before and after a text. Two steps that frame texts cannot follow
/// one another, so the token goes into the one that is there.
fn framed(step: Value, begin: Option<&Named>, end: Option<&Named>) -> std::result::Result<Value, String> {
    match step {
        Value::Null => Ok(template(begin, end)),
        Value::Object(mut step) => {
            let kind = step.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            match (kind.as_str(), step.get_mut("processors").and_then(Value::as_array_mut)) {
                ("TemplateProcessing", _) => {
                    put_into(&mut step, begin, end);
                    Ok(Value::Object(step))
                }
                ("Sequence", Some(list)) => {
                    let frames =
                        |step: &Value| step.get("type").is_some_and(|kind| kind == "TemplateProcessing");
                    match list.iter_mut().find(|step| frames(step)) {
                        Some(inner) => *inner = framed(inner.take(), begin, end)?,
                        None => list.push(template(begin, end)),
                    }
                    Ok(Value::Object(step))
                }
                ("ByteLevel", _) => {
                    let steps = [Value::Object(step), template(begin, end)];
                    Ok(json!({"type": "Sequence", "processors": steps}))
                }
                (other, _) => Err(format!("its last step is a {other}, to which no token can be added")),
            }
        }
        other => Err(format!("its last step is {other}")),
    }
}

/// Puts tokens before and after what a step gives for one text, or two.
fn put_into(step: &mut serde_json::Map<String, Value>, begin: Option<&Named>, end: Option<&Named>) {
    let piece = |name: &str, side: u32| json!({"SpecialToken": {"id": name, "type_id": side}});
    for (form, side) in [("single", 0), ("pair", 1)] {
        let Some(pieces) = step.get_mut(form).and_then(Value::as_array_mut) else { continue };
        if let Some((name, _)) = begin {
            pieces.insert(0, piece(name, 0));
        }
        if let Some((name, _)) = end {
            pieces.push(piece(name, side));
        }
    }
    if let Some(tokens) = step.get_mut("special_tokens").and_then(Value::as_object_mut) {
        for (name, id) in begin.into_iter().chain(end) {
            tokens.insert(name.clone(), json!({"id": name, "ids": [id], "tokens": [name]}));
        }
    }
}

/// A step that puts these tokens around one text or two.
fn template(begin: Option<&Named>, end: Option<&Named>) -> Value {
    let text = |name: &str, side: u32| json!({"Sequence": {"id": name, "type_id": side}});
    let mut step = serde_json::Map::new();
    step.insert("type".into(), "TemplateProcessing".into());
    step.insert("single".into(), json!([text("A", 0)]));
    step.insert("pair".into(), json!([text("A", 0), text("B", 1)]));
    step.insert("special_tokens".into(), json!({}));
    put_into(&mut step, begin, end);
    Value::Object(step)
}
