//! One program for all tests of the simulator as a whole.

#[cfg(test)]
mod command;
#[cfg(test)]
mod determinism;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod toy;
