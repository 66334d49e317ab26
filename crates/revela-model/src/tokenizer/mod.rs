//! Texts to token ids. The only place where the `tokenizers` crate enters.

mod pair;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use revela_base::checksum::Checksum;
use revela_base::file::FileError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Encoding, SplitDelimiterBehavior, Token, Tokenizer, TruncationParams};

use crate::error::{ModelError, Result};

pub use pair::PairTokens;

/// The file's name in a model folder.
pub const FILE: &str = "tokenizer.json";

/// Padding in tokenizers trained here; id 0.
pub const PAD: &str = "<pad>";
/// End of text in tokenizers trained here; id 1.
pub const EOS: &str = "<eos>";

/// Name of the file with transformers' settings of a tokenizer.
pub(crate) const SETTINGS: &str = "tokenizer_config.json";
/// What is kept of other tools' files, so that they load what is written here as what was read.
const COMPANIONS: [&str; 2] = [SETTINGS, "special_tokens_map.json"];

/// How a trained tokenizer cuts text before byte-level BPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Words with the space before them, as GPT-2 does; nothing is lost.
    Text,
    /// Words and parts of identifiers (`parseHeader`, `parse_header` and "parse header" give the same
    /// tokens), lower case, without white space: what a small retriever matches best.
    #[default]
    Words,
}

/// A tokenizer and where it came from.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    path: PathBuf,
    /// The special tokens that the tokenizer puts before and after every text.
    frame: Frame,
    /// Files of other tools that belong to it, by name.
    companions: BTreeMap<String, Value>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` in a folder.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            // Other files of a vocabulary need not be there to be meant: of the hub's, only what is read is fetched.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let detail = "it is missing; older forms of a tokenizer, such as vocab.txt, are not read. Save the \
                              tokenizer once with a recent version of transformers, which writes tokenizer.json";
                return Err(ModelError::Tokenizer { path, detail: detail.into() });
            }
            other => other.map_err(FileError::io("read", &path))?,
        };
        let mut tokenizer = Self::parse(&bytes, &path)?;
        for name in COMPANIONS {
            if let Some(json) = crate::hugging_face::read_json::<Value>(&dir.join(name))? {
                tokenizer.companions.insert(name.to_owned(), json);
            }
        }
        Ok(tokenizer)
    }

    /// Parses the bytes of a tokenizer.json; `path` is for messages.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let wrong = |e: tokenizers::Error| ModelError::Tokenizer {
            path: path.to_owned(),
            detail: format!("it cannot be read: {e}"),
        };
        let mut inner = Tokenizer::from_bytes(bytes).map_err(wrong)?;
        // Cutting and padding are the encoding contract's business.
        inner.with_truncation(None).map_err(wrong)?;
        inner.with_padding(None);
        let frame = Frame::of(&inner).map_err(wrong)?;
        Ok(Self { inner, path: path.to_owned(), frame, companions: BTreeMap::new() })
    }

    /// The special tokens that it puts after every text.
    pub fn closing(&self) -> &[u32] {
        &self.frame.closing
    }

    /// A file of other tools that came with it.
    pub(crate) fn companion(&self, name: &str) -> Option<&Value> {
        self.companions.get(name)
    }

    /// All files of other tools that came with it.
    pub(crate) fn companions(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.companions.iter().map(|(name, json)| (name.as_str(), json))
    }

    /// Trains a byte-level BPE tokenizer that ends every text with [`EOS`].
    ///
    /// The same texts in the same order give the same tokenizer.
    pub fn train<S: AsRef<str> + Send>(
        texts: impl Iterator<Item = S> + Send,
        vocabulary: usize,
        cut: Cut,
    ) -> Result<Self> {
        let path = PathBuf::from("(being trained)");
        let least = ByteLevel::alphabet().len() + 2;
        if vocabulary < least {
            let detail = format!("a vocabulary of {vocabulary} is too small; bytes alone need {least}");
            return Err(ModelError::Tokenizer { path, detail });
        }
        let failed = |e: tokenizers::Error| ModelError::Tokenizer {
            path: path.clone(),
            detail: format!("training failed: {e}"),
        };
        let mut inner = untrained(cut).map_err(failed)?;
        let mut trainer = TrainerWrapper::BpeTrainer(
            BpeTrainerBuilder::new()
                .vocab_size(vocabulary)
                .min_frequency(2)
                .show_progress(false)
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .special_tokens([PAD, EOS].map(|t| AddedToken::from(t, true)).to_vec())
                .build(),
        );
        inner.train(&mut trainer, texts).map_err(failed)?;
        let ending = ends_with_eos(&inner).map_err(failed)?;
        inner.with_post_processor(Some(ending));
        // A round trip through the file's form: what is used is what will be read back.
        let bytes = inner.to_string(false).map_err(failed)?;
        Self::parse(bytes.as_bytes(), &path)
    }

    /// The bytes of tokenizer.json.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = self.inner.to_string(true).map_err(|e| self.wrong(e.to_string()))?;
        Ok(text.into_bytes())
    }

    /// The same, of a tokenizer that cuts texts after so many tokens.
    pub(crate) fn to_json_cut_at(&self, longest: usize) -> Result<Vec<u8>> {
        let mut inner = self.inner.clone();
        let cut = TruncationParams { max_length: longest, ..TruncationParams::default() };
        inner.with_truncation(Some(cut)).map_err(|e| self.wrong(e.to_string()))?;
        Ok(inner.to_string(true).map_err(|e| self.wrong(e.to_string()))?.into_bytes())
    }

    /// Changes with anything that changes the ids of some text.
    pub fn fingerprint(&self) -> Result<Checksum> {
        Ok(Checksum::of(&self.to_json()?))
    }

    /// Number of ids, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Ids of a text with the special tokens that the tokenizer adds by itself.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, true)
    }

    /// Ids of a text alone.
    pub fn encode_bare(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, false)
    }

    fn ids(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, special).map_err(|e| self.wrong(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// An end-of-text token that exists but is not appended by the tokenizer itself, under the names that
    /// decoders give it.
    pub fn missing_end(&self) -> Result<Option<u32>> {
        const NAMES: [&str; 5] = [EOS, "</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>"];
        let Some(id) = NAMES.iter().find_map(|name| self.id(name)) else { return Ok(None) };
        Ok((self.encode("a")?.last() != Some(&id)).then_some(id))
    }

    /// Text of ids, without special tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| self.wrong(e.to_string()))
    }

    /// [`encode`](Self::encode) of many texts, on all threads, in order.
    pub fn encode_all<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// # Errors
    /// When the tokenizer has ids that a model with this many embeddings lacks.
    pub fn check_fits(&self, embeddings: usize) -> Result<()> {
        let largest = self.inner.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if largest < embeddings {
            return Ok(());
        }
        Err(self.wrong(format!(
            "its largest id is {largest}, but the model has only {embeddings} embeddings; \
             use the tokenizer that belongs to the model"
        )))
    }

    fn wrong(&self, detail: String) -> ModelError {
        ModelError::Tokenizer { path: self.path.clone(), detail }
    }
}

/// What a tokenizer puts around a text.
#[derive(Debug, Clone, Default)]
struct Frame {
    opening: Vec<u32>,
    closing: Vec<u32>,
}

impl Frame {
    /// Shows the tokenizer's last step a token that no text has.
    fn of(inner: &Tokenizer) -> tokenizers::Result<Self> {
        let text = Token::new(u32::MAX, String::new(), (0, 0));
        let whole = inner.post_process(Encoding::from_tokens(vec![text], 0), None, true)?;
        let mut parts = whole.get_ids().split(|id| *id == u32::MAX).map(<[u32]>::to_vec);
        let (opening, closing) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Ok(Self { opening, closing })
    }
}

/// Everything but the merges.
fn untrained(cut: Cut) -> tokenizers::Result<Tokenizer> {
    let mut inner = Tokenizer::new(BPE::default());
    match cut {
        Cut::Text => {
            inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        }
        Cut::Words => {
            // A space where lower case meets upper case, or an acronym a word: parseHTTPHeader.
            let hump = r"(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})";
            let humps = Replace::new(ReplacePattern::Regex(hump.to_owned()), " ")?;
            let normalizers: Vec<NormalizerWrapper> = vec![humps.into(), Lowercase.into()];
            inner.with_normalizer(Some(Normalizers::new(normalizers)))?;
            // Letters, short numbers, runs of signs; white space and underscores only separate.
            let word = r"[\p{L}\p{M}]+|\p{N}{1,3}|[^\s\p{L}\p{M}\p{N}_]+";
            let split = Split::new(SplitPattern::Regex(word.into()), SplitDelimiterBehavior::Removed, true)?;
            let parts: Vec<PreTokenizerWrapper> =
                vec![split.into(), ByteLevel::new(false, true, false).into()];
            inner.with_pre_tokenizer(Some(Sequence::new(parts)));
        }
    }
    inner.with_decoder(Some(ByteLevel::default()));
    Ok(inner)
}

fn ends_with_eos(inner: &Tokenizer) -> tokenizers::Result<TemplateProcessing> {
    let eos = inner.token_to_id(EOS).unwrap_or(1);
    Ok(TemplateProcessing::builder()
        .try_single(format!("$A {EOS}"))?
        .special_tokens(vec![(EOS, eos)])
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "fn parse_http_header(line: &str) -> Option<Header> { line.split_once(':') }",
        "parseHttpHeader reads a header line and gives Option<Header>",
        "let header = parse_http_header(line)?; let line = next_line();",
        "the next line of the header holds the value 12345 of the option",
    ];

    fn trained(cut: Cut) -> TextTokenizer {
        TextTokenizer::train(TEXTS.iter().copied().cycle().take(40), 400, cut).unwrap()
    }

    #[test]
    fn training_repeats_and_ends_with_eos() {
        for cut in [Cut::Text, Cut::Words] {
            let tokenizer = trained(cut);
            assert_eq!(tokenizer.to_json().unwrap(), trained(cut).to_json().unwrap());
            assert_eq!((tokenizer.id(PAD), tokenizer.id(EOS)), (Some(0), Some(1)));
            let ids = tokenizer.encode("header line").unwrap();
            assert_eq!(ids.last(), Some(&1));
            assert_eq!(ids.iter().filter(|id| **id == 1).count(), 1);
            assert_eq!(tokenizer.encode("").unwrap(), [1]);
            tokenizer.check_fits(tokenizer.vocabulary()).unwrap();
            assert!(tokenizer.check_fits(300).unwrap_err().to_string().contains("300 embeddings"));
        }
    }

    #[test]
    fn text_cut_loses_nothing() {
        let tokenizer = trained(Cut::Text);
        for text in ["parseHttpHeader  x_y\n\tß 你好 🦀", "\u{0}\u{fffd}"] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn words_cut_joins_spellings_of_an_identifier() {
        let tokenizer = trained(Cut::Words);
        let ids = |text| tokenizer.encode(text).unwrap();
        assert_eq!(ids("parseHttpHeader"), ids("parse_http_header"));
        assert_eq!(ids("parseHTTPHeader"), ids("parse  http\nheader"));
        assert_ne!(ids("parse(http)"), ids("parse http"));
    }

    #[test]
    fn rubbish_and_tiny_vocabularies_are_refused() {
        assert!(TextTokenizer::parse(b"{}", Path::new("t.json")).unwrap_err().to_string().contains("t.json"));
        let error = TextTokenizer::train(TEXTS.iter(), 10, Cut::Text).unwrap_err();
        assert!(error.to_string().contains("too small"));
    }
}
