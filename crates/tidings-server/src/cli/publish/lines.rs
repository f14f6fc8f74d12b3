//! Lines of bounded length from input of any length.

use std::io::{self, BufRead, ErrorKind};

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// Longer than the limit; its bytes were let go as they came.
    TooLong,
}

/// Reads lines and counts them from 1.
pub(super) struct Lines<R> {
    input: R,
    limit: usize,
    number: u64,
    more: bool,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `limit` bytes.
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self { input, limit, number: 0, more: false }
    }

    /// The next line with its number; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line)>> {
        let (mut bytes, mut too_long, mut began) = (Vec::new(), false, false);
        loop {
            let here = match self.input.fill_buf() {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                here => here?,
            };
            if here.is_empty() {
                self.more = false;
                return Ok(began.then(|| self.line(bytes, too_long)));
            }
            began = true;
            let end = here.iter().position(|byte| *byte == b'\n');
            let part = here.get(..end.unwrap_or(here.len())).unwrap_or(here);
            too_long |= bytes.len() + part.len() > self.limit;
            if too_long {
                bytes = Vec::new();
            } else {
                bytes.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.more = here.get(used..).is_some_and(|rest| rest.contains(&b'\n'));
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(self.line(bytes, too_long)));
            }
        }
    }

    /// Whether another whole line is there without waiting for it.
    pub(super) const fn has_more_at_hand(&self) -> bool {
        self.more
    }

    fn line(&mut self, mut bytes: Vec<u8>, too_long: bool) -> (u64, Line) {
        self.number += 1;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        (self.number, if too_long { Line::TooLong } else { Line::Whole(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_bounded_and_counted_however_the_input_comes() {
        for buffer in [1, 2, 3, 64] {
            let input = BufReader::with_capacity(buffer, "one\r\n\n123456\n1234567\nend".as_bytes());
            let mut lines = Lines::new(input, 6);
            let mut found = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                found.push(line);
            }
            let whole = |text: &str| Line::Whole(text.into());
            let expected = [whole("one"), whole(""), whole("123456"), Line::TooLong, whole("end")];
            let expected: Vec<_> = (1..).zip(expected).collect();
            assert_eq!(found, expected, "read {buffer} bytes at a time");
        }
    }
}
