//! The guards that a world can leave out, to show that it would notice.
//!
//! A guard is left out by the world, in the part of a driver or of a store that the world plays; the shipped code has no
//! switch for it. A mutant that no seed finds is a hole in the simulator.

use crate::world::Depth;

macro_rules! mutants {
    ($($(#[$doc:meta])* $guard:ident = $name:literal at [$($depth:ident),*];)*) => {
        /// A guard that is left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Mutant { $($(#[$doc])* $guard,)* }

        impl Mutant {
            /// Every mutant.
            pub const ALL: &'static [Self] = &[$(Self::$guard),*];

            /// How it is named on the command line and in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$guard => $name),* }
            }

            /// At which depths it exists.
            #[must_use]
            pub const fn depths(self) -> &'static [Depth] {
                match self { $(Self::$guard => &[$(Depth::$depth),*]),* }
            }
        }
    };
}

mutants! {
    /// Whatever a fill brings is kept, and whatever is held is served.
    AcceptRule = "accept-rule" at [Core, Drivers];
    /// A floor is set to what the latest event says, also downwards.
    FloorMax = "floor-max" at [Core];
    /// A fill's ticket is taken after it has read the source.
    TicketBeforeRead = "ticket-before-read" at [Core];
}
