//! As much of Kafka's protocol as it takes to ask a broker about its topics, and to have it forget records.
//!
//! Straight to the one node, at the address that it listens at and not the one that it advertises, which may lead through
//! something that is cut. Old versions of the requests on purpose: they are the plainest that Kafka 4 still takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The most that an answer may be.
const LONGEST: usize = 4 * 1024 * 1024;

const CORRELATION: i32 = 77;

/// A request's number and version: Metadata 1, ListOffsets 1, DeleteRecords 0.
const METADATA: [i16; 2] = [3, 1];
const LIST_OFFSETS: [i16; 2] = [2, 1];
const DELETE_RECORDS: [i16; 2] = [21, 0];

/// Which end of a partition is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    First,
    Last,
}

/// Every topic with its number of partitions; Kafka's own are left out.
pub(super) fn topics(address: SocketAddr) -> Result<Vec<(String, i32)>> {
    let answer = ask(address, METADATA, Request::default().int(-1))?;
    let mut answer = Answer(&answer);
    for _ in 0..answer.int()? {
        answer.int()?;
        answer.text()?;
        answer.int()?;
        answer.text()?;
    }
    answer.int()?;
    let mut topics = Vec::new();
    for _ in 0..answer.int()? {
        let error = answer.short()?;
        let name = answer.text()?;
        let is_internal = answer.byte()? != 0;
        let partitions = answer.int()?;
        for _ in 0..partitions {
            answer.take(2 + 4 + 4)?;
            for _ in 0..2 {
                let nodes = usize::try_from(answer.int()?)?;
                answer.take(nodes * 4)?;
            }
        }
        if !is_internal && error == 0 {
            topics.push((name, partitions));
        }
    }
    Ok(topics)
}

/// The offset at one end of a partition: of its oldest record, or after its newest.
pub(super) fn offset(address: SocketAddr, topic: &str, partition: i32, end: End) -> Result<i64> {
    let time = match end {
        End::First => -2,
        End::Last => -1,
    };
    let request = Request::default().int(-1).int(1).text(topic)?.int(1).int(partition).long(time);
    let answer = ask(address, LIST_OFFSETS, request)?;
    let mut answer = Answer(&answer);
    one_partition(&mut answer)?;
    let error = answer.short()?;
    ensure!(error == 0, "Kafka answers a question for the offsets of {topic} with error {error}");
    answer.long()?;
    answer.long()
}

/// Has every record before this offset deleted; returns where the partition begins then.
pub(super) fn delete_records(address: SocketAddr, topic: &str, partition: i32, before: i64) -> Result<i64> {
    let request = Request::default().int(1).text(topic)?.int(1).int(partition).long(before).int(10_000);
    let answer = ask(address, DELETE_RECORDS, request)?;
    let mut answer = Answer(&answer);
    answer.int()?;
    one_partition(&mut answer)?;
    let first = answer.long()?;
    let error = answer.short()?;
    ensure!(error == 0, "Kafka answers the deletion of records of {topic} with error {error}");
    Ok(first)
}

/// The head of an answer about one partition of one topic, with its number.
fn one_partition(answer: &mut Answer<'_>) -> Result<()> {
    ensure!(answer.int()? == 1, "Kafka answers about another number of topics");
    answer.text()?;
    ensure!(answer.int()? == 1, "Kafka answers about another number of partitions");
    answer.int()?;
    Ok(())
}

fn ask(address: SocketAddr, [kind, version]: [i16; 2], body: Request) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).context("the broker is not there")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let head = Request::default().short(kind).short(version).int(CORRELATION).text("services")?;
    let length = i32::try_from(head.0.len() + body.0.len())?;
    stream.write_all(&[&length.to_be_bytes()[..], &head.0, &body.0].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("the broker closed the connection")?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    ensure!((4..LONGEST).contains(&length), "an answer of {length} bytes is not Kafka's");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    let body = answer.split_off(4);
    ensure!(answer == CORRELATION.to_be_bytes(), "the broker answers another request");
    Ok(body)
}

/// A request in the making.
#[derive(Default)]
struct Request(Vec<u8>);

impl Request {
    fn short(mut self, number: i16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn int(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn long(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Result<Self> {
        self.0.extend(i16::try_from(text.len())?.to_be_bytes());
        self.0.extend(text.bytes());
        Ok(self)
    }
}

/// What is left of an answer.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else { bail!("an answer is cut off") };
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn short(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn int(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn long(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    /// A text, or nothing where there is none.
    fn text(&mut self) -> Result<String> {
        let length = self.short()?;
        if length < 0 {
            return Ok(String::new());
        }
        Ok(String::from_utf8_lossy(self.take(usize::try_from(length)?)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let bytes = Request::default().short(-1).int(5).text("ab").unwrap().long(-9).0;
        let mut answer = Answer(&bytes);
        assert_eq!(answer.text().unwrap(), "");
        assert_eq!((answer.int().unwrap(), answer.text().unwrap().as_str()), (5, "ab"));
        assert_eq!(answer.long().unwrap(), -9);
        assert!(answer.byte().unwrap_err().to_string().contains("cut off"));
    }
}
