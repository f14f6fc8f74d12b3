//! What no compiler checks: which crate may know which, what may enter the build, and whether the documents are true.
//!
//! Each check is a plain function from what it reads to a list of problems, each one a sentence with its place.

use anyhow::{Result, bail};

use crate::command::Workspace;

mod deny;
mod documents;
mod edges;
mod sources;
mod tree;

/// Runs every check and prints all problems; an error if there is one.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let metadata = workspace.metadata()?;
    let tree = tree::Tree::read(workspace.root())?;
    let policy = std::fs::read_to_string(workspace.root().join("deny.toml"))?;
    let mut problems = edges::check(&metadata);
    problems.extend(deny::check(&metadata, &deny::Policy::parse(&policy)));
    problems.extend(documents::check(&tree));
    problems.extend(sources::check(&tree)?);
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 problem"),
        many => bail!("{many} problems"),
    }
}
