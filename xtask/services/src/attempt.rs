//! Starting again when somebody else was faster at a port.

use anyhow::Result;

/// Runs `start` up to three times, as long as it fails because a port was taken.
pub(crate) fn at_free_ports<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start() {
            Err(error) if tries < 3 && is_taken(&format!("{error:#}")) => {}
            outcome => return outcome,
        }
    }
}

fn is_taken(error: &str) -> bool {
    error.to_lowercase().contains("address already in use")
}

#[cfg(test)]
mod tests {
    use anyhow::{anyhow, bail};

    use super::*;

    #[test]
    fn only_a_taken_port_is_tried_again() {
        for (error, fails, expected) in [
            ("java.net.BindException: Address already in use", 2, (true, 3)),
            ("could not bind: address already in use", 3, (false, 3)),
            ("no space left", 1, (false, 1)),
        ] {
            let mut calls = 0;
            let outcome = at_free_ports(|| {
                calls += 1;
                if calls <= fails { Err(anyhow!(error)) } else { Ok(()) }
            });
            assert_eq!((outcome.is_ok(), calls), expected, "{error}");
        }
        let outcome: Result<()> = at_free_ports(|| bail!("first"));
        assert_eq!(outcome.unwrap_err().to_string(), "first");
    }
}
