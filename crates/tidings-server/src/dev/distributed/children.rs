//! The other processes of a run: started, started again if they end, and ended in order.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
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
    /// What they run; without it, the program that this one is.
    program: Option<PathBuf>,
    seen: Mutex<Vec<Seen>>,
}

/// One at work.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
    pub(super) kind: &'static str,
}

/// What is done with a process's output, each time that it is started. Whether it said all that it had to say.
pub(super) type Output = Arc<dyn Fn(ChildStdout) -> JoinHandle<bool> + Send + Sync>;

impl Children {
    pub(super) fn new(dir: &Path) -> Self {
        Self::of(dir, None)
    }

    fn of(dir: &Path, program: Option<PathBuf>) -> Self {
        Self(Arc::new(Shared { dir: dir.to_owned(), program, seen: Mutex::default() }))
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

    async fn keep(
        self,
        plan: Plan,
        output: Output,
        first: Child,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut next = Some(first);
        loop {
            let Some(mut child) = next.take() else { return Ok(()) };
            // Waiting would close it.
            let _stdin = child.stdin.take();
            let reading = child.stdout.take().map(|stdout| output(stdout));
            let ended = tokio::select! {
                ended = child.wait() => Some(ended),
                _ = stopped.wait_for(|stop| *stop) => None,
            };
            let asked = if ended.is_none() {
                ask_to_end(&child);
                Some(child.wait().await)
            } else {
                None
            };
            let said_all = match reading {
                Some(reading) => reading.await.unwrap_or(false),
                None => false,
            };
            if let Some(status) = asked {
                self.note(&plan.name, |seen| seen.pid = None);
                return ended_well(&plan.name, status, said_all);
            }
            match ended {
                None => {}
                Some(Ok(status)) => eprintln!("tidings: {} ended ({status}); it is started again", plan.name),
                Some(Err(error)) => eprintln!("tidings: {} was lost ({error})", plan.name),
            }
            while next.is_none() {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    // What it left unsaid, nobody says any more.
                    _ = stopped.wait_for(|stop| *stop) => return said(&plan.name, said_all),
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
        let program = self.0.program.clone().map_or_else(std::env::current_exe, Ok).map_err(failed)?;
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
    /// Errors: [`Code::STOPPING`] if it takes longer; it is then killed. [`Code::DEFECT`] if it failed, or if it ended
    /// before it had said everything: what it would have said last is then missing, and nothing shows that it is.
    pub(super) async fn stop(self, deadline: Instant) -> Result<()> {
        self.stop.send_replace(true);
        let mut task = self.task;
        match tokio::time::timeout_at(deadline, &mut task).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(e)) => {
                Err(Error::new(Code::DEFECT, format!("whoever kept a {} panicked", self.kind)).because(e))
            }
            Err(_) => {
                task.abort();
                Err(Error::new(Code::STOPPING, format!("a {} did not end in time", self.kind)))
            }
        }
    }
}

/// Of a process that was asked to end.
fn ended_well(name: &str, status: std::io::Result<ExitStatus>, said_all: bool) -> Result<()> {
    match status {
        Ok(status) if status.success() => said(name, said_all),
        Ok(status) => Err(Error::new(Code::DEFECT, format!("{name} failed as it was stopped ({status})"))),
        Err(e) => Err(Error::new(Code::DEFECT, format!("{name} was lost as it was stopped")).because(e)),
    }
}

fn said(name: &str, all: bool) -> Result<()> {
    let what = || format!("{name} ended before it had told everything");
    if all { Ok(()) } else { Err(Error::new(Code::DEFECT, what())) }
}

/// As a supervisor does.
pub(super) fn ask_to_end(child: &Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// What comes of stopping a process that runs this, once it has said that it is there. `end` is all there is to say.
    async fn stopped(script: &str) -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::of(dir.path(), Some("/bin/sh".into()));
        let (there, mut is_there) = watch::channel(0);
        let there = Arc::new(there);
        let output: Output = Arc::new(move |mut stdout| {
            let there = there.clone();
            tokio::spawn(async move {
                let mut said = Vec::new();
                while stdout.read_buf(&mut said).await.is_ok_and(|count| count > 0) {
                    there.send_replace(said.len());
                }
                said.ends_with(b"end\n")
            })
        });
        let arguments = ["-c", script].map(OsString::from).to_vec();
        let plan = Plan { name: "copy-1".to_owned(), kind: "copy", arguments, at: None };
        let running = children.start(plan, output).unwrap();
        tokio::time::timeout(LIMIT, is_there.wait_for(|said| *said > 0)).await.unwrap().unwrap();
        running.stop(Instant::now() + LIMIT).await
    }

    /// It waits until it is asked, and then does this.
    fn when_asked(last: &str) -> String {
        format!("trap '{last}' TERM; echo there; read nothing; exit 9")
    }

    #[tokio::test]
    async fn who_says_everything_and_ends_well_has_ended_well() {
        stopped(&when_asked("echo end; exit 0")).await.unwrap();
    }

    #[tokio::test]
    async fn who_fails_as_it_is_stopped_is_missed() {
        let error = stopped(&when_asked("echo end; exit 3")).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn who_is_killed_as_it_is_stopped_is_missed() {
        let error = stopped(&when_asked("kill -9 $$")).await.unwrap_err();
        assert!(error.to_string().contains("signal: 9"), "{error}");
    }

    #[tokio::test]
    async fn who_ends_without_saying_everything_is_missed() {
        let error = stopped(&when_asked("exit 0")).await.unwrap_err();
        assert!(error.to_string().contains("before it had told everything"), "{error}");
    }

    #[tokio::test]
    async fn who_ended_before_it_was_asked_and_is_not_there_again_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::of(dir.path(), Some("/bin/sh".into()));
        let (ended, mut has_ended) = watch::channel(false);
        let ended = Arc::new(ended);
        let output: Output = Arc::new(move |mut stdout| {
            let ended = ended.clone();
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
                ended.send_replace(true);
                false
            })
        });
        let arguments = ["-c", "exit 1"].map(OsString::from).to_vec();
        let plan = Plan { name: "copy-1".to_owned(), kind: "copy", arguments, at: None };
        let running = children.start(plan, output).unwrap();
        tokio::time::timeout(LIMIT, has_ended.wait_for(|ended| *ended)).await.unwrap().unwrap();
        running.stop(Instant::now() + LIMIT).await.unwrap_err();
    }
}
