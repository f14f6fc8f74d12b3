//! One history as a word that fits on a command line: `1.core.floor-max.cAAEC.x3Qk`.
//!
//! Its parts are the version of this form, the depth, the mutant (or `none`), the history (`s` and a seed, or `c` and
//! every choice), and a check sum of all that. The choices are LEB128 numbers in base64url; a zero is followed by how
//! many more follow it. A token is good for the code that printed it: in other worlds the same choices mean other things.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::mutant::Mutant;
use crate::world::Depth;

/// The version of the form.
const FORM: &str = "1";

/// No history is this long; a damaged token must not ask for more memory than that.
const LONGEST: usize = 1 << 20;

/// One history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// At which depth it happens.
    pub depth: Depth,
    /// The guard that is left out.
    pub mutant: Option<Mutant>,
    /// Where its choices come from.
    pub start: Start,
}

/// Where the choices of a history come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Drawn from a seed.
    Seed(u64),
    /// Read back.
    Script(Vec<u32>),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutant = self.mutant.map_or("none", Mutant::name);
        let start = match &self.start {
            Start::Seed(seed) => format!("s{seed}"),
            Start::Script(script) => format!("c{}", URL_SAFE_NO_PAD.encode(pack(script))),
        };
        let text = format!("{FORM}.{}.{mutant}.{start}", self.depth);
        write!(f, "{text}.{}", checksum(&text))
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let damaged = || format!("{text:?} is no token of a history, or is damaged; copy all of it");
        let (rest, sum) = text.trim().rsplit_once('.').ok_or_else(damaged)?;
        let parts: Vec<_> = rest.split('.').collect();
        let &[form, depth, mutant, start] = parts.as_slice() else { return Err(damaged()) };
        if sum != checksum(rest) {
            return Err(damaged());
        }
        if form != FORM {
            return Err(format!("the token is of form {form:?}, and this simulator reads {FORM:?} only"));
        }
        let mutant = match mutant {
            "none" => None,
            name => Some(named(name)?),
        };
        let start = match start.split_at_checked(1) {
            Some(("s", seed)) => Start::Seed(seed.parse().map_err(|_| damaged())?),
            Some(("c", packed)) => {
                let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|_| damaged())?;
                Start::Script(unpack(&packed).ok_or_else(damaged)?)
            }
            _ => return Err(damaged()),
        };
        Ok(Self { depth: depth.parse()?, mutant, start })
    }
}

/// The mutant of this name.
///
/// # Errors
/// If there is none, a sentence that names those there are.
pub fn named(name: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.iter().find(|mutant| mutant.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        format!("{name:?} is no mutant; there are {}", names.join(", "))
    })
}

fn pack(script: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for run in script.chunk_by(|one, next| *one == 0 && *next == 0) {
        let first = run.first().copied().unwrap_or(0);
        number(&mut bytes, first);
        if first == 0 {
            number(&mut bytes, u32::try_from(run.len() - 1).unwrap_or(u32::MAX));
        }
    }
    bytes
}

fn unpack(bytes: &[u8]) -> Option<Vec<u32>> {
    let (mut script, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let choice = take(&mut rest)?;
        let more = if choice == 0 { usize::try_from(take(&mut rest)?).ok()? } else { 0 };
        if script.len().saturating_add(more) >= LONGEST {
            return None;
        }
        script.extend(std::iter::repeat_n(choice, more + 1));
    }
    Some(script)
}

/// LEB128, as everybody does it: seven bits a byte, the lowest first.
fn number(bytes: &mut Vec<u8>, mut value: u32) {
    while value > 0x7F {
        bytes.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u32::from(byte & 0x7F);
        value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part)?;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

/// FNV-1a, folded to four letters: a slip of the hand shows, no more is asked of it.
fn checksum(text: &str) -> String {
    let hash =
        text.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    URL_SAFE_NO_PAD.encode([a ^ d, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Vec<Token> {
        let script = |script: &[u32]| Start::Script(script.to_vec());
        [
            (Depth::Core, None, Start::Seed(u64::MAX)),
            (Depth::Drivers, Some(Mutant::AcceptRule), Start::Seed(0)),
            (Depth::Core, None, script(&[])),
            (Depth::Core, Some(Mutant::FloorMax), script(&[0, 0, 0, 1, 127, 128, 999, 0, u32::MAX, 0, 0])),
        ]
        .into_iter()
        .map(|(depth, mutant, start)| Token { depth, mutant, start })
        .collect()
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for token in tokens() {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
    }

    #[test]
    fn long_silence_takes_little_room() {
        let token = Token { depth: Depth::Core, mutant: None, start: Start::Script(vec![0; 100_000]) };
        assert!(token.to_string().len() < 30, "{token}");
    }

    #[test]
    fn a_damaged_token_is_refused_in_one_sentence() {
        for token in tokens() {
            let good = token.to_string();
            for at in 0..good.len() {
                let mut cut = good.clone();
                cut.truncate(at);
                let mut missing = good.clone();
                missing.remove(at);
                let mut other = good.clone();
                other.replace_range(at..=at, if good[at..].starts_with('q') { "r" } else { "q" });
                for bad in [cut, missing, other] {
                    let error = bad.parse::<Token>().unwrap_err();
                    assert!(error.contains("is damaged") && !error.contains('\n'), "{bad}: {error}");
                }
            }
        }
    }

    #[test]
    fn what_is_well_formed_and_still_means_nothing_is_refused() {
        let summed = |text: &str| format!("{text}.{}", checksum(text)).parse::<Token>().unwrap_err();
        for (text, says) in [
            ("2.core.none.s1", "is of form \"2\""),
            ("1.cores.none.s1", "\"cores\" is no depth"),
            ("1.core.no-such.s1", "\"no-such\" is no mutant; there are accept-rule"),
            ("1.core.none.s-1", "is damaged"),
            ("1.core.none.x1", "is damaged"),
            ("1.core.none.", "is damaged"),
            ("1.core.none.c*", "is damaged"),
            // A zero without its count, a number that does not end, one that is too large, a run that is too long.
            ("1.core.none.cAA", "is damaged"),
            ("1.core.none.c_w", "is damaged"),
            ("1.core.none.c______8P", "is damaged"),
            ("1.core.none.cAP___38", "is damaged"),
        ] {
            assert!(summed(text).contains(says), "{text}: {}", summed(text));
        }
    }
}
