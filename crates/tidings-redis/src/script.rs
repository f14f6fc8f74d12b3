//! The scripts: each is one atomic step, written once in `tidings_core::shared` and once more in Lua.

use redis::{Cmd, Value};
use tidings_core::error::{Code, Error, Result};

/// One script, as it is sent.
pub(crate) struct Script {
    code: String,
    hash: String,
}

/// Those that go out one by one.
pub(crate) struct Scripts {
    pub(crate) abandon: Script,
    pub(crate) hear: Script,
    pub(crate) claim: Script,
    pub(crate) open: Script,
    pub(crate) peek: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        // A full store must still hear what has changed, and be opened: only what adds to it is refused there.
        let always = "#!lua flags=allow-oom\n";
        Self {
            abandon: Script::new(always, include_str!("script/abandon.lua")),
            hear: Script::new(always, include_str!("script/hear.lua")),
            claim: Script::new(always, include_str!("script/claim.lua")),
            open: Script::new(always, include_str!("script/open.lua")),
            peek: Script::new(always, include_str!("script/peek.lua")),
        }
    }
}

impl Script {
    /// What readers ask.
    pub(crate) fn serve() -> Self {
        Self::new("#!lua\n", include_str!("script/serve.lua"))
    }

    fn new(flags: &str, body: &str) -> Self {
        let code = format!("{flags}{}{body}", include_str!("script/common.lua"));
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }

    /// The call by its hash, or with the whole text for a server that does not have it.
    pub(crate) fn call(&self, whole: bool, keys: &[&str], args: &[&[u8]]) -> Cmd {
        let (command, script) = if whole { ("EVAL", &self.code) } else { ("EVALSHA", &self.hash) };
        let mut cmd = redis::cmd(command);
        cmd.arg(script).arg(keys.len()).arg(keys);
        for arg in args {
            cmd.arg(*arg);
        }
        cmd
    }
}

/// What a script answers: a word, and what belongs to it.
pub(crate) struct Reply(Vec<Value>);

impl Reply {
    pub(crate) fn new(value: Value) -> Result<Self> {
        match value {
            Value::Array(values) => Ok(Self(values)),
            other => Err(unreadable(&other)),
        }
    }

    pub(crate) fn word(&self) -> &str {
        self.text(0).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<&[u8]> {
        match self.0.get(at) {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            other => Err(unreadable(&other)),
        }
    }

    pub(crate) fn text(&self, at: usize) -> Result<&str> {
        std::str::from_utf8(self.bytes(at)?).map_err(|_| unreadable(&self.0.get(at)))
    }

    /// What `read` makes of the text.
    pub(crate) fn read<T>(&self, at: usize, read: impl Fn(&str) -> Option<T>) -> Result<T> {
        read(self.text(at)?).ok_or_else(|| unreadable(&self.0.get(at)))
    }

    pub(crate) fn number(&self, at: usize) -> Result<u64> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(u64::try_from(*number).unwrap_or(0)),
            other => Err(unreadable(&other)),
        }
    }

    /// An answer that no script gives.
    pub(crate) fn unknown(&self) -> Error {
        unreadable(&self.0.first())
    }
}

fn unreadable(answer: &dyn std::fmt::Debug) -> Error {
    Error::new(Code::DEFECT, format!("a script of the shared cache answered {answer:?}"))
}
