//! What is lost is found again.
