//! What is fetched once and kept in the user's cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory `libs` of this name in the cache. If it is not there, `fetch` makes it inside the directory it is given.
pub(crate) fn directory(name: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = home()?;
    let directory = cache.join(name);
    let libraries = directory.join("libs");
    if libraries.is_dir() {
        return Ok(libraries);
    }
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // Beside its place first, and moved there whole: a half-fetched directory is never used.
    let staging = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(&cache)?;
    fetch(staging.path())?;
    match std::fs::rename(staging.path(), &directory) {
        Ok(()) => drop(staging.keep()),
        // Somebody else was faster, and theirs is as good.
        Err(_) if libraries.is_dir() => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", directory.display())),
    }
    Ok(libraries)
}

fn home() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("tidings"))
}
