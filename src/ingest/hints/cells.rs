//! Splits a line whose dialect is unknown into cells, to look for hints.

use serde_json::Value;

/// The delimiters that files have in practice.
pub const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// A delimiter as the settings write it.
pub fn delimiter_name(delimiter: char) -> String {
    if delimiter == '\t' { "tab".to_owned() } else { delimiter.to_string() }
}

/// Whether a line looks like a JSON object.
pub fn is_json(line: &[u8]) -> bool {
    line.trim_ascii_start().first() == Some(&b'{')
}

/// The cells of a line. A JSON object has its values as cells. In all other lines, the delimiter is the one
/// that occurs most often.
pub fn split(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line);
    if is_json(line)
        && let Ok(value) = serde_json::from_str(&text)
    {
        return leaves(&value, "").into_iter().map(|(_, value)| value).collect();
    }
    split_at(&text, likely_delimiter(&text))
}

/// The delimiter that occurs most often outside quotes. A comma if there is none.
pub fn likely_delimiter(text: &str) -> char {
    let mut best = (',', 1);
    for delimiter in DELIMITERS {
        let cells = split_at(text, delimiter).len();
        if cells > best.1 {
            best = (delimiter, cells);
        }
    }
    best.0
}

/// The cells of a CSV line without their quotes. Quotes that never close are text.
pub fn split_at(text: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut quoted, mut previous) = (false, delimiter);
    for char in text.chars() {
        match char {
            '"' if quoted || previous == delimiter => quoted = !quoted,
            '"' if previous == '"' => {
                // A doubled quote: the first one has closed the cell too early.
                cells.last_mut().expect("never empty").push('"');
                quoted = true;
            }
            _ if char == delimiter && !quoted => cells.push(String::new()),
            _ => cells.last_mut().expect("never empty").push(char),
        }
        previous = char;
    }
    if quoted {
        return text.split(delimiter).map(ToOwned::to_owned).collect();
    }
    cells
}

/// The strings and numbers of a JSON value, with their keys. Keys of nested objects are joined with dots.
pub fn leaves(value: &Value, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Object(_) => found.extend(leaves(value, &key)),
                Value::String(text) => found.push((key, text.clone())),
                Value::Number(number) => found.push((key, number.to_string())),
                Value::Null | Value::Bool(_) | Value::Array(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_delimiter_outside_quotes_splits_the_line() {
        let cells = |line: &str| split(line.as_bytes());
        assert_eq!(cells("a;\"b;c\";d"), ["a", "b;c", "d"]);
        assert_eq!(cells("a\t\"say \"\"hi\"\"\"\tb,c"), ["a", "say \"hi\"", "b,c"]);
        assert_eq!(cells("one"), ["one"]);
        assert_eq!(cells("\"open,b"), ["\"open", "b"]);
        assert_eq!(cells(r#"{"at":17,"track":{"id":"t1","n":null}}"#), ["17", "t1"]);
        assert_eq!(cells("{broken,b"), ["{broken", "b"]);
    }
}
