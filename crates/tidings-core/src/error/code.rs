//! Every fault that Tidings can name, written once: id, kind, remedy.

use super::Kind;

/// The stable name of one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    id: &'static str,
    kind: Kind,
    remedy: &'static str,
}

impl Code {
    /// `TD` and four digits; the name of its page in `docs/errors/`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.id
    }

    /// What must happen next.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// How to mend it, as one clause.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.remedy
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $kind:ident, $remedy:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self { id: $id, kind: Kind::$kind, remedy: $remedy };)*

            /// Every code, in the order of their ids.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    /// Text that is not a JSON object.
    MALFORMED = "TD1001", Input, "send one CloudEvents JSON object per line";
    /// An event larger than the limit.
    OVERSIZED = "TD1002", Input, "carry a reference instead of the body, or raise the size limit";
    /// JSON nested deeper than the limit.
    TOO_DEEP = "TD1003", Input, "flatten the data, or carry it as a string";
    /// A required attribute is absent.
    ATTRIBUTE_MISSING = "TD1004", Input, "add the attribute";
    /// An attribute has the wrong type or value.
    ATTRIBUTE_INVALID = "TD1005", Input, "correct the attribute's value";
    /// A name or id that cannot be used safely.
    NAME_INVALID = "TD1006", Input, "use 1 to 512 bytes of text without control or direction characters";
    /// A version that does not follow the last one of its entity.
    VERSION_REGRESSED = "TD1007", Input, "take versions from the entity's row, or leave the version out to have it assigned";
    /// The same attribute twice.
    ATTRIBUTE_REPEATED = "TD1008", Input, "keep one of the two";
    /// A line that ends before its JSON does.
    LINE_TRUNCATED = "TD1009", Input, "send the whole line again";
    /// An event type that nobody declared.
    TYPE_UNKNOWN = "TD1010", Input, "correct the type, or declare it with a decision";
    /// Data that its event type cannot be read from.
    DATA_UNREADABLE = "TD1011", Input, "mend the data or its reader, then redrive the parked event";
    /// A recorded history with a line that cannot be understood.
    HISTORY_UNREADABLE = "TD1012", Input, "mend that line, or record the history again";
    /// An invalid argument or setting.
    SETTING_INVALID = "TD2001", Setup, "correct the setting";
    /// A data directory written by a newer version.
    STORE_TOO_NEW = "TD2002", Data, "use the version of tidings that wrote it, or a newer one";
    /// A port that another program listens on.
    PORT_IN_USE = "TD2003", Setup, "choose another with --port, or 0 for any free one";
    /// A file or directory that cannot be written.
    READ_ONLY = "TD2004", Setup, "make the directory writable for this user, or choose another with --data";
    /// No space left.
    DISK_FULL = "TD2005", Setup, "free space on that disk; what was committed is kept and work resumes by itself";
    /// A setting under which a committed event can un-happen.
    NOT_DURABLE = "TD2006", Setup, "set PRAGMA synchronous=FULL (or EXTRA) on the connection that records events";
    /// A data directory in use by another process.
    STORE_LOCKED = "TD2007", Setup, "stop the other process, or choose another directory with --data";
    /// A path that is no data directory of Tidings.
    STORE_UNKNOWN = "TD2008", Setup, "check the path given with --data";
    /// A file that is not there or cannot be opened.
    FILE_UNREADABLE = "TD2009", Setup, "check the path and its permissions";
    /// The outbox is not installed in this database.
    OUTBOX_MISSING = "TD2010", Setup, "install the outbox in this database first";
    /// The disk or its driver failed.
    DISK_FAILED = "TD2011", Setup, "look at the disk and at the system's log; work resumes by itself once it answers";
    /// Damaged stored data.
    STORE_CORRUPT = "TD3001", Data, "restore the file from a backup, or remove it and let it be rebuilt from the sources";
    /// A stored record that cannot be decoded.
    RECORD_UNREADABLE = "TD3002", Data, "treat it as a gap: entries are revalidated, and the scope is repaired";
    /// Records were removed before they were read.
    GAP = "TD3003", Data, "keep the log longer than the longest outage; entries are revalidated meanwhile";
    /// A recorded history that is cut off, or shows nothing that could be judged.
    HISTORY_INCOMPLETE = "TD3004", Data, "record the history again, and let its writer finish";
    /// Busy or locked for too long.
    BUSY = "TD4001", Retry, "it is retried by itself; look for a long write transaction if it persists";
    /// A load that took longer than its hard limit.
    LOAD_TIMEOUT = "TD4002", Retry, "look at the source's latency, or raise the hard load timeout";
    /// A loader that failed.
    LOAD_FAILED = "TD4003", Retry, "look at the source that the loader reads";
    /// A source that stayed behind the version asked for.
    SOURCE_BEHIND = "TD4004", Retry, "read from the primary, or wait for the replica";
    /// A full queue.
    OVERLOADED = "TD4005", Retry, "slow down, or raise the limit";
    /// Shutting down.
    STOPPING = "TD4006", Retry, "start again after the restart";
    /// A newer owner has taken over.
    FENCED = "TD4007", Fenced, "nothing: the new owner goes on";
    /// A database that does not answer.
    DATABASE_UNREACHABLE = "TD5001", Retry, "check the address and the server; it is tried again by itself";
    /// A login that the database refuses.
    DATABASE_LOGIN = "TD5002", Setup, "check user, password and database in the address, and pg_hba.conf on the server";
    /// A login without the rights that are needed.
    DATABASE_PRIVILEGE = "TD5003", Setup, "grant it tidings_writer (to publish) or tidings_relay and REPLICATION (to relay)";
    /// A server that does not write what logical decoding needs.
    WAL_LEVEL = "TD5004", Setup, "set wal_level = logical and restart the server, or have the relay claim rows instead";
    /// A slot that another session reads.
    SLOT_IN_USE = "TD5005", Retry, "end the session that reads it, unless it is one of a relay that has just ended; it is retried by itself";
    /// A replication slot that is gone or was invalidated.
    SLOT_LOST = "TD5006", Retry, "nothing: the rows since are read from the table; raise max_slot_wal_keep_size if it happens again";
    /// No replication slot left.
    SLOTS_FULL = "TD5007", Setup, "raise max_replication_slots and restart the server, or drop slots that nobody uses";
    /// A slot of that name that is somebody else's.
    SLOT_FOREIGN = "TD5008", Setup, "give the relay a slot name of its own, or drop that slot if nobody needs it";
    /// Another cluster than the one whose progress is stored.
    SOURCE_CHANGED = "TD5009", Setup, "if the database was restored here on purpose, run SELECT tidings.adopt() as its owner";
    /// An encrypted connection that fails.
    DATABASE_TLS = "TD5010", Setup, "check sslmode and sslrootcert in the address, and the server's certificate";
    /// A server older than PostgreSQL 14.
    SERVER_TOO_OLD = "TD5011", Setup, "upgrade the server to PostgreSQL 14 or newer";
    /// A standby where the primary is needed.
    DATABASE_STANDBY = "TD5012", Retry, "give the address of the primary, or one that follows it";
    /// A lease that another relay holds.
    LEASE_TAKEN = "TD5013", Retry, "nothing: this relay takes over when that one ends";
    /// No Kafka broker answers.
    KAFKA_UNREACHABLE = "TD6001", Retry, "check the broker addresses and that the brokers run; it is retried by itself";
    /// A Kafka partition that cannot be written or read just now.
    KAFKA_NOT_READY = "TD6002", Retry, "it is retried by itself; look at the brokers' leaders and in-sync replicas if it persists";
    /// An encrypted connection to Kafka could not be made.
    KAFKA_TLS = "TD6003", Setup, "compare the TLS settings with the broker's listener: port, certificate authority, host name, client certificate";
    /// Kafka did not accept who we are.
    KAFKA_SASL = "TD6004", Setup, "check the SASL mechanism, the user and the password";
    /// Kafka knows who we are and does not permit it.
    KAFKA_DENIED = "TD6005", Setup, "grant this user the operation that is named in the guide on Kafka";
    /// A topic that is not there and may not be created.
    KAFKA_TOPIC_MISSING = "TD6006", Setup, "create the topic, or permit its creation in the settings";
    /// A topic with another number of partitions than declared.
    KAFKA_PARTITIONS = "TD6007", Setup, "declare the topic's number of partitions, or move to a new topic with more; never add partitions to one in use";
    /// A topic whose settings lose what must be kept.
    KAFKA_TOPIC_UNFIT = "TD6008", Setup, "change that setting of the topic, or what is declared about it";
    /// A record larger than the broker or the settings take.
    KAFKA_RECORD_TOO_LARGE = "TD6009", Input, "carry a reference instead of the body, or raise the limit here and the topic's max.message.bytes";
    /// A shared cache that does not answer.
    REDIS_UNREACHABLE = "TD7001", Retry, "check the address and the server; reads go to the source meanwhile, and it is tried again by itself";
    /// A login that the shared cache refuses.
    REDIS_LOGIN = "TD7002", Setup, "check user and password in the address, and the server's ACL";
    /// A user without the rights that are needed.
    REDIS_DENIED = "TD7003", Setup, "grant this user the commands and keys that are named in the guide on Redis";
    /// A key of the shared cache that something else uses.
    REDIS_KEY_TYPE = "TD7004", Setup, "remove that key, or give this cache a namespace of its own";
    /// A store without memory left.
    REDIS_FULL = "TD7005", Setup, "raise maxmemory, or set maxmemory-policy to volatile-lru";
    /// An eviction policy that takes what must stay, or nothing at all.
    REDIS_EVICTION = "TD7006", Setup, "set maxmemory-policy to volatile-lru or another volatile policy";
    /// A server that lacks what the scripts need.
    REDIS_TOO_OLD = "TD7007", Setup, "use Redis 7.0, Valkey 7.2 or newer";
    /// An entry of an unknown format.
    REDIS_FORMAT = "TD7008", Data, "nothing for one: it is loaded again; if they go on, stop whatever else writes under that prefix";
    /// A Cluster that does not serve every slot.
    REDIS_CLUSTER = "TD7009", Setup, "assign every slot to a node that answers";
    /// A bucket that cannot be opened.
    REDIS_NOT_LIVE = "TD7010", Retry, "look for two deployments that open it in turn; reads go to the source meanwhile";
    /// A command that the store does not take.
    REDIS_REFUSED = "TD7011", Setup, "run the doctor against that server, and use Redis 7.0, Valkey 7.2 or newer";
    /// An encrypted connection to the shared cache that cannot be made.
    REDIS_TLS = "TD7012", Setup, "check the authority that is set, and that the certificate is for the host in the address and the port speaks TLS";
    /// A defect of this program.
    DEFECT = "TD9001", Fatal, "report it with the lines above; durable state is intact and a restart resumes";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sorted() {
        let ids: Vec<_> = Code::ALL.iter().map(|c| c.id()).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(ids, sorted);
    }
}
