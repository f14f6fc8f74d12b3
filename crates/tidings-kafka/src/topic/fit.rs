//! Whether a topic is fit to keep a log: what it would lose, and what it would refuse.

use tidings_core::{Code, Error, Result};

use super::Keep;
use crate::settings::KafkaSettings;

/// The settings of a new topic.
pub(super) fn wanted(
    settings: &KafkaSettings,
    keep: Keep,
    replicas: Option<i64>,
) -> Vec<(&'static str, String)> {
    let mut wanted = vec![
        ("cleanup.policy", "delete".to_owned()),
        // Records are found by when they were appended, by the brokers' clock.
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("max.message.bytes", settings.message_bytes().max(1 << 20).to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ];
    match (keep, settings.topics.keep) {
        (Keep::Forever, _) => {
            wanted.extend([("retention.ms", "-1".to_owned()), ("retention.bytes", "-1".to_owned())]);
        }
        (Keep::Declared, Some(keep)) => wanted.push(("retention.ms", keep.as_millis().to_string())),
        (Keep::Declared, None) => {}
    }
    if replicas.is_some_and(|replicas| replicas > 1) {
        wanted.push(("min.insync.replicas", settings.topics.in_sync.to_string()));
    }
    wanted
}

/// Entities are spread over partitions by their number, so it is declared and never changes. Partitions that were added
/// while nobody looked must not be taken for the topic's own: an entity's events would be in two of them.
pub(super) fn check_partitions(name: &str, found: u32, wanted: u32) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let what = format!("the topic {name} has {found} partitions, and {wanted} are declared");
    Err(Error::new(Code::KAFKA_PARTITIONS, what))
}

/// Looks at the settings under which a published event could be lost, or refused.
pub(super) fn check<'a>(
    name: &str,
    settings: &KafkaSettings,
    (keep, replicas): (Keep, usize),
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
    if keep == Keep::Forever {
        for key in ["retention.ms", "retention.bytes"] {
            if number(key).is_some_and(|kept| kept >= 0) {
                return unfit(key, "what is parked must be kept until it is dealt with".to_owned());
            }
        }
    } else if let Some(keep) = settings.topics.keep
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
        check("pricing", &settings(), (Keep::Declared, replicas), |key| values.get(key).copied())
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
    fn the_number_of_partitions_is_the_declared() {
        for (found, fits) in [(4, true), (8, false), (3, false)] {
            assert_eq!(check_partitions("pricing", found, 4).is_ok(), fits, "{found}");
        }
    }

    #[test]
    fn what_is_parked_is_kept_for_ever() {
        for (key, value, fits) in [
            ("retention.ms", "-1", true),
            ("retention.ms", "604800000", false),
            ("retention.bytes", "1", false),
        ] {
            let value = |asked: &str| (asked == key).then_some(value);
            assert_eq!(check("parked", &settings(), (Keep::Forever, 1), value).is_ok(), fits, "{key}");
        }
        let made = wanted(&settings(), Keep::Forever, None);
        assert!(check("parked", &settings(), (Keep::Forever, 1), |key| value_of(&made, key)).is_ok());
    }

    fn value_of<'a>(made: &'a [(&'static str, String)], key: &str) -> Option<&'a str> {
        made.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_topic_with_several_replicas_is_made_to_need_them() {
        for (replicas, expected) in [(Some(3), Some("2")), (Some(1), None), (None, None)] {
            let made = wanted(&settings(), Keep::Declared, replicas);
            assert_eq!(value_of(&made, "min.insync.replicas"), expected, "{replicas:?}");
        }
    }
}
