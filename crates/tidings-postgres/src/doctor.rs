//! Settings of the server under which events could be late, or un-happen.
