use proptest::prelude::*;

use super::body::{FusionRequest, RerankRequest, SnippetAnswer};
use super::*;
use revela_search::Snippet;

#[test]
fn marks_count_code_points() {
    let text = "Größe 🦀 grün".to_owned();
    let range = |piece: &str| {
        let start = text.find(piece).unwrap();
        start..start + piece.len()
    };
    let highlights = vec![range("Größe"), range("🦀"), range("grün")];
    let answer = SnippetAnswer::from(Snippet { text: text.clone(), highlights });
    assert_eq!(answer.marks, [[0, 5], [6, 7], [8, 12]]);
}

#[test]
fn requests_say_what_they_mean() {
    let parse = |text: &str| crate::body::parse::<SearchRequest>(text.as_bytes());
    let full = parse(
        r#"{"query":"a","mode":"hybrid","fusion":{"rrf":{"k":10}},"filter":{"prefix":"x"},"snippet":{}}"#,
    );
    let full = full.unwrap();
    assert!(matches!(full.fusion, Some(FusionRequest::Rrf { k: 10.0 })));
    assert_eq!((full.k(), full.snippet.unwrap().length(), full.include_text()), (10, 200, true));
    assert_eq!(parse("{\"query\":\"a\",\"recall\":0.95}").unwrap().recall, "0.95".parse().ok());
    assert!(parse("{\"query\":\"a\",\"recall\":1.5}").is_err());
    let rerank = |value: &str| parse(&format!("{{\"query\":\"a\",\"rerank\":{value}}}"));
    assert_eq!(rerank("true").unwrap().rerank, Some(RerankRequest::Wanted(true)));
    assert_eq!(rerank("{\"depth\":7}").unwrap().rerank, Some(RerankRequest::Depth(7)));
    for wrong in ["7", "{}", "{\"deep\":7}", "{\"depth\":-1}"] {
        assert!(rerank(wrong).unwrap_err().message.contains("rerank must be"), "{wrong}");
    }
    for wrong in ["{\"quary\":\"a\"}", "{\"k\":-1}", "{\"mode\":\"best\"}", "{\"filter\":{\"id\":[]}}", "[]"]
    {
        assert_eq!(parse(wrong).unwrap_err().code, Code::InvalidRequest, "{wrong}");
    }
}

proptest! {
    /// Whatever a body holds, it is understood or refused.
    #[test]
    fn any_body_is_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = crate::body::parse::<SearchRequest>(&bytes);
        let _ = crate::body::parse::<BatchRequest>(&bytes);
    }

    #[test]
    fn marks_stay_within_the_text(text in "\\PC{0,40}", cut in 0usize..40) {
        let start = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
        let highlight = start..text.len();
        let count = text.chars().count();
        let marks = SnippetAnswer::from(Snippet { text, highlights: vec![highlight] }).marks;
        prop_assert_eq!(marks, vec![[cut.min(count), count]]);
    }
}
