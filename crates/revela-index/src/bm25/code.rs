//! A tokenizer for source code: every identifier as a whole and in its parts.

use std::ops::Range;

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use super::pieces::{Kind as PieceKind, Pieces, Underscores, write_term};

/// Splits text into identifiers, and identifiers into parts.
///
/// An identifier is a run of letters, digits and underscores; what scripts without spaces write, and emoji, are
/// pieces of their own (see [`super::pieces`]), which are not split. An identifier is split at underscores, before a
/// capital that follows a small letter (`readFile`), before the last capital of a run of capitals that
/// a small letter follows (`HTTPServer`), and between letters and digits. An identifier with several
/// parts also gives one token for the whole, without underscores, so that `read_file`, `readFile` and
/// `readfile` share a term once lowercased. That token comes first; offsets are the text's own.
#[derive(Clone)]
pub(super) struct CodeTokenizer {
    cut: Cut,
    token: Token,
    parts: Vec<Range<usize>>,
}

/// How a text is cut into identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Into runs of letters, digits and underscores of whatever script, taken as they are.
    Runs,
    /// Into pieces.
    Pieces,
}

impl CodeTokenizer {
    pub(super) fn new(cut: Cut) -> Self {
        Self { cut, token: Token::default(), parts: Vec::new() }
    }
}

impl Tokenizer for CodeTokenizer {
    type TokenStream<'a> = CodeStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> CodeStream<'a> {
        self.token.reset();
        self.parts.clear();
        let pieces = Pieces::of(text, Underscores::Join);
        let Self { cut, token, parts } = self;
        CodeStream { text, cut: *cut, at: 0, pieces, next: Next::Identifier, parts, token }
    }
}

/// What the stream gives next.
#[derive(Clone, Copy)]
enum Next {
    Identifier,
    Part(usize),
}

pub(super) struct CodeStream<'a> {
    text: &'a str,
    cut: Cut,
    /// Everything before this byte is done, where runs are cut.
    at: usize,
    pieces: Pieces<'a>,
    next: Next,
    /// The parts of the current identifier.
    parts: &'a mut Vec<Range<usize>>,
    token: &'a mut Token,
}

fn in_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl CodeStream<'_> {
    fn next_identifier(&mut self) -> Option<Range<usize>> {
        let rest = self.text.get(self.at..)?;
        let start = self.at + rest.find(in_identifier)?;
        let rest = self.text.get(start..)?;
        let end = start + rest.find(|c| !in_identifier(c)).unwrap_or(rest.len());
        self.at = end;
        Some(start..end)
    }

    fn next_piece(&mut self) -> Option<(PieceKind, Range<usize>)> {
        match self.cut {
            Cut::Runs => self.next_identifier().map(|range| (PieceKind::Word, range)),
            Cut::Pieces => self.pieces.next(),
        }
    }

    fn emit(&mut self, kind: PieceKind, range: Range<usize>) {
        let text = self.text.get(range.clone()).unwrap_or_default();
        match self.cut {
            Cut::Runs => text.clone_into(&mut self.token.text),
            Cut::Pieces => write_term(kind, text, &mut self.token.text),
        }
        self.token.text.retain(|c| c != '_');
        self.token.offset_from = range.start;
        self.token.offset_to = range.end;
        self.token.position = self.token.position.wrapping_add(1);
    }

    fn emit_part(&mut self, number: usize) -> bool {
        let Some(range) = self.parts.get(number).cloned() else { return false };
        self.next = Next::Part(number + 1);
        self.emit(PieceKind::Word, range);
        true
    }
}

impl TokenStream for CodeStream<'_> {
    fn advance(&mut self) -> bool {
        if let Next::Part(number) = self.next
            && self.emit_part(number)
        {
            return true;
        }
        while let Some((kind, range)) = self.next_piece() {
            if kind != PieceKind::Word {
                self.next = Next::Identifier;
                self.emit(kind, range);
                return true;
            }
            split_identifier(self.text, range, self.parts);
            match self.parts.as_slice() {
                [] => {} // Underscores alone.
                [_] => return self.emit_part(0),
                [first, .., last] => {
                    let whole = first.start..last.end;
                    self.next = Next::Part(0);
                    self.emit(PieceKind::Word, whole);
                    return true;
                }
            }
        }
        self.next = Next::Identifier;
        false
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Capital,
    Letter,
    Digit,
    Underscore,
}

fn kind(c: char) -> Kind {
    if c == '_' {
        Kind::Underscore
    } else if c.is_numeric() {
        Kind::Digit
    } else if c.is_uppercase() {
        Kind::Capital
    } else {
        Kind::Letter
    }
}

/// Writes the byte ranges of the parts of `text[range]` into `parts`.
fn split_identifier(text: &str, range: Range<usize>, parts: &mut Vec<Range<usize>>) {
    parts.clear();
    let identifier = text.get(range.clone()).unwrap_or_default();
    let mut chars = identifier.char_indices().map(|(at, c)| (range.start + at, kind(c))).peekable();
    let mut start = None;
    let mut before = Kind::Underscore;
    while let Some((at, now)) = chars.next() {
        let after = chars.peek().map(|&(_, kind)| kind);
        if is_boundary(before, now, after) {
            parts.extend(start.take().map(|start| start..at));
            start = (now != Kind::Underscore).then_some(at);
        }
        before = now;
    }
    parts.extend(start.map(|start| start..range.end));
}

fn is_boundary(before: Kind, now: Kind, after: Option<Kind>) -> bool {
    match (before, now) {
        (Kind::Letter, Kind::Capital) => true,
        (Kind::Capital, Kind::Capital) => after == Some(Kind::Letter),
        (Kind::Capital, Kind::Letter) => false,
        _ => before != now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        let tokens = cut(text, Cut::Pieces);
        assert_eq!(tokens, cut(text, Cut::Runs));
        tokens
    }

    fn cut(text: &str, cut: Cut) -> Vec<String> {
        let mut tokenizer = CodeTokenizer::new(cut);
        let mut stream = tokenizer.token_stream(text);
        let mut tokens = Vec::new();
        while stream.advance() {
            let token = stream.token();
            assert_eq!(text[token.offset_from..token.offset_to].replace('_', ""), token.text);
            tokens.push(token.text.clone());
        }
        tokens
    }

    #[test]
    fn splits_as_documented() {
        assert_eq!(tokens("parseXMLFile"), ["parseXMLFile", "parse", "XML", "File"]);
        assert_eq!(tokens("__init__"), ["init"]);
        assert_eq!(tokens("a_b"), ["ab", "a", "b"]);
        assert_eq!(tokens("utf8"), ["utf8", "utf", "8"]);
        assert_eq!(tokens("MAX_SIZE=10"), ["MAXSIZE", "MAX", "SIZE", "10"]);
        assert_eq!(tokens("ID"), ["ID"]);
        assert_eq!(tokens("aB"), ["aB", "a", "B"]);
        assert_eq!(tokens("Ab"), ["Ab"]);
    }

    #[test]
    fn nothing_and_other_scripts() {
        assert_eq!(tokens(""), [""; 0]);
        assert_eq!(tokens("___ -> !"), [""; 0]);
        assert_eq!(tokens("größeÄndern"), ["größeÄndern", "größe", "Ändern"]);
        assert_eq!(cut("東京駅1", Cut::Pieces), ["東京", "京駅", "1"]);
        assert_eq!(cut("東京駅1", Cut::Runs), ["東京駅1", "東京駅", "1"]);
        assert_eq!(
            cut("let 名_前 = getName🚀", Cut::Pieces),
            ["let", "名", "前", "getName", "get", "Name", "🚀"]
        );
    }
}
