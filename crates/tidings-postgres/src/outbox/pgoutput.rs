//! The messages of PostgreSQL's `pgoutput` plugin, protocol version 1, as far as an insert-only publication needs them.
//!
//! Source: the PostgreSQL documentation, "Logical Replication Message Formats".

use std::collections::BTreeMap;

use tidings_core::{Code, Error, Result};

use crate::row::{Columns, NAMES};

/// Knows the shape of each relation that was announced.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// For each column of the relation: its place in [`Columns`], if it has one.
    relations: BTreeMap<u32, Vec<Option<usize>>>,
}

impl Decoder {
    /// Reads one message; `Some` is an inserted row.
    pub(super) fn read<'a>(&mut self, message: &'a [u8]) -> Result<Option<Columns<'a>>> {
        let mut bytes = Bytes(message);
        match bytes.byte()? {
            b'R' => self.relation(&mut bytes).map(|()| None),
            b'I' => self.insert(&mut bytes).map(Some),
            // Types and origins say nothing new; what is changed by hand in the table is no event.
            _ => Ok(None),
        }
    }

    fn relation(&mut self, bytes: &mut Bytes<'_>) -> Result<()> {
        let id = bytes.number()?;
        let (schema, table) = (bytes.text()?, bytes.text()?);
        bytes.byte()?;
        let mut columns = Vec::new();
        for _ in 0..bytes.short()? {
            bytes.byte()?;
            let name = bytes.text()?;
            bytes.take(8)?;
            columns.push(NAMES.iter().position(|known| *known == name));
        }
        if (schema, table) == ("tidings", "outbox") {
            self.relations.insert(id, columns);
        }
        Ok(())
    }

    fn insert<'a>(&self, bytes: &mut Bytes<'a>) -> Result<Columns<'a>> {
        let id = bytes.number()?;
        let unknown = || Error::new(Code::DEFECT, "the publication has another table than tidings.outbox");
        let places = self.relations.get(&id).ok_or_else(unknown)?;
        if bytes.byte()? != b'N' {
            return Err(broken());
        }
        let mut columns: Columns<'a> = [None; NAMES.len()];
        for at in 0..usize::from(bytes.short()?) {
            let value = match bytes.byte()? {
                b't' => {
                    let length = usize::try_from(bytes.number()?).map_err(|_| broken())?;
                    Some(std::str::from_utf8(bytes.take(length)?).map_err(|_| broken())?)
                }
                b'n' | b'u' => None,
                _ => return Err(broken()),
            };
            if let Some(column) = places.get(at).copied().flatten().and_then(|place| columns.get_mut(place)) {
                *column = value;
            }
        }
        Ok(columns)
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| broken())
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn short(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn number(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Up to the next zero byte.
    fn text(&mut self) -> Result<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(broken)?;
        let text = std::str::from_utf8(self.take(end)?).map_err(|_| broken())?;
        self.byte()?;
        Ok(text)
    }
}

fn broken() -> Error {
    Error::new(Code::DEFECT, "the replication stream cannot be understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(table: &str) -> Vec<u8> {
        let mut message = b"R\0\0\0\x07tidings\0".to_vec();
        message.extend(table.as_bytes());
        message.extend(b"\0d\0\x02\0seq\0\0\0\0\x14\xff\xff\xff\xff\0body\0\0\0\0\x11\xff\xff\xff\xff");
        message
    }

    #[test]
    fn a_row_is_read_by_the_names_of_its_columns() {
        let mut decoder = Decoder::default();
        assert!(decoder.read(&relation("outbox")).unwrap().is_none());
        let insert = b"I\0\0\0\x07N\0\x02t\0\0\0\x0242n";
        let columns = decoder.read(insert).unwrap().unwrap();
        assert_eq!((columns[0], columns[14]), (Some("42"), None));
        for end in 0..insert.len() {
            assert!(decoder.read(&insert[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn another_table_is_not_taken_for_the_outbox() {
        let mut decoder = Decoder::default();
        decoder.read(&relation("other")).unwrap();
        assert!(decoder.read(b"I\0\0\0\x07N\0\x00").is_err());
        assert!(decoder.read(b"T\0").unwrap().is_none());
    }
}
