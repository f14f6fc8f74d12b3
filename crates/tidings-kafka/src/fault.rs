//! What a failure of Kafka asks for.

use std::sync::{Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Kafka};
use tidings_core::{Code, Error};

/// What the client last said about its connections. Calls only learn that they took too long; this says why.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<(Code, String)>>);

impl Trouble {
    /// Notes what the client says by itself. A refusal is not forgotten for a mere failure to connect.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        let code = match error.rdkafka_error_code() {
            // A broker that knows nothing of TLS hangs up in the middle of it.
            Some(Kafka::BrokerTransportFailure) if reason.contains("SSL handshake failed") => Code::KAFKA_TLS,
            Some(code) => classify(code),
            None => return,
        };
        if !matches!(code, Code::KAFKA_TLS | Code::KAFKA_SASL | Code::KAFKA_DENIED | Code::KAFKA_UNREACHABLE)
        {
            return;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That all are down is the sum of what was said about each.
        let is_sum = error.rdkafka_error_code() == Some(Kafka::AllBrokersDown);
        let tells_more = match &*last {
            None => true,
            Some((known, _)) if *known == Code::KAFKA_UNREACHABLE => !is_sum,
            Some(_) => code != Code::KAFKA_UNREACHABLE,
        };
        if tells_more {
            *last = Some((code, reason.to_owned()));
        }
    }

    /// Something has worked: whatever was wrong is over.
    pub(crate) fn over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The failure as an instruction; `what` says what was being done.
    pub(crate) fn fault(&self, what: impl Into<String>, error: &KafkaError) -> Error {
        let code = code_of(error);
        if code == Code::KAFKA_UNREACHABLE
            && let Some((code, reason)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
        {
            return Error::new(*code, what).because(reason.clone());
        }
        Error::new(code, what).because(cause(error))
    }

    /// Nothing came in time.
    pub(crate) fn silence(&self, what: impl Into<String>) -> Error {
        self.fault(what, &KafkaError::Global(Kafka::OperationTimedOut))
    }
}

/// In words, without the value of a setting: it may be a password.
fn cause(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
        _ => error.to_string(),
    }
}

/// The code for a failed call.
pub(crate) fn code_of(error: &KafkaError) -> Code {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => Code::SETTING_INVALID,
        KafkaError::Canceled | KafkaError::AdminOpCreation(_) => Code::KAFKA_UNREACHABLE,
        _ => error.rdkafka_error_code().map_or(Code::DEFECT, classify),
    }
}

fn classify(code: Kafka) -> Code {
    match code {
        Kafka::SSL => Code::KAFKA_TLS,
        Kafka::Authentication
        | Kafka::SaslAuthenticationFailed
        | Kafka::UnsupportedSASLMechanism
        | Kafka::IllegalSASLState => Code::KAFKA_SASL,
        Kafka::TopicAuthorizationFailed
        | Kafka::GroupAuthorizationFailed
        | Kafka::ClusterAuthorizationFailed
        | Kafka::TransactionalIdAuthorizationFailed
        | Kafka::PolicyViolation => Code::KAFKA_DENIED,
        Kafka::UnknownTopic | Kafka::UnknownTopicOrPartition => Code::KAFKA_TOPIC_MISSING,
        // Such as a record without a key in a topic that has come to be compacted.
        Kafka::InvalidRecord | Kafka::InvalidTimestamp => Code::KAFKA_TOPIC_UNFIT,
        Kafka::MessageSizeTooLarge | Kafka::InvalidMessageSize | Kafka::MessageBatchTooLarge => {
            Code::KAFKA_RECORD_TOO_LARGE
        }
        Kafka::IllegalGeneration
        | Kafka::UnknownMemberId
        | Kafka::FencedInstanceId
        | Kafka::FencedMemberEpoch
        | Kafka::StaleMemberEpoch
        | Kafka::ProducerFenced
        | Kafka::InvalidProducerEpoch => Code::FENCED,
        Kafka::QueueFull => Code::OVERLOADED,
        Kafka::InvalidTopic
        | Kafka::InvalidReplicationFactor
        | Kafka::InvalidPartitions
        | Kafka::InvalidConfig
        | Kafka::InvalidArgument
        | Kafka::UnsupportedFeature => Code::SETTING_INVALID,
        Kafka::BrokerTransportFailure
        | Kafka::AllBrokersDown
        | Kafka::Resolve
        | Kafka::OperationTimedOut
        | Kafka::RequestTimedOut
        | Kafka::MessageTimedOut
        | Kafka::TimedOutQueue
        | Kafka::NetworkException
        | Kafka::BrokerDestroy
        | Kafka::PurgeQueue
        | Kafka::PurgeInflight => Code::KAFKA_UNREACHABLE,
        // This client has not heard of the partition yet: of a topic that was made just now, say.
        Kafka::UnknownPartition => Code::KAFKA_NOT_READY,
        // Elections, movements, coordinators that load, too few replicas: it passes, or an operator sees to it.
        _ => Code::KAFKA_NOT_READY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_asks_for_one_thing() {
        for (kafka, expected) in [
            (Kafka::SSL, Code::KAFKA_TLS),
            (Kafka::Authentication, Code::KAFKA_SASL),
            (Kafka::TopicAuthorizationFailed, Code::KAFKA_DENIED),
            (Kafka::UnknownTopicOrPartition, Code::KAFKA_TOPIC_MISSING),
            (Kafka::UnknownPartition, Code::KAFKA_NOT_READY),
            (Kafka::MessageSizeTooLarge, Code::KAFKA_RECORD_TOO_LARGE),
            (Kafka::IllegalGeneration, Code::FENCED),
            (Kafka::NotEnoughReplicas, Code::KAFKA_NOT_READY),
            (Kafka::NotLeaderForPartition, Code::KAFKA_NOT_READY),
            (Kafka::AllBrokersDown, Code::KAFKA_UNREACHABLE),
        ] {
            assert_eq!(code_of(&KafkaError::Global(kafka)), expected, "{kafka}");
        }
    }

    #[test]
    fn the_value_of_a_setting_is_never_told() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("sasl.passwort", "secret");
        let error = config.create::<rdkafka::consumer::BaseConsumer>().err().unwrap();
        let told = Trouble::default().fault("connecting", &error).to_string();
        assert!(told.contains("sasl.passwort") && !told.contains("secret"), "{told}");
    }

    #[test]
    fn a_silence_is_explained_by_what_the_client_last_said() {
        let trouble = Trouble::default();
        let refused = KafkaError::Global(Kafka::Authentication);
        let down = KafkaError::Global(Kafka::AllBrokersDown);
        trouble.note(&down, "1/1 brokers are down");
        assert_eq!(trouble.silence("reading").code(), Code::KAFKA_UNREACHABLE);
        trouble.note(&refused, "invalid credentials");
        trouble.note(&down, "1/1 brokers are down");
        let error = trouble.silence("reading");
        assert_eq!(error.code(), Code::KAFKA_SASL);
        assert!(error.to_string().contains("invalid credentials"), "{error}");
        trouble.over();
        assert_eq!(trouble.silence("reading").code(), Code::KAFKA_UNREACHABLE);
    }
}
