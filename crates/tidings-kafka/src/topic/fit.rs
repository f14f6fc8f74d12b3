//! Whether a topic is fit to keep a log: what it would lose, and what it would refuse.

use tidings_core::{Code, Error, Result};

use crate::settings::{KafkaSettings, TopicSettings};

/// The settings of a new topic.
pub(super) fn wanted(settings: &KafkaSettings) -> Vec<(&'static str, String)> {
    let mut wanted = vec![
        ("cleanup.policy", "delete".to_owned()),
        // Records are found by when they were appended, by the brokers' clock.
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("max.message.bytes", settings.message_bytes().max(1 << 20).to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ];
    if let Some(keep) = settings.topics.keep {
        wanted.push(("retention.ms", keep.as_millis().to_string()));
    }
    if settings.topics.replicas.is_some_and(|replicas| replicas > 1) {
        wanted.push(("min.insync.replicas", settings.topics.in_sync.to_string()));
    }
    wanted
}

/// Entities are spread over partitions by their number, so it never changes.
pub(super) fn check_partitions(
    name: &str,
    found: u32,
    known: Option<u32>,
    wanted: &TopicSettings,
) -> Result<()> {
    let what = match known {
        Some(known) if known != found => {
            format!("the topic {name} had {known} partitions and now has {found}")
        }
        _ if found < wanted.partitions => {
            format!("the topic {name} has {found} partitions, fewer than the {} declared", wanted.partitions)
        }
        _ => return Ok(()),
    };
    Err(Error::new(Code::KAFKA_PARTITIONS, what))
}

/// Looks at the settings under which a published event could be lost, or refused.
pub(super) fn check<'a>(
    name: &str,
    settings: &KafkaSettings,
    replicas: usize,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<()> {
    let number = |key| value(key).and_then(|value| value.parse::<i64>().ok());
    let unfit = |key: &str, why: String| {
        let is = value(key).unwrap_or_default();
        Err(Error::new(Code::KAFKA_TOPIC_UNFIT, format!("the topic {name} has {key}={is}: {why}")))
    };
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return unfit("cleanup.policy", "compaction removes events that nobody may have read".to_owned());
    }
    if value("message.timestamp.type").is_some_and(|kind| kind != "LogAppendTime") {
        let why =
            "records are found by when the broker took them; by a producer's clock some would be passed over";
        return unfit("message.timestamp.type", why.to_owned());
    }
    if let Some(keep) = settings.topics.keep
        && number("retention.ms")
            .is_some_and(|kept| kept >= 0 && u128::from(kept.unsigned_abs()) < keep.as_millis())
    {
        let why = format!("records must be kept for {} ms", keep.as_millis());
        return unfit("retention.ms", why);
    }
    let needed = i64::from(settings.topics.in_sync);
    if replicas > 1 && number("min.insync.replicas").is_some_and(|least| least < needed) {
        let why = format!("an acknowledged event is on so few disks; {needed} are declared");
        return unfit("min.insync.replicas", why);
    }
    if replicas > 1 && value("unclean.leader.election.enable") == Some("true") {
        return unfit("unclean.leader.election.enable", "acknowledged events could be lost".to_owned());
    }
    let largest = settings.message_bytes();
    if number("max.message.bytes").is_some_and(|most| most < i64::try_from(largest).unwrap_or(i64::MAX)) {
        return unfit("max.message.bytes", format!("an event may need {largest}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    fn settings() -> KafkaSettings {
        let mut settings = KafkaSettings::new("localhost:9092");
        settings.topics.keep = Some(Duration::from_secs(3600));
        settings
    }

    fn checked(replicas: usize, changes: &[(&str, &str)]) -> Result<()> {
        let mut values = BTreeMap::from([
            ("cleanup.policy", "delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "3600000"),
            ("min.insync.replicas", "2"),
            ("unclean.leader.election.enable", "false"),
            ("max.message.bytes", "1048588"),
        ]);
        values.extend(changes.iter().copied());
        check("pricing", &settings(), replicas, |key| values.get(key).copied())
    }

    #[test]
    fn a_topic_that_loses_or_refuses_is_named() {
        assert!(checked(3, &[]).is_ok());
        assert!(checked(1, &[("min.insync.replicas", "1")]).is_ok(), "a single broker");
        assert!(checked(3, &[("retention.ms", "-1")]).is_ok(), "kept for ever");
        for change in [
            ("cleanup.policy", "compact,delete"),
            ("message.timestamp.type", "CreateTime"),
            ("retention.ms", "3599999"),
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "true"),
            ("max.message.bytes", "1000000"),
        ] {
            let error = checked(3, &[change]).unwrap_err();
            assert_eq!(error.code(), Code::KAFKA_TOPIC_UNFIT, "{change:?}");
            assert!(error.to_string().contains(change.0), "{error}");
        }
    }

    #[test]
    fn the_number_of_partitions_is_at_least_the_declared_and_never_changes() {
        let wanted = TopicSettings { partitions: 4, ..TopicSettings::default() };
        for (found, known, fits) in
            [(4, None, true), (8, None, true), (3, None, false), (4, Some(4), true), (8, Some(4), false)]
        {
            assert_eq!(check_partitions("pricing", found, known, &wanted).is_ok(), fits, "{found} {known:?}");
        }
    }
}
