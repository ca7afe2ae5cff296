//! Case-insensitive search in lines.

use memchr::memmem::Finder;

/// A text to search for, regardless of case.
#[derive(Debug)]
pub struct Needle {
    finder: Finder<'static>,
    is_ascii: bool,
    /// The current line in lower case. The buffer is reused, so that a million lines need one allocation.
    lower: Vec<u8>,
}

impl Needle {
    /// Prepares the search for a text.
    pub fn new(text: &str) -> Self {
        let finder = Finder::new(text.to_lowercase().as_bytes()).into_owned();
        Self { finder, is_ascii: text.is_ascii(), lower: Vec::new() }
    }

    /// Whether the line contains the text.
    pub fn is_in(&mut self, line: &[u8]) -> bool {
        self.lower.clear();
        match std::str::from_utf8(line) {
            // Non-ASCII letters become lower case only if the searched text has any.
            Ok(text) if !self.is_ascii => self.lower.extend_from_slice(text.to_lowercase().as_bytes()),
            _ => self.lower.extend(line.iter().map(u8::to_ascii_lowercase)),
        }
        self.finder.find(&self.lower).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_ignores_case() {
        assert!(Needle::new("rock").is_in(b"u1,Hard Rock,3"));
        assert!(Needle::new("ÉTÉ").is_in("u1,Un été".as_bytes()));
        assert!(!Needle::new("rocks").is_in(b"u1,Hard Rock,3"));
        assert!(Needle::new("").is_in(b""));
    }
}
