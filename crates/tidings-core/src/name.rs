//! The one rule for text that names something: kinds, ids, regions, topics, event types.

use crate::error::{Code, Error, Result};

/// The longest name, in bytes (`reference limits`: a key of 512 bytes).
pub const MAX_BYTES: usize = 512;

/// Checks that `text` can name something safely: 1 to [`MAX_BYTES`] bytes, no control characters, none that change
/// the direction of text or are invisible (they make two different names look the same on a screen).
pub fn check<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    if text.is_empty() {
        return Err(Error::new(Code::NAME_INVALID, format!("the {what} is empty")));
    }
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(Error::new(Code::NAME_INVALID, format!("the {what} is {bytes} bytes long")));
    }
    // Most names are printable ASCII, and every decoded event has several.
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7E)) {
        return Ok(text);
    }
    match text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        None => Ok(text),
        Some((at, c)) => Err(Error::new(
            Code::NAME_INVALID,
            format!("the {what} has the character U+{:04X} at byte {at}", u32::from(c)),
        )),
    }
}

/// As [`check`], and without `/`, which separates a kind from an id.
pub fn check_kind<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    match check(what, text)?.find('/') {
        None => Ok(text),
        Some(at) => Err(Error::new(Code::NAME_INVALID, format!("the {what} has a '/' at byte {at}"))),
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_visible() {
        for good in ["42", "SKU-1/eu", "größe", "商品", "a b", &"x".repeat(MAX_BYTES)] {
            assert!(check("id", good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\0b", "a\r\nb", "a\tb", "\u{202E}cba", "a\u{200B}b", &"x".repeat(MAX_BYTES + 1)] {
            assert!(check("id", bad).is_err(), "{bad:?}");
        }
        assert!(check_kind("kind", "pri/ce").is_err());
    }
}
