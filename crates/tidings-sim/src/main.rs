//! `cargo xtask sim`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use tidings_sim::cli;
use tidings_sim::worlds::world;

/// 0: all is well. 1: a promise was broken, or the campaign proves too little. 2: it could not be done as asked.
fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = stop_by_hand(Arc::clone(&stop)) {
        eprintln!("note: Ctrl-C will give no totals ({error})");
    }
    if !arguments.tells() {
        // A panic is a violation as any other; while a history is made smaller there may be thousands.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let mut out = std::io::stdout().lock();
    let result =
        cli::run(arguments, &world, &stop, &mut out).and_then(|good| Ok(out.flush().map(|()| good)?));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The first Ctrl-C ends the campaign with its totals so far, the second ends the program.
fn stop_by_hand(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    })?;
    Ok(())
}
