//! What goes into statements and comes out of them, on either engine.

use std::borrow::Cow;

use tidings_core::{Code, Error, Version};

use crate::name::{Market, Sku};
use crate::refusal::Result;
use crate::token;

/// A parameter of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Param<'a> {
    Int(i64),
    Text(&'a str),
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Param<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<Version> for Param<'_> {
    fn from(version: Version) -> Self {
        Self::Int(token::column(version))
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Sku> for Param<'a> {
    fn from(sku: &'a Sku) -> Self {
        Self::Text(sku.as_str())
    }
}

impl From<Market> for Param<'_> {
    fn from(market: Market) -> Self {
        Self::Text(market.as_str())
    }
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row(pub(super) Vec<Value>);

impl Row {
    /// What stands in this column, counted from 0.
    pub(crate) fn get<T: Column>(&self, column: usize) -> Result<T> {
        let found = self.0.get(column).and_then(T::of);
        let other =
            || Error::new(Code::STORE_CORRUPT, format!("column {column} holds something else")).into();
        found.ok_or_else(other)
    }
}

/// A type that a column is read as.
pub(crate) trait Column: Sized {
    /// Reads it; `None` if it is something else.
    #[expect(private_interfaces, reason = "only the store implements it")]
    fn of(value: &Value) -> Option<Self>;
}

impl Column for i64 {
    #[expect(private_interfaces, reason = "only the store implements it")]
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }
}

macro_rules! narrower {
    ($($type:ty),*) => {$(
        impl Column for $type {
            #[expect(private_interfaces, reason = "only the store implements it")]
            fn of(value: &Value) -> Option<Self> {
                i64::of(value).and_then(|number| number.try_into().ok())
            }
        }
    )*};
}
narrower!(u64, u32, u8);

impl Column for Version {
    #[expect(private_interfaces, reason = "only the store implements it")]
    fn of(value: &Value) -> Option<Self> {
        u64::of(value).and_then(Self::new)
    }
}

impl Column for String {
    #[expect(private_interfaces, reason = "only the store implements it")]
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    #[expect(private_interfaces, reason = "only the store implements it")]
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::of(other).map(Some),
        }
    }
}

/// What a new table begins with, column by column.
pub(crate) struct Table<'a> {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<(&'static str, Cells<'a>)>,
}

/// One column of it.
pub(crate) enum Cells<'a> {
    Int(Vec<i64>),
    Text(Vec<Cow<'a, str>>),
}

impl<'a> Cells<'a> {
    pub(crate) fn text(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Text(texts.into_iter().map(Cow::Borrowed).collect())
    }

    pub(crate) fn int(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self::Int(numbers.into_iter().map(i64::from).collect())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Int(cells) => cells.len(),
            Self::Text(cells) => cells.len(),
        }
    }

    pub(super) fn at(&self, row: usize) -> Option<Param<'_>> {
        match self {
            Self::Int(cells) => cells.get(row).map(|cell| Param::Int(*cell)),
            Self::Text(cells) => cells.get(row).map(|cell| Param::Text(cell)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_as_what_it_is_or_not_at_all() {
        let row = Row(vec![Value::Int(-1), Value::Text("a".into()), Value::Null, Value::Int(300)]);
        assert_eq!(row.get::<i64>(0).unwrap(), -1);
        assert_eq!(row.get::<String>(1).unwrap(), "a");
        assert_eq!(row.get::<Option<i64>>(2).unwrap(), None);
        assert_eq!(row.get::<Option<u32>>(3).unwrap(), Some(300));
        assert!(row.get::<u64>(0).is_err(), "negative");
        assert!(row.get::<Version>(0).is_err(), "negative");
        assert!(row.get::<u8>(3).is_err(), "too large");
        assert!(row.get::<i64>(1).is_err() && row.get::<String>(2).is_err() && row.get::<i64>(4).is_err());
    }
}
