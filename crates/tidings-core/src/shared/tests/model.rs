//! One key under any list of operations, against the simplest truth: nothing that was heard or shown is ever undone by
//! what is shown later.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    /// An event of the past or the next one, with its state or without.
    Hear {
        back: u64,
        carried: bool,
    },
    Look,
    /// The oldest or newest token lands what was read so far back.
    Fill {
        newest: bool,
        back: u64,
    },
    Evict,
    LoseControl,
    /// A new life of the store, with what it held a while ago.
    Restore,
    Save,
    /// Half of an opening.
    Claim,
    Open {
        newest: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..4_u64, any::<bool>()).prop_map(|(back, carried)| Op::Hear { back, carried }),
        5 => Just(Op::Look),
        5 => (any::<bool>(), 0..4_u64).prop_map(|(newest, back)| Op::Fill { newest, back }),
        1 => Just(Op::Evict),
        1 => Just(Op::LoseControl),
        1 => Just(Op::Restore),
        1 => Just(Op::Save),
        2 => Just(Op::Claim),
        2 => any::<bool>().prop_map(|newest| Op::Open { newest }),
    ]
}

/// The version and the position of a change are the same number here: there is one key.
struct Truth {
    now: u64,
    heard: u64,
    shown: u64,
    /// Source positions read by those who claimed, and loads under way.
    claims: Vec<(Epoch, u64)>,
    tokens: Vec<u64>,
    next: u64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn what_was_heard_or_shown_is_never_undone(ops in proptest::collection::vec(op(), 1..60)) {
        let (mut control, mut slot, mut here, mut saved) = (None, None, Incarnation(0), (None, None));
        let mut truth = Truth { now: 1, heard: 0, shown: 0, claims: vec![], tokens: vec![], next: 1 };
        for op in ops {
            truth.next += 1;
            match op {
                Op::Hear { back, carried } => {
                    if back == 0 {
                        truth.now += 1;
                    }
                    let n = truth.now.saturating_sub(back.saturating_sub(1)).max(1);
                    let told = if carried {
                        update(&mut control, &mut slot, here, news(n, n), n)
                    } else {
                        invalidate(&mut control, &mut slot, here, news(n, n))
                    };
                    if told.is_ok() {
                        truth.heard = truth.heard.max(n);
                    }
                }
                Op::Look => {
                    // Every lease has run out at once: many loads are under way.
                    let miss = Miss { token: Token(truth.next), now: Duration::ZERO, lease: Duration::ZERO };
                    match look(control.as_ref(), &mut slot, here, miss) {
                        Looked::Hit(hit) => {
                            prop_assert!(hit.value >= truth.heard, "{hit:?}, but {} was heard", truth.heard);
                            prop_assert!(hit.value >= truth.shown, "{hit:?}, but {} was shown", truth.shown);
                            truth.shown = hit.value;
                        }
                        Looked::Vacant { .. } => truth.tokens.push(truth.next),
                        Looked::Filling | Looked::NotLive(_) => {}
                    }
                }
                Op::Fill { newest, back } => {
                    let token = if newest { truth.tokens.last() } else { truth.tokens.first() };
                    let n = truth.now.saturating_sub(back).max(1);
                    let answer = Answer { value: n, stamp: Some(at(n)), as_of: pos(n) };
                    if let Some(token) = token {
                        let _ = fill(&mut control, &mut slot, here, Token(*token), answer);
                    }
                }
                Op::Evict => slot = None,
                Op::LoseControl => control = None,
                Op::Save => saved = (control, slot),
                Op::Restore => {
                    here = Incarnation(truth.next);
                    (control, slot) = saved;
                }
                Op::Claim => {
                    let current = control.map(|control: Control| control.epoch);
                    claim(&mut control, here, Epoch(truth.next), current).unwrap();
                    truth.claims.push((Epoch(truth.next), truth.now));
                }
                Op::Open { newest } => {
                    let claimed = if newest { truth.claims.last() } else { truth.claims.first() };
                    if let Some((epoch, since)) = claimed {
                        let _ = open(&mut control, here, *epoch, pos(*since));
                    }
                }
            }
        }
    }
}
