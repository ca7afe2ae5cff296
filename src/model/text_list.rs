//! Settings that are lists of texts. A list is written as a list in TOML, or as text with commas.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// The texts of a list in TOML, or of a text with commas.
///
/// # Errors
/// If an element of the list is not a text.
pub fn texts_of(text: &str) -> Result<Vec<String>, String> {
    let list = format!("list = {text}").parse::<toml::Table>().ok();
    match list.as_ref().and_then(|table| table["list"].as_array()) {
        Some(list) => {
            let texts: Option<Vec<&str>> = list.iter().map(toml::Value::as_str).collect();
            Ok(texts.ok_or("expected a list of texts")?.into_iter().map(str::to_owned).collect())
        }
        None => Ok(text.split(',').map(|text| text.trim().to_owned()).collect()),
    }
}

/// Deserializes a list of texts from a list, or from a text with commas.
///
/// # Errors
/// If the value is neither.
pub fn list_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(ListOrText)
}

struct ListOrText;

impl<'de> Visitor<'de> for ListOrText {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of texts, or one text with commas")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        texts_of(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}
