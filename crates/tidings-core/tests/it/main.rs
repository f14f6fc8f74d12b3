//! What the core promises to those who use it.

#[cfg(test)]
mod envelope;
