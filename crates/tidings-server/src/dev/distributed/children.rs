//! The other processes of a run: started, started again if they end, and ended in order.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tidings_core::{Code, Error, Result};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::data_dir::io_fault;

/// A process that ended without being asked is started again after this long.
const AGAIN: Duration = Duration::from_millis(500);

/// What is to be run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    /// `relay` or `copy`.
    pub(super) kind: &'static str,
    pub(super) arguments: Vec<OsString>,
    /// Where it answers, if it does.
    pub(super) at: Option<String>,
}

/// One of them, as others may see it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) pid: Option<u32>,
    pub(crate) at: Option<String>,
    /// How often it ended without being asked, and was started again.
    pub(crate) restarts: u32,
}

/// All of them.
#[derive(Clone)]
pub(super) struct Children(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    seen: Mutex<Vec<Seen>>,
}

/// One at work.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    pub(super) kind: &'static str,
}

/// What is done with a process's output, each time that it is started.
pub(super) type Output = Arc<dyn Fn(ChildStdout) -> JoinHandle<()> + Send + Sync>;

impl Children {
    pub(super) fn new(dir: &Path) -> Self {
        Self(Arc::new(Shared { dir: dir.to_owned(), seen: Mutex::default() }))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts one, and keeps it running. What it says goes to `<name>.log`.
    pub(super) fn start(&self, plan: Plan, output: Output) -> Result<Running> {
        let Plan { name, kind, at, .. } = &plan;
        let seen = Seen { name: name.clone(), kind, pid: None, at: at.clone(), restarts: 0 };
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        let (stop, stopped) = watch::channel(false);
        let first = self.spawn(&plan)?;
        let (me, kind) = (self.clone(), *kind);
        let task = tokio::spawn(async move { me.keep(plan, output, first, stopped).await });
        Ok(Running { stop, task, kind })
    }

    async fn keep(self, plan: Plan, output: Output, first: Child, mut stopped: watch::Receiver<bool>) {
        let mut next = Some(first);
        loop {
            let Some(mut child) = next.take() else { return };
            // Waiting would close it.
            let _stdin = child.stdin.take();
            let reading = child.stdout.take().map(|stdout| output(stdout));
            let ended = tokio::select! {
                ended = child.wait() => Some(ended),
                _ = stopped.wait_for(|stop| *stop) => None,
            };
            if ended.is_none() {
                ask_to_end(&child);
                let _ = child.wait().await;
            }
            if let Some(reading) = reading {
                let _ = reading.await;
            }
            match ended {
                None => return self.note(&plan.name, |seen| seen.pid = None),
                Some(Ok(status)) => eprintln!("tidings: {} ended ({status}); it is started again", plan.name),
                Some(Err(error)) => eprintln!("tidings: {} was lost ({error})", plan.name),
            }
            while next.is_none() {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    _ = stopped.wait_for(|stop| *stop) => return,
                }
                self.note(&plan.name, |seen| seen.restarts += 1);
                next = self.spawn(&plan).inspect_err(|error| eprintln!("tidings: {error}")).ok();
            }
        }
    }

    fn spawn(&self, plan: &Plan) -> Result<Child> {
        let failed = |e| Error::new(Code::OVERLOADED, format!("{} cannot be started", plan.name)).because(e);
        let path = self.0.dir.join(format!("{}.log", plan.name));
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(|e| io_fault(&path, "the log of a process cannot be written", e))?;
        let program = std::env::current_exe().map_err(failed)?;
        let child = Command::new(program)
            .args(&plan.arguments)
            // It ends when this is closed: nobody outlives the process that started it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        self.note(&plan.name, |seen| seen.pid = child.id());
        Ok(child)
    }

    /// Changes what others see. A reader of the file never sees half of it.
    fn note(&self, name: &str, change: impl FnOnce(&mut Seen)) {
        let mut all = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = all.iter_mut().find(|seen| seen.name == name) {
            change(seen);
        }
        let (path, part) = (self.0.dir.join("processes.json"), self.0.dir.join("processes.part"));
        let written = serde_json::to_vec_pretty(&*all).map_err(std::io::Error::other);
        let written =
            written.and_then(|text| std::fs::write(&part, text)).and_then(|()| std::fs::rename(&part, &path));
        if let Err(error) = written {
            eprintln!("tidings: {}", io_fault(&path, "the list of processes cannot be written", error));
        }
    }
}

impl Running {
    /// Asks it to finish what there is to do, and waits for that.
    ///
    /// Errors: [`Code::STOPPING`] if it takes longer; it is then killed.
    pub(super) async fn stop(self, deadline: Instant) -> Result<()> {
        self.stop.send_replace(true);
        let mut task = self.task;
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            task.abort();
            return Err(Error::new(Code::STOPPING, format!("a {} did not end in time", self.kind)));
        }
        Ok(())
    }
}

/// As a supervisor does.
pub(super) fn ask_to_end(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, Signal::TERM);
    }
}
