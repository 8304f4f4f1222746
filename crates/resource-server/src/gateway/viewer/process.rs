//! The process in which one picture is made small: what it may take is the operating system's to hold, so that whatever a
//! decoder does with a file that somebody else wrote (a stack that overflows, memory or work without end, an abort) ends that
//! picture and nothing else. [`super::maker`] starts it. The picture is its standard input and the thumbnail its standard
//! output; where there is none, the reason is, and the exit status says which kind of reason it is.

use super::confinement::confine;
use super::picture::{self, Unfit};
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

/// Exit status: no small picture can be made of what is in the file (`EX_DATAERR` of sysexits.h).
pub(super) const UNFIT: u8 = 65;
/// Exit status: it could not be read, which says nothing about what is in it (`EX_IOERR`).
pub(super) const UNREADABLE: u8 = 74;

/// Addresses, and so memory: what a picture of 100 megapixels needs, with its file and all code.
const MOST_ADDRESS_BYTES: u64 = 1 << 30;
const MOST_CPU_SECONDS: u64 = 15;
/// Others go first where all want to run.
const NICENESS: i32 = 5;

/// It opens, writes and starts nothing: it has what it was given.
const LIMITS: [(Resource, u64); 6] = [
    (Resource::As, MOST_ADDRESS_BYTES),
    (Resource::Cpu, MOST_CPU_SECONDS),
    (Resource::Core, 0),
    (Resource::Fsize, 0),
    (Resource::Nofile, 0),
    (Resource::Nproc, 0),
];

/// All that this process does: the picture of standard input, made so small, on standard output.
pub fn run_thumbnail_process(side: u32) -> ExitCode {
    let made = bound_this_process().map_err(Unfit::Io).and_then(|picture| picture::shrink(picture, side));
    let (status, answer) = match made {
        Ok(thumbnail) => (0, thumbnail),
        Err(error @ Unfit::Io(_)) => (UNREADABLE, error.to_string().into_bytes()),
        Err(error) => (UNFIT, error.to_string().into_bytes()),
    };
    let mut output = io::stdout().lock();
    let is_said = output.write_all(&answer).and_then(|()| output.flush()).is_ok();
    ExitCode::from(if is_said { status } else { UNREADABLE })
}

/// Takes its limits, and what it may ask for, before a byte is read; the picture, of which a handle is made while that is allowed.
fn bound_this_process() -> io::Result<File> {
    let picture = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // where a machine has no memory left, this process goes and not the gateway; not everywhere may this be said
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = nice(NICENESS);
    for (resource, most) in LIMITS {
        let most = getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    confine().map_err(|error| io::Error::other(format!("this process cannot be confined on this machine: {error}")))?;
    Ok(picture)
}
