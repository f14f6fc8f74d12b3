//! What travels beside the value: format, whether there is one, the answer's own version, and until when it may be served.

use tidings_core::{Time, Version};

const FORMAT: u8 = 1;
const LEN: usize = 18;

/// The toolkit's part of an answer in a shared level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The source had nothing under the key.
    pub(super) is_absent: bool,
    /// The answer's own version; zero if its loader gave none.
    pub(super) own: Version,
    /// Not served beyond, by the source's clock: its window ends, or its time to live.
    pub(super) until: Time,
}

impl Header {
    /// The header and the value, as one.
    pub(super) fn write(self, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LEN + value.len());
        bytes.extend([FORMAT, u8::from(self.is_absent)]);
        bytes.extend(self.own.number().to_be_bytes());
        bytes.extend(self.until.micros().to_be_bytes());
        bytes.extend(value);
        bytes
    }

    /// The header and the bytes of the value; `None` if this format is not known.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[format, absent], rest) = bytes.split_first_chunk()?;
        let (own, rest) = rest.split_first_chunk()?;
        let (until, value) = rest.split_first_chunk()?;
        let is_absent = match (format, absent) {
            (FORMAT, 0) => false,
            (FORMAT, 1) => true,
            _ => return None,
        };
        let own = Version::new(u64::from_be_bytes(*own))?;
        Some((Self { is_absent, own, until: Time::from_micros(i64::from_be_bytes(*until)) }, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_other_is() {
        let header = Header { is_absent: false, own: Version::MAX, until: Time::from_micros(-7) };
        for header in [header, Header { is_absent: true, own: Version::ZERO, ..header }] {
            let bytes = header.write(b"lamp");
            assert_eq!(Header::read(&bytes), Some((header, b"lamp".as_slice())));
            assert_eq!(Header::read(&bytes[..LEN]), Some((header, [].as_slice())));
            assert_eq!(Header::read(&bytes[..LEN - 1]), None, "cut");
            for (at, byte) in [(0, 2), (1, 2), (2, 0xff)] {
                let mut other = bytes.clone();
                other[at] = byte;
                assert_eq!(Header::read(&other), None, "byte {at} is {byte}");
            }
        }
    }
}
