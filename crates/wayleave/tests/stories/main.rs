//! Stories over real processes: the binary as people run it, and other people's programs against it.

mod crashes;
mod gateway;
mod others;
mod processes;
