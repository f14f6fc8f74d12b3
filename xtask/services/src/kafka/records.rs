//! What a broker holds, and having it forget some of it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::{Kafka, wire};

impl Kafka {
    /// Every topic with its number of partitions; Kafka's own are left out.
    ///
    /// # Errors
    ///
    /// The broker does not answer.
    pub fn topics(&self) -> Result<Vec<(String, i32)>> {
        wire::topics(self.address())
    }

    /// The offset of a partition's oldest record, and the one that its next record gets.
    ///
    /// # Errors
    ///
    /// The broker does not answer, or has no such partition.
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let first = wire::offset(self.address(), topic, partition, wire::End::First)?;
        Ok((first, wire::offset(self.address(), topic, partition, wire::End::Last)?))
    }

    /// Deletes every record of a partition before this offset, as retention would; -1 stands for all there are. Returns the
    /// offset at which it begins from now on.
    ///
    /// # Errors
    ///
    /// The broker does not answer, or has no such partition, or ends before that offset.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<i64> {
        wire::delete_records(self.address(), topic, partition, before)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}
