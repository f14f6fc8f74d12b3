//! One row of the outbox as an event. Both ways of reading it give the columns as text, in the same form.

use std::sync::Arc;

use tidings_core::{Code, Data, Entity, Error, Event, Result, Stamp, Time, Timeline, Version, Window};

/// The columns, in the order of [`Columns`].
pub(crate) const NAMES: [&str; 15] = [
    "seq",
    "id",
    "xid",
    "aggregatetype",
    "aggregateid",
    "type",
    "timeline",
    "version",
    "time",
    "effectivefrom",
    "effectiveuntil",
    "traceparent",
    "contenttype",
    "payload",
    "body",
];

/// The extension attribute that tells the event's place in the order of the source's commits: the id of the transaction
/// that wrote it. It is `tidings_redis::POSITION`, and to be the core's own name for it.
pub(crate) const POSITION: &str = "sourceposition";

/// What the replication session is told, so that text means the same in both.
pub(crate) const SESSION: &str = "-c datestyle=ISO -c timezone=UTC -c bytea_output=hex";

/// The relay's ordinary session. The server notices within half a minute that nobody is there any more, and frees the
/// lease. Its progress need not survive a crash of the server: what is forgotten is sent again.
/// It gives up a statement before the relay gives up waiting for it: else it would go on, and keep the lease.
/// Statistics of a table whose rows come and go are always stale: indexes in their order are always right here.
/// Without them every plan looks dear, and would be compiled each time, which takes longer than all the rest.
pub(crate) const SESSION_RELAY: &str = "-c datestyle=ISO -c timezone=UTC -c bytea_output=hex \
    -c synchronous_commit=off -c default_transaction_isolation=read\\ committed \
    -c default_transaction_read_only=off -c statement_timeout=50s -c jit=off \
    -c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off \
    -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";

/// What a row takes in memory besides its values, about.
pub(crate) const BESIDES: usize = 512;

/// The values of one row.
pub(crate) type Columns<'a> = [Option<&'a str>; NAMES.len()];

/// A row with what the relay keeps of it beside the event.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its place in the order of the table.
    pub(crate) seq: i64,
    /// The transaction that wrote it.
    pub(crate) xid: u64,
    /// The event, or why it cannot be read as one.
    pub(crate) event: std::result::Result<Arc<Event>, Arc<Error>>,
    /// About how much memory it takes.
    pub(crate) bytes: usize,
}

/// Reads a row. `committed` is when it was committed, if that is known better than by the row's own time;
/// the event is not told to be from before `not_before`.
pub(crate) fn row(
    columns: &Columns<'_>,
    source: &Arc<str>,
    committed: Option<Time>,
    not_before: Time,
) -> Row {
    let number = |at: usize| columns[at].and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let seq = i64::try_from(number(0)).unwrap_or(i64::MAX);
    let event = event(columns, source, committed).map(|mut event| {
        event.time = event.time.max(not_before);
        Arc::new(event)
    });
    Row {
        seq,
        xid: number(2),
        event: event.map_err(|e| Arc::new(e.at(format_args!("outbox row {seq}")))),
        bytes: BESIDES + columns.iter().flatten().map(|text| text.len()).sum::<usize>(),
    }
}

fn event(columns: &Columns<'_>, source: &Arc<str>, committed: Option<Time>) -> Result<Event> {
    let version = needed(columns, 7)?.parse().ok().and_then(Version::new).filter(|v| *v > Version::ZERO);
    let version = version.ok_or_else(|| invalid(7))?;
    let timeline = needed(columns, 6)?.parse().map_err(|_| invalid(6))?;
    let kind = needed(columns, 5)?;
    tidings_core::name::check("event type", kind)?;
    // Without its place it would seem to be from before everything.
    let place: u64 = needed(columns, 2)?.parse().map_err(|_| invalid(2))?;
    let recorded = time(columns, 8)?.ok_or_else(|| invalid(8))?;
    Ok(Event {
        id: needed(columns, 1)?.into(),
        source: source.clone(),
        kind: kind.into(),
        entity: Entity::new(needed(columns, 3)?, needed(columns, 4)?)?,
        stamp: Stamp { timeline: Timeline(timeline), version },
        time: committed.unwrap_or(recorded),
        window: Window { from: time(columns, 9)?, until: time(columns, 10)? },
        traceparent: columns[11].map(Into::into),
        schema: None,
        extensions: vec![(POSITION.into(), place.to_string().into())],
        data: data(columns)?,
    })
}

fn data(columns: &Columns<'_>) -> Result<Data> {
    match (columns[13], columns[14]) {
        (Some(json), None) => Ok(Data::Json(json.into())),
        (None, Some(hex)) => {
            let content_type = columns[12].unwrap_or("application/octet-stream").into();
            let bytes = unhex(hex).ok_or_else(|| invalid(14))?.into();
            Ok(Data::Bytes { content_type, bytes })
        }
        (None, None) => Ok(Data::Empty),
        (Some(_), Some(_)) => Err(invalid(14)),
    }
}

fn needed<'a>(columns: &Columns<'a>, at: usize) -> Result<&'a str> {
    columns[at].ok_or_else(|| invalid(at))
}

/// `2026-11-23 20:00:00.123456+00`, which RFC 3339 writes almost so.
fn time(columns: &Columns<'_>, at: usize) -> Result<Option<Time>> {
    let Some(text) = columns[at] else { return Ok(None) };
    let text = text.strip_suffix("+00").ok_or_else(|| invalid(at))?;
    Time::parse(&format!("{}Z", text.replacen(' ', "T", 1))).map(Some).map_err(|e| invalid(at).because(e))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn invalid(at: usize) -> Error {
    let name = NAMES.get(at).copied().unwrap_or("?");
    Error::new(Code::ATTRIBUTE_INVALID, format!("the column {name} has no usable value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns<'static> {
        let mut columns = [None; NAMES.len()];
        for (at, text) in
            [(0, "7"), (1, "id"), (2, "99"), (3, "price"), (4, "a/b"), (5, "a.B"), (6, "2"), (7, "5")]
        {
            columns[at] = Some(text);
        }
        columns[8] = Some("2026-11-23 20:00:00.123456+00");
        columns
    }

    #[test]
    fn a_row_becomes_an_event() {
        let mut columns = columns();
        columns[9] = Some("0001-01-01 00:00:00+00");
        columns[14] = Some("\\x00ff");
        columns[12] = Some("image/png");
        let row = row(&columns, &"/pricing".into(), None, Time::from_micros(0));
        let event = row.event.unwrap();
        assert_eq!((row.seq, row.xid, event.entity.as_str()), (7, 99, "price/a/b"));
        assert_eq!(event.extensions, [("sourceposition".into(), "99".into())]);
        assert_eq!(event.time, Time::parse("2026-11-23T20:00:00.123456Z").unwrap());
        assert_eq!(event.window.from, Some(Time::parse("0001-01-01T00:00:00Z").unwrap()));
        assert_eq!(event.data, Data::Bytes { content_type: "image/png".into(), bytes: [0, 255].into() });
    }

    #[test]
    fn what_is_no_event_is_told_apart() {
        for (at, text) in
            [(2, ""), (4, ""), (5, "a\nb"), (7, "0"), (7, "-1"), (8, "infinity"), (14, "\\x0"), (6, "x")]
        {
            let mut columns = columns();
            columns[at] = Some(text);
            assert!(
                row(&columns, &"/pricing".into(), None, Time::from_micros(0)).event.is_err(),
                "{at} {text:?}"
            );
        }
    }
}
