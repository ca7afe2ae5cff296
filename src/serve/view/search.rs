//! Finding a text in lines, whatever its case.

use memchr::memmem::Finder;

/// What is sought.
#[derive(Debug)]
pub struct Needle {
    finder: Finder<'static>,
    is_ascii: bool,
    /// A line in lower case; kept, so that a million lines need one allocation.
    lower: Vec<u8>,
}

impl Needle {
    /// A text to be found.
    pub fn new(text: &str) -> Self {
        let finder = Finder::new(text.to_lowercase().as_bytes()).into_owned();
        Self { finder, is_ascii: text.is_ascii(), lower: Vec::new() }
    }

    /// Whether it is in a line.
    pub fn is_in(&mut self, line: &[u8]) -> bool {
        self.lower.clear();
        match std::str::from_utf8(line) {
            // Only where the needle may have other letters than ASCII's do those of the line matter.
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
    fn case_does_not_matter() {
        assert!(Needle::new("rock").is_in(b"u1,Hard Rock,3"));
        assert!(Needle::new("ÉTÉ").is_in("u1,Un été".as_bytes()));
        assert!(!Needle::new("rocks").is_in(b"u1,Hard Rock,3"));
        assert!(Needle::new("").is_in(b""));
    }
}
