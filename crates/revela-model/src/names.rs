//! What Hugging Face's files call the parameters of each family.

use crate::bert_config::BertFamily;

/// How a family's files name parts that are called otherwise here.
struct Table {
    /// What comes before a layer's number.
    layers: &'static str,
    /// Here, there.
    parts: &'static [(&'static str, &'static str)],
}

const BERT: Table = Table {
    layers: "encoder.layer.",
    parts: &[
        ("words", "embeddings.word_embeddings"),
        ("positions", "embeddings.position_embeddings"),
        ("types", "embeddings.token_type_embeddings"),
        ("norm", "embeddings.LayerNorm"),
        ("query", "attention.self.query"),
        ("key", "attention.self.key"),
        ("value", "attention.self.value"),
        ("output", "attention.output.dense"),
        ("attention_norm", "attention.output.LayerNorm"),
        ("up", "intermediate.dense"),
        ("down", "output.dense"),
        ("output_norm", "output.LayerNorm"),
    ],
};

const DISTIL_BERT: Table = Table {
    layers: "transformer.layer.",
    parts: &[
        ("words", "embeddings.word_embeddings"),
        ("positions", "embeddings.position_embeddings"),
        ("norm", "embeddings.LayerNorm"),
        ("query", "attention.q_lin"),
        ("key", "attention.k_lin"),
        ("value", "attention.v_lin"),
        ("output", "attention.out_lin"),
        ("attention_norm", "sa_layer_norm"),
        ("up", "ffn.lin1"),
        ("down", "ffn.lin2"),
        ("output_norm", "output_layer_norm"),
    ],
};

/// A table of token vectors, as sentence-transformers calls it.
pub(crate) const TOKEN_TABLE: &str = "embedding.weight";
const TABLE_OF_MODEL2VEC: &str = "embeddings";

/// Where models here keep their layers.
const LAYERS: &str = "layers.";

/// Names of whole models that stand before their encoder's names.
const MODELS: [&str; 5] = ["bert.", "roberta.", "xlm-roberta.", "distilbert.", "model."];

/// Tensors of published files that no vector of a text depends on: heads of pretraining and of tasks.
const UNUSED: [&str; 10] = [
    "cls.",
    "lm_head.",
    "pooler.",
    "pre_classifier.",
    "classifier.",
    "qa_outputs.",
    "vocab_",
    "head.",
    "decoder.",
    "score.",
];
const BUFFERS: [&str; 3] = ["position_ids", "token_type_ids", "rotary_emb.inv_freq"];

/// Whether a tensor of this name is no parameter, but can be computed.
pub(crate) fn is_buffer(name: &str) -> bool {
    BUFFERS.iter().any(|end| name.ends_with(end))
}

/// A tensor's name without that of the whole model before it.
pub(crate) fn without_model(name: &str) -> &str {
    MODELS.iter().find_map(|model| name.strip_prefix(model)).unwrap_or(name)
}

/// A tensor's name in the file of a model without a head, given its name in any file; nothing where no
/// vector of a text depends on it.
pub(crate) fn without_head(name: &str) -> Option<String> {
    let name = without_model(name);
    if name == TABLE_OF_MODEL2VEC {
        return Some(TOKEN_TABLE.to_owned());
    }
    if UNUSED.iter().any(|start| name.starts_with(start)) || is_buffer(name) {
        return None;
    }
    // TensorFlow's names of a norm's parts, in files that were converted long ago.
    Some(match name.rsplit_once('.') {
        Some((part, "gamma")) => format!("{part}.weight"),
        Some((part, "beta")) => format!("{part}.bias"),
        _ => name.to_owned(),
    })
}

/// A parameter's or module's name in a file, given its name here.
pub(crate) fn to_file(family: Option<BertFamily>, name: &str) -> String {
    let Some(family) = family else { return name.to_owned() };
    let table = table(family);
    let (layer, rest) = split_layer(name, LAYERS);
    let found = table.parts.iter().find_map(|(here, there)| {
        let field = rest.strip_prefix(here)?;
        (field.is_empty() || field.starts_with('.')).then(|| (*there, field.trim_start_matches('.')))
    });
    let (part, field) = found.unwrap_or((rest, ""));
    joined(layer.map(|number| (table.layers, number)), part, field)
}

fn table(family: BertFamily) -> &'static Table {
    match family {
        BertFamily::Bert | BertFamily::Roberta | BertFamily::XlmRoberta => &BERT,
        BertFamily::DistilBert => &DISTIL_BERT,
    }
}

/// `layers.3.query.weight` to `3` and `query.weight`.
fn split_layer<'a>(name: &'a str, layers: &str) -> (Option<&'a str>, &'a str) {
    match name.strip_prefix(layers).and_then(|rest| rest.split_once('.')) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, name),
    }
}

fn joined(layer: Option<(&str, &str)>, part: &str, field: &str) -> String {
    let layer = layer.map_or(String::new(), |(layers, number)| format!("{layers}{number}."));
    let dot = if field.is_empty() { "" } else { "." };
    format!("{layer}{part}{dot}{field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_names_of_their_family() {
        let pairs = [
            (BertFamily::Bert, "layers.0.query.weight", "encoder.layer.0.attention.self.query.weight"),
            (BertFamily::Roberta, "layers.11.output.bias", "encoder.layer.11.attention.output.dense.bias"),
            (BertFamily::Bert, "layers.2.output_norm.bias", "encoder.layer.2.output.LayerNorm.bias"),
            (BertFamily::XlmRoberta, "words.weight", "embeddings.word_embeddings.weight"),
            (BertFamily::DistilBert, "layers.1.up.weight", "transformer.layer.1.ffn.lin1.weight"),
            (BertFamily::Bert, "layers.1.down", "encoder.layer.1.output.dense"),
        ];
        for (family, here, there) in pairs {
            assert_eq!(to_file(Some(family), here), there);
        }
        assert_eq!(to_file(None, "layers.0.attn.Wo.weight"), "layers.0.attn.Wo.weight");
    }

    #[test]
    fn heads_and_buffers_are_left_out_and_strangers_are_kept() {
        assert_eq!(without_head("bert.embeddings.LayerNorm.gamma").unwrap(), "embeddings.LayerNorm.weight");
        let unused = [
            "pooler.dense.weight",
            "bert.pooler.dense.bias",
            "cls.predictions.bias",
            "lm_head.weight",
            "pre_classifier.weight",
            "qa_outputs.bias",
        ];
        let buffers = ["embeddings.position_ids", "bert.embeddings.position_ids"];
        for name in unused.into_iter().chain(buffers) {
            assert_eq!(without_head(name), None, "{name}");
        }
        assert_eq!(without_head("embeddings.surprise.weight").unwrap(), "embeddings.surprise.weight");
        assert_eq!(without_head("model.layers.0.mlp.Wi.weight").unwrap(), "layers.0.mlp.Wi.weight");
    }
}
