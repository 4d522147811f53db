//! Tokenizers: read from `tokenizer.json`, or put together from a byte-level BPE vocabulary and its merges.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde_json::Value as Json;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::bpe::{Vocab, BPE};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use crate::Failure;

/// How Qwen2 cuts a text before BPE: contractions, words, single digits, punctuation, line ends, blanks.
const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same tokenizer, reading the names of special tokens as plain text; made when first asked for.
    plain: OnceLock<tokenizers::Tokenizer>,
    special_ids: HashSet<u32>,
    byte_level: bool,
    byte_of_char: HashMap<char, u8>,
}

impl Tokenizer {
    pub fn from_json(json: &[u8]) -> Result<Tokenizer, Failure> {
        let inner = tokenizers::Tokenizer::from_bytes(json).map_err(Failure::invalid)?;
        Tokenizer::new(inner)
    }

    pub fn from_bpe(vocab: &str, merges: &str, config: &str) -> Result<Tokenizer, Failure> {
        let config: Json = serde_json::from_str(config).map_err(|e| Failure::invalid(format!("configuration: {e}")))?;
        let mut inner = tokenizers::Tokenizer::new(read_bpe(vocab, merges)?);
        let prefix_space = config["add_prefix_space"].as_bool().unwrap_or(false);
        match config["family"].as_str() {
            Some("qwen2") => {
                inner.with_normalizer(Some(NFC)).map_err(Failure::invalid)?;
                let pattern = SplitPattern::Regex(QWEN2_PATTERN.to_string());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(Failure::invalid)?;
                let bytes = ByteLevel::new(prefix_space, true, false);
                inner.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
            }
            Some("gpt2") => {
                inner.with_pre_tokenizer(Some(ByteLevel::new(prefix_space, true, true)));
            }
            other => return Err(Failure::invalid(format!("unknown tokenizer family {other:?}"))),
        }
        inner.with_decoder(Some(ByteLevel::default()));
        add_tokens(&mut inner, &config["added_tokens"])?;
        Tokenizer::new(inner)
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Tokenizer, Failure> {
        // What a caller of the reference gets unless it asks otherwise, whatever the file was saved with.
        inner.with_truncation(None).map_err(Failure::invalid)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(false);
        let special_ids =
            inner.get_added_tokens_decoder().into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        let byte_level = matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
        Ok(Tokenizer { inner, plain: OnceLock::new(), special_ids, byte_level, byte_of_char: byte_of_char() })
    }

    pub fn encode(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<u32>, Failure> {
        let tokenizer = if parse_special {
            &self.inner
        } else {
            self.plain.get_or_init(|| {
                let mut plain = self.inner.clone();
                plain.set_encode_special_tokens(true);
                plain
            })
        };
        let encoding = tokenizer.encode_fast(text, add_special).map_err(Failure::invalid)?;
        Ok(encoding.get_ids().to_vec())
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Failure> {
        self.inner.decode(ids, skip_special).map_err(Failure::invalid)
    }

    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    pub fn is_byte_level(&self) -> bool {
        self.byte_level
    }

    /// A token with a character outside the byte alphabet (an added token) stands for its own UTF-8.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let token = self.inner.id_to_token(id).unwrap_or_default();
        let mapped: Option<Vec<u8>> = token.chars().map(|c| self.byte_of_char.get(&c).copied()).collect();
        mapped.unwrap_or_else(|| token.into_bytes())
    }
}

fn read_bpe(vocab: &str, merges: &str) -> Result<BPE, Failure> {
    let vocab: HashMap<String, u32> = serde_json::from_str(vocab)
        .map_err(|e| Failure::invalid(format!("vocab.json: expected an object of tokens and ids: {e}")))?;
    let vocab: Vocab = vocab.into_iter().collect();
    let mut pairs = Vec::new();
    for (index, line) in merges.lines().enumerate() {
        if line.is_empty() || (index == 0 && line.starts_with("#version")) {
            continue;
        }
        match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => pairs.push((left.to_string(), right.to_string())),
            _ => {
                return Err(Failure::invalid(format!(
                    "merges.txt line {}: expected two tokens with a blank between them",
                    index + 1
                )))
            }
        }
    }
    BPE::builder()
        .vocab_and_merges(vocab, pairs)
        .build()
        .map_err(|e| Failure::invalid(format!("vocab.json and merges.txt do not fit together: {e}")))
}

fn add_tokens(tokenizer: &mut tokenizers::Tokenizer, tokens: &Json) -> Result<(), Failure> {
    let Some(tokens) = tokens.as_array() else { return Ok(()) };
    for token in tokens {
        let flag = |name: &str| token[name].as_bool().unwrap_or(false);
        let content = token["content"].as_str().unwrap_or_default();
        if content.is_empty() {
            return Err(Failure::invalid("an added token has no content"));
        }
        let special = flag("special");
        let added = AddedToken::from(content, special)
            .lstrip(flag("lstrip"))
            .rstrip(flag("rstrip"))
            .single_word(flag("single_word"))
            .normalized(token["normalized"].as_bool().unwrap_or(!special));
        tokenizer.add_tokens([added]).map_err(Failure::invalid)?;
        let got = tokenizer.token_to_id(content);
        if let Some(expected) = token["id"].as_u64() {
            if got.map(u64::from) != Some(expected) {
                return Err(Failure::invalid(format!(
                    "added token {content:?} is given id {expected}, but after vocab.json comes {}",
                    got.map_or("none".to_string(), |id| id.to_string())
                )));
            }
        }
    }
    Ok(())
}

/// The byte-level alphabet: printable Latin-1 stands for itself, the other bytes for characters from U+0100 on.
fn byte_of_char() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    (0..=255u8)
        .map(|byte| {
            if printable(byte) {
                return (byte as char, byte);
            }
            next += 1;
            (char::from_u32(next - 1).expect("below the surrogates"), byte)
        })
        .collect()
}
