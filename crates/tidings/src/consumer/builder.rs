//! A consumer's settings and rules, checked once.

use std::sync::Arc;

use tidings_core::consumer::Settings;
use tidings_core::port::{Log, Membership, Parking, Store};
use tidings_core::{Code, Decision, Error, Event, Result, Topic, name};

use super::{Consumer, Observer, Rules, Start};
use crate::event::DomainEvent;

/// Builds a [`Consumer`]; see [`Consumer::builder`].
pub struct ConsumerBuilder {
    name: Arc<str>,
    log: Arc<dyn Log>,
    parking: Arc<dyn Parking>,
    topics: Vec<Topic>,
    start: Start,
    member: Option<Arc<dyn Membership>>,
    settings: Settings,
    rules: Rules,
    repeated: Option<String>,
    stores: Vec<Arc<dyn Store>>,
    observers: Vec<Arc<dyn Observer>>,
}

impl ConsumerBuilder {
    pub(super) fn new(name: &str, log: Arc<dyn Log>, parking: Arc<dyn Parking>) -> Self {
        Self {
            name: name.into(),
            log,
            parking,
            topics: Vec::new(),
            start: Start::Head,
            member: None,
            settings: Settings::default(),
            rules: Rules::default(),
            repeated: None,
            stores: Vec::new(),
            observers: Vec::new(),
        }
    }

    /// What to follow.
    #[must_use]
    pub fn topics<'a>(mut self, topics: impl IntoIterator<Item = &'a Topic>) -> Self {
        self.topics = topics.into_iter().cloned().collect();
        self
    }

    /// Where to begin. Default: [`Start::Head`].
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Shares the work of a group with others: it follows the partitions that this member is given, from the group's
    /// positions, and keeps them through the member. Name no topics, and no start. The member leaves its group when the
    /// consumer ends. What is in this process's memory alone learns nothing of the others' partitions: share only the
    /// work on stores that all members have in common.
    #[must_use]
    pub fn shared_by<M: Membership + 'static>(mut self, member: Arc<M>) -> Self {
        self.member = Some(member);
        self.start = Start::Group;
        self
    }

    /// With these settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// What to do about events of this type; of a type without a handler, what it names is invalidated. The handler is pure; if it cannot read an event, or panics, the event is
    /// parked and its entity fenced. One decision, or several as a `Vec`.
    #[must_use]
    pub fn on<E: DomainEvent, D: Into<Vec<Decision>>>(
        self,
        decide: impl Fn(&E, &Event) -> D + Send + Sync + 'static,
    ) -> Self {
        self.on_type(E::TYPE, move |event| Ok(decide(&E::from_event(event)?, event).into()))
    }

    /// As [`ConsumerBuilder::on`], by the name of the type and on the envelope.
    #[must_use]
    pub fn on_type(
        mut self,
        kind: &str,
        decide: impl Fn(&Event) -> Result<Vec<Decision>> + Send + Sync + 'static,
    ) -> Self {
        if self.rules.handlers.insert(kind.into(), Box::new(decide)).is_some() {
            self.repeated = Some(kind.to_owned());
        }
        self
    }

    /// What to do, by the envelope alone, about an event that had to be parked. Its entity is fenced in any case; name
    /// the regions that it may have touched. Without this, every region is bumped.
    #[must_use]
    pub fn when_parked(mut self, decide: impl Fn(&Event) -> Vec<Decision> + Send + Sync + 'static) -> Self {
        self.rules.when_parked = Some(Box::new(decide));
        self
    }

    /// Where decisions take effect. Several are served in the order given: a projection before the cache that is
    /// loaded from it.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.stores.push(store);
        self
    }

    /// Who is told what becomes of events.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The consumer, unless something is missing or said twice.
    pub fn build(self) -> Result<Consumer> {
        name::check("consumer name", &self.name)?;
        let missing = if self.member.is_some() && !(self.topics.is_empty() && self.start == Start::Group) {
            Some("it shares a group's work, whose member says what it follows and from where".to_owned())
        } else if self.member.is_none() && self.topics.is_empty() {
            Some("it follows no topic".to_owned())
        } else if self.stores.is_empty() {
            Some("its decisions have no store to take effect in".to_owned())
        } else {
            self.repeated.map(|kind| format!("it has two handlers for {kind}"))
        };
        if let Some(missing) = missing {
            return Err(Error::new(Code::SETTING_INVALID, missing).at(format!("consumer {}", self.name)));
        }
        Ok(Consumer {
            name: self.name,
            log: self.log,
            parking: self.parking,
            topics: self.topics,
            start: self.start,
            member: self.member,
            settings: self.settings,
            rules: self.rules,
            stores: self.stores,
            observers: self.observers,
            counts: Arc::default(),
        })
    }
}
