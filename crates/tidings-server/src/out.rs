//! Standard output, which may be a pipe that somebody has closed.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use tidings_core::{Code, Error, Result};

/// Writes text as it is. `false`: nobody reads any more, so there is nothing left to say.
pub(crate) fn write(bytes: &[u8]) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::new(Code::FILE_UNREADABLE, "the output cannot be written").because(e)),
    }
}

/// Writes one line of text.
pub(crate) fn line(text: &str) -> Result<bool> {
    write(format!("{text}\n").as_bytes())
}

/// Writes one value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<bool> {
    line(&to_json(value)?)
}

/// A value as JSON text.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(Code::DEFECT, "the answer cannot be written as JSON").because(e))
}

/// Text for a terminal or a log line: what could move the cursor or turn the text around is shown as `\u{..}`.
pub(crate) fn visible(text: &str) -> String {
    let safe =
        |c: char| !c.is_control() && tidings_core::name::check("text", c.encode_utf8(&mut [0; 4])).is_ok();
    text.chars().map(|c| if safe(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}
