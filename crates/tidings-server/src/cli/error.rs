//! `tidings error`: the page of an error code.

use std::process::ExitCode;

use tidings_core::{Code, Error, Result};

use crate::{out, pages};

/// Explain an error code: what happened, what Tidings does about it, how to mend it
#[derive(clap::Args)]
pub(super) struct Args {
    /// The code, such as TD1001; without one, all of them are listed
    code: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.code {
        Some(code) => match pages::of(code) {
            Some(page) => out::write(page.as_bytes())?,
            None => {
                let what = format!("there is no error code {code:?}; tidings error lists them");
                return Err(Error::new(Code::SETTING_INVALID, what));
            }
        },
        None => {
            let lines: Vec<_> = pages::titles().map(|(id, title)| format!("{id}  {title}\n")).collect();
            out::write(lines.concat().as_bytes())?
        }
    };
    Ok(ExitCode::SUCCESS)
}
