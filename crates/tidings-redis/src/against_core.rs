//! The scripts on a real server against the rules in core, under the same random operations: every answer and every
//! record must be the same, also when the store is flushed, damaged, evicted from, or restarted from an old dump.

use std::time::Duration;

use redis::{Value, cmd};
use services::Redis;
use tidings_core::shared::level::{Key, Part, Thing};
use tidings_core::shared::{
    self, Answer, AsOf, Content, Control, Epoch, Incarnation, News, Note, Slot, Token, Unheard, Unkept,
};
use tidings_core::{Entity, Region, Stamp, Timeline, Version};

use crate::level::Inner;
use crate::script::Reply;
use crate::{RedisLevel, Settings, layout};

mod readers;

const KEYS: usize = 3;
const THINGS: usize = 4;
const STEPS: usize = 6000;

/// Numbers from a seed.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 17
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn stamp(&mut self) -> Stamp {
        Stamp { timeline: Timeline(self.timeline()), version: Version::new(self.next() % 6).unwrap() }
    }

    fn timeline(&mut self) -> u32 {
        u32::from(self.chance(40))
    }

    /// Near where the bucket stands, mostly.
    fn position(&mut self, around: AsOf) -> AsOf {
        match self.below(12) {
            0 => AsOf { timeline: Timeline(self.timeline()), at: self.next() },
            _ => AsOf { at: (around.at + self.next() % 6).saturating_sub(3), ..around },
        }
    }

    /// In ascending order, each at most once.
    fn parts(&mut self) -> Vec<(usize, Option<Stamp>)> {
        let chosen: Vec<_> = (0..THINGS).filter(|_| self.chance(2)).collect();
        chosen.into_iter().map(|thing| (thing, (!self.chance(3)).then(|| self.stamp()))).collect()
    }
}

/// What a slot holds besides what core knows.
#[derive(Debug, Clone, PartialEq)]
struct Body {
    parts: Vec<(usize, Option<Stamp>)>,
    value: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Records {
    control: Option<(Control, AsOf)>,
    slots: [Option<Slot<Body>>; KEYS],
    notes: [Option<Note>; THINGS],
}

struct World {
    server: Redis,
    level: RedisLevel,
    here: Incarnation,
    model: Records,
    saved: (Records, Vec<u8>),
    tokens: Vec<(usize, Token)>,
    claims: Vec<Epoch>,
    draw: Draw,
    nonce: u64,
}

fn key(n: usize) -> Key {
    Key { view: "product".into(), key: n.to_string().into() }
}

fn thing(n: usize) -> Thing {
    match n {
        0 => Thing::Region(Region::new("category", "shoes").unwrap()),
        n => Thing::Entity(Entity::new("price", &n.to_string()).unwrap()),
    }
}

fn named(parts: &[(usize, Option<Stamp>)]) -> Vec<Part> {
    parts.iter().map(|(n, stamp)| Part { thing: thing(*n), stamp: *stamp }).collect()
}

/// The notes of some things, as a step of core takes them.
fn pick<'a>(
    notes: &'a mut [Option<Note>],
    parts: &[(usize, Option<Stamp>)],
) -> Vec<(&'a mut Option<Note>, Option<Stamp>)> {
    let chosen = |n| parts.iter().find(|(thing, _)| *thing == n).map(|(_, stamp)| *stamp);
    notes.iter_mut().enumerate().filter_map(|(n, note)| Some((note, chosen(n)?))).collect()
}

impl World {
    async fn new(seed: u64) -> Self {
        let server = Redis::start(&[]).unwrap();
        let settings = Settings { timeout: Duration::from_secs(10), ..Settings::new(&server.url(), "model") };
        let level = RedisLevel::connect(settings).await.unwrap();
        let mut world = Self {
            server,
            level,
            here: Incarnation(0),
            model: Records::default(),
            saved: (Records::default(), Vec::new()),
            tokens: vec![],
            claims: vec![],
            draw: Draw(seed),
            nonce: 0,
        };
        world.saved.1 = world.server.dump().unwrap();
        world.find_here();
        world
    }

    fn inner(&self) -> &Inner {
        &self.level.inner
    }

    fn find_here(&mut self) {
        let info = self.server.command(&["INFO", "replication"]).unwrap();
        let id = info.lines().find_map(|line| line.strip_prefix("master_replid:")).unwrap();
        self.here = Incarnation(u64::from_str_radix(&id[..16], 16).unwrap());
    }

    async fn tell(&self, script: &crate::script::Script, keys: &[String], args: &[String]) -> Reply {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let args: Vec<_> = args.iter().map(String::as_bytes).collect();
        self.inner().wire.tell(script, &keys, &args).await.unwrap()
    }

    fn control_key(&self) -> [String; 1] {
        [self.inner().keys.control(0)]
    }

    fn both(&self, n: usize) -> [String; 2] {
        [self.inner().keys.control(0), self.inner().keys.slot(&key(n))]
    }

    fn around(&self) -> AsOf {
        match self.model.control {
            Some((Control { phase: shared::Phase::Live(line), .. }, _)) => line.position,
            _ => AsOf::default(),
        }
    }

    fn control(&self) -> (Option<Control>, AsOf) {
        self.model.control.map_or((None, AsOf::default()), |(control, least)| (Some(control), least))
    }

    async fn step(&mut self) -> String {
        // What is closed stays closed for a few steps.
        let live = shared::live(self.control().0.as_ref(), self.here).is_ok();
        if !live && self.draw.chance(4) {
            return if self.draw.chance(3) { self.claim().await } else { self.open().await };
        }
        match self.draw.below(100) {
            0..52 => self.serve().await,
            52..82 => self.hear().await,
            82..85 => self.claim().await,
            85..90 => self.open().await,
            90..92 => self.abandon().await,
            92..95 => self.evict().await,
            95 => self.damage().await,
            96 => self.lose_control().await,
            97 if self.draw.chance(3) => {
                self.server.command(&["FLUSHALL"]).unwrap();
                self.model = Records::default();
                "flush".into()
            }
            98 if self.draw.chance(2) => {
                self.saved = (self.model.clone(), self.server.dump().unwrap());
                "save".into()
            }
            99 if self.draw.chance(2) => {
                self.server.restore(&self.saved.1).unwrap();
                self.model = self.saved.0.clone();
                self.find_here();
                while self.inner().wire.plain(&cmd("PING")).await.is_err() {}
                "restored".into()
            }
            _ => self.open().await,
        }
    }

    async fn hear(&mut self) -> String {
        let around = self.around();
        let news: Vec<_> = (0..1 + self.draw.below(3))
            .map(|_| {
                let n = (!self.draw.chance(8)).then(|| self.draw.below(THINGS));
                let stamp = (n.is_some() && !self.draw.chance(4)).then(|| self.draw.stamp());
                (n, News { stamp, position: self.draw.position(around) })
            })
            .collect();
        let args: Vec<_> = news
            .iter()
            .flat_map(|(n, news)| {
                let name = n.map_or_else(|| "*".into(), |n| layout::name(&thing(n)));
                [name, layout::stamp(news.stamp), layout::as_of(news.position)]
            })
            .collect();
        let reply = self.tell(&self.inner().scripts.hear, &self.control_key(), &args).await;
        let here = match reply.word() {
            "heard" => Ok(()),
            "timeline" => Err(Unheard::NewTimeline(Epoch(reply.read(1, layout::number).unwrap()))),
            _ => Err(Unheard::NotLive(self.inner().not_live(&reply).unwrap())),
        };

        // A batch is told whole or not at all.
        let mut trial = self.model.clone();
        let there = news.iter().try_for_each(|(n, news)| {
            let (mut control, mut least) =
                trial.control.map_or((None, AsOf::default()), |(c, l)| (Some(c), l));
            let heard = match n {
                Some(n) => {
                    shared::invalidate(&mut control, &mut trial.notes[*n], self.here, *news).map(|_| ())
                }
                None => shared::bump_all(&mut control, &mut least, self.here, news.position),
            };
            trial.control = control.map(|control| (control, least));
            heard
        });
        if there.is_ok() {
            self.model = trial;
        }
        let told = format!("hear {news:?}: {here:?} / {there:?}");
        assert_eq!(here, there, "{told}");
        told
    }

    async fn claim(&mut self) -> String {
        self.nonce += 1;
        let (epoch, current) = (Epoch(self.nonce), self.control().0.map(|control| control.epoch));
        let instead_of = if self.draw.chance(4) { None } else { current };
        let args = [layout::hex(epoch.0), instead_of.map_or_else(String::new, |epoch| layout::hex(epoch.0))];
        let reply = self.tell(&self.inner().scripts.claim, &self.control_key(), &args).await;
        let here = match reply.word() {
            "claimed" => Ok(()),
            _ => Err(Epoch(reply.read(1, layout::number).unwrap())),
        };
        let mut control = self.control().0;
        let there = shared::claim(&mut control, self.here, epoch, instead_of);
        if there.is_ok() {
            self.model.control = control.map(|control| (control, AsOf::default()));
            self.claims.push(epoch);
        }
        let told = format!("claim {epoch:?} instead of {instead_of:?}: {here:?} / {there:?}");
        assert_eq!(here, there, "{told}");
        told
    }

    async fn open(&mut self) -> String {
        let recent = self.claims.len().min(2);
        if recent == 0 {
            return "nothing to open".into();
        }
        let epoch = self.claims[self.claims.len() - 1 - self.draw.below(recent)];
        let around = self.around();
        let since = self.draw.position(AsOf { at: around.at.max(100), ..around });
        let args = [layout::hex(epoch.0), layout::as_of(since)];
        let reply = self.tell(&self.inner().scripts.open, &self.control_key(), &args).await;
        let mut control = self.control().0;
        let there = shared::open(&mut control, self.here, epoch, since);
        if there.is_ok() {
            self.model.control = control.map(|control| (control, since));
        }
        let told = format!("open {epoch:?} at {since}: {} / {there:?}", reply.word());
        assert_eq!(reply.word() == "open", there.is_ok(), "{told}");
        told
    }

    async fn abandon(&mut self) -> String {
        let Some(&(n, token)) = self.tokens.last() else { return "nothing to abandon".into() };
        self.tell(&self.inner().scripts.abandon, &self.both(n), &[layout::hex(token.0)]).await;
        shared::abandon(&mut self.model.slots[n], token);
        format!("abandon {n} {token:?}")
    }

    async fn evict(&mut self) -> String {
        let n = self.draw.below(KEYS + THINGS);
        let name = if n < KEYS {
            self.model.slots[n] = None;
            self.inner().keys.slot(&key(n))
        } else {
            self.model.notes[n - KEYS] = None;
            self.inner().keys.note(0, &layout::name(&thing(n - KEYS)))
        };
        self.server.command(&["DEL", &name]).unwrap();
        format!("evict {name}")
    }

    /// What is not understood is as good as absent.
    async fn damage(&mut self) -> String {
        let n = self.draw.below(KEYS);
        let name = self.inner().keys.slot(&key(n));
        let text = if self.draw.chance(2) { "T2k".to_owned() + &"0".repeat(200) } else { "T1".into() };
        self.server.command(&["SET", &name, &text]).unwrap();
        self.model.slots[n] = None;
        format!("damage {name}")
    }

    async fn lose_control(&mut self) -> String {
        self.server.command(&["DEL", &self.inner().keys.control(0)]).unwrap();
        self.model.control = None;
        "lose control".into()
    }

    async fn stored(&self, name: &str) -> Option<Vec<u8>> {
        match self.inner().wire.plain(cmd("GET").arg(name)).await.unwrap() {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Every record, as the server has it, against the model.
    async fn compare(&self, told: &str) {
        let control = self.stored(&self.inner().keys.control(0)).await;
        let control = control.map(|stored| layout::control(&stored).unwrap());
        assert_eq!(control, self.model.control, "control after {told}");
        for n in 0..THINGS {
            let stored = self.stored(&self.inner().keys.note(0, &layout::name(&thing(n)))).await;
            let note = stored.map(|stored| layout::note(&stored).unwrap());
            assert_eq!(note, self.model.notes[n], "{:?} after {told}", thing(n));
        }
        for n in 0..KEYS {
            let stored = self.stored(&self.inner().keys.slot(&key(n))).await.unwrap_or_default();
            let here = layout::kept(&stored, false).filter(|_| stored.starts_with(b"T1k"));
            let there = match &self.model.slots[n] {
                Some(Slot { content: Content::Kept(Answer { value, as_of, .. }), .. }) => {
                    Some((named(&value.parts), *as_of))
                }
                _ => None,
            };
            assert_eq!(here.map(|kept| (kept.parts, kept.as_of)), there, "slot {n} after {told}");
            let lease = match &self.model.slots[n] {
                Some(Slot { content: Content::Vacant(Some(lease)), .. }) => Some(lease.token),
                _ => None,
            };
            assert_eq!(layout::token(&stored), lease, "lease of {n} after {told}");
        }
    }
}

#[tokio::test]
async fn the_scripts_do_what_core_decides() {
    if services::embedded_only() {
        eprintln!("skipped: no servers here");
        return;
    }
    for seed in 1..=2 {
        let mut world = World::new(seed).await;
        let (mut kept, mut below, mut old, mut hits, mut outdated) = (0, 0, 0, 0, 0);
        for step in 0..STEPS {
            let told = world.step().await;
            world.compare(&format!("seed {seed}, step {step}: {told}")).await;
            let fine = format!("{:?}", Ok::<(), Unkept>(()));
            for told in told.lines() {
                kept += usize::from(told.starts_with("fill") && told.contains(&fine));
                below += usize::from(told.contains("BelowFloor"));
                old += usize::from(told.contains("TooOld"));
                hits += usize::from(told.contains("Hit("));
                outdated += usize::from(told.contains("Outdated"));
            }
        }
        let seen = [kept, below, old, hits, outdated];
        eprintln!("seed {seed}: kept {kept}, below {below}, too old {old}, hits {hits}, outdated {outdated}");
        assert!(seen.iter().all(|times| *times >= 20), "too little of something happened: {seen:?}");
    }
}
