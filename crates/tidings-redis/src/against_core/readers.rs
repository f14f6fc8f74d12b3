//! What readers ask.

use std::time::Duration;

use tidings_core::shared::level::{Bypass, Found};
use tidings_core::shared::{self, AsOf, Content, Looked, Miss, Slot, Standing, Token};

use super::{Body, KEYS, THINGS, World, key, named, pick, thing};
use crate::batch::Request;
use crate::layout;
use crate::script::Reply;

/// What a reader asks.
enum Asked {
    Look { n: usize, expects: Vec<usize>, miss: Miss },
    Fill { n: usize, token: Token, as_of: AsOf, body: Body },
}

impl World {
    /// Some requests of readers in one script: each finds what those before it have left.
    pub(super) async fn serve(&mut self) -> String {
        let number = if self.draw.chance(2) { 1 } else { 2 + self.draw.below(3) };
        let mut asked: Vec<Asked> = vec![];
        for _ in 0..number {
            let one = if self.draw.below(52) < 30 { Some(self.look()) } else { self.fill(&asked) };
            asked.extend(one);
        }
        let requests: Vec<_> = asked.iter().map(|asked| self.request(asked)).collect();
        let answers = self.inner().batcher.run(0, &requests).await;
        let mut told = vec![];
        for (asked, answer) in asked.into_iter().zip(answers) {
            let reply = Reply::new(answer.unwrap()).unwrap();
            told.push(match asked {
                Asked::Look { n, expects, miss } => self.looked(n, &expects, miss, &reply),
                Asked::Fill { n, token, as_of, body } => self.filled(n, token, as_of, body, &reply),
            });
        }
        told.join("\n")
    }

    fn look(&mut self) -> Asked {
        let (n, long) = (self.draw.below(KEYS), self.draw.chance(2));
        let expects = (0..THINGS).filter(|_| self.draw.chance(4)).collect();
        self.nonce += 1;
        let lease = if long { Duration::from_secs(3600) } else { Duration::ZERO };
        Asked::Look { n, expects, miss: Miss { token: Token(self.nonce), now: Duration::ZERO, lease } }
    }

    /// By somebody who was to load it, mostly: also just before.
    fn fill(&mut self, before: &[Asked]) -> Option<Asked> {
        let recent = self.tokens.iter().rev().take(4).copied();
        let just = before.iter().filter_map(|asked| match asked {
            Asked::Look { n, miss, .. } => Some((*n, miss.token)),
            Asked::Fill { .. } => None,
        });
        let tokens: Vec<_> = recent.chain(just).collect();
        let (n, token) = *tokens.get(self.draw.below(tokens.len().max(1)))?;
        let (parts, around) = (self.draw.parts(), self.around());
        let as_of = self.draw.position(around);
        self.nonce += 1;
        Some(Asked::Fill { n, token, as_of, body: Body { parts, value: self.nonce } })
    }

    fn request(&self, asked: &Asked) -> Request {
        let (name, n, args) = match asked {
            Asked::Look { n, expects, miss } => {
                let (token, lease) = (layout::hex(miss.token.0), miss.lease.as_millis().to_string());
                let mut args = vec![token, lease, "9000000".into(), "9000000".into()];
                args.extend(expects.iter().map(|n| layout::name(&thing(*n))));
                ("look", n, args.into_iter().map(String::into_bytes).collect())
            }
            Asked::Fill { n, token, as_of, body } => {
                let texts = [
                    layout::hex(token.0),
                    layout::as_of(*as_of),
                    "9000000".into(),
                    "9000000".into(),
                    "0".into(),
                    "00".into(),
                    layout::parts(&named(&body.parts)),
                ];
                let value = body.value.to_be_bytes().to_vec();
                ("fill", n, texts.into_iter().map(String::into_bytes).chain([value]).collect())
            }
        };
        Request { name, slot: self.inner().keys.slot(&key(*n)), args }
    }

    fn looked(&mut self, n: usize, expects: &[usize], miss: Miss, reply: &Reply) -> String {
        let token = miss.token;
        let found = self.inner().found(&key(n), token, reply).unwrap();

        let (control, least) = self.control();
        let parts = match &self.model.slots[n] {
            Some(Slot { content: Content::Kept(answer), .. }) => answer.value.parts.clone(),
            _ => vec![],
        };
        let mut notes = pick(&mut self.model.notes, &parts);
        let slot = &mut self.model.slots[n];
        let looked = shared::look_derived(control.as_ref(), least, slot, &mut notes, self.here, miss);
        let told = format!("look {n} expecting {expects:?}: {found:?} / {looked:?}");
        match (&found, looked) {
            (Found::Hit(kept), Looked::Hit(answer)) => {
                assert_eq!(*kept.value, answer.value.value.to_be_bytes(), "{told}");
                assert_eq!((kept.as_of, &kept.parts), (answer.as_of, &named(&answer.value.parts)), "{told}");
            }
            (Found::Claim(claim), Looked::Vacant { minimum, .. }) => {
                self.tokens.push((n, token));
                let standing = Standing::of(control.as_ref(), self.here, least).unwrap();
                let wanted: Vec<_> = expects.iter().map(|n| (*n, None)).collect();
                let mut needed = minimum.max(least);
                let mut floors = vec![];
                for (note, _) in pick(&mut self.model.notes, &wanted) {
                    let note = standing.note(note);
                    needed = needed.max(note.minimum);
                    floors.push(note.floor);
                }
                assert_eq!((claim.minimum, &claim.floors), (needed, &floors), "{told}");
            }
            (Found::Wait(_), Looked::Filling) => {}
            (Found::Bypass(Bypass::NotLive(here)), Looked::NotLive(there)) => {
                assert_eq!(*here, there, "{told}");
            }
            _ => panic!("{told}"),
        }
        told
    }

    fn filled(&mut self, n: usize, token: Token, as_of: AsOf, body: Body, reply: &Reply) -> String {
        let parts = body.parts.clone();
        let here = self.inner().unkept(reply).unwrap().map_or(Ok(()), Err);

        let (mut control, least) = self.control();
        let mut notes = pick(&mut self.model.notes, &parts);
        let slot = &mut self.model.slots[n];
        let there =
            shared::fill_derived(&mut control, least, slot, &mut notes, self.here, token, body, as_of);
        self.model.control = control.map(|control| (control, least));
        let told = format!("fill {n} with {token:?} as of {as_of} from {parts:?}: {here:?} / {there:?}");
        assert_eq!(here, there, "{told}");
        told
    }
}
