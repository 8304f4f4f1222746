//! Stories over real processes: the binary as people run it, and other people's programs against it.

mod authority;
mod choosing;
mod content;
mod crashes;
mod deciding;
mod desk;
mod desk_api;
mod desk_provider;
mod elsewhere;
mod gateway;
mod guarding;
mod hostile;
mod just_in_time;
mod logging_in;
mod mixups;
mod moving;
mod network;
mod operation;
mod others;
mod owners;
mod processes;
mod relations;
mod renewing;
mod searching;
mod services;
mod stolen;
