//! What the process that decodes a picture may still ask of the operating system (seccomp(2)): reading what it holds, memory,
//! and writing its answer. Whoever takes a decoder over by a file opens, starts and connects to nothing with it, and sends no
//! signal to the gateway, whose user it has; any other call ends the process.

use libc::{F_GETFD, F_GETFL, SYS_fcntl, SYS_prctl, c_int, c_long};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;
use std::io;

/// Names of memory, which our allocator gives; nothing else of `prctl`.
const PR_SET_VMA: u64 = 0x5356_4d41;
/// `fcntl` sends signals as well: of a handle only what it is may be asked.
const LOOKS_AT_HANDLES: [c_int; 2] = [F_GETFD, F_GETFL];

const ALLOWED: [c_long; 27] = [
    // what it was given, and its answer
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    // memory
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    // what the languages' own libraries do beside
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_getcpu,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    // its end
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// From here on this process does nothing else, nor anything that it begins. An error: it cannot be held to that on this
/// machine, and is to decode nothing.
pub(super) fn confine() -> io::Result<()> {
    let filter = make_filter().map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}

fn make_filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let is_vma = SeccompCondition::new(0, Qword, SeccompCmpOp::Eq, PR_SET_VMA)?;
    rules.insert(SYS_prctl, vec![SeccompRule::new(vec![is_vma])?]);
    let mut looks = Vec::new();
    for command in LOOKS_AT_HANDLES {
        let is_it = SeccompCondition::new(1, Dword, SeccompCmpOp::Eq, u64::from(command.unsigned_abs()))?;
        looks.push(SeccompRule::new(vec![is_it])?);
    }
    rules.insert(SYS_fcntl, looks);
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::super::picture;
    use super::*;
    use image::ImageFormat;
    use rustix::process::{Signal, getppid, kill_process};
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// What a process is to try.
    const ATTEMPT: &str = "WAYLEAVE_TEST_ATTEMPT";
    const DONE: i32 = 33;

    /// A file with a picture in it.
    fn picture(format: ImageFormat) -> File {
        let random: [u8; 8] = jose::ambient::random(&jose::SystemRandomness);
        let place = std::env::temp_dir().join(format!("wayleave-confined-{}", jose::base64url::encode(random)));
        image::DynamicImage::new_rgb8(900, 700).save_with_format(&place, format).unwrap();
        let file = File::open(&place).unwrap();
        std::fs::remove_file(&place).unwrap();
        file
    }

    /// Run by the test below as a process of its own; by itself it is nothing.
    #[test]
    fn attempt() {
        let Ok(what) = std::env::var(ATTEMPT) else { return };
        let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP];
        let (parent, pictures) = (getppid().unwrap(), formats.map(picture));
        confine().unwrap();
        match what.as_str() {
            "decode" => pictures.into_iter().for_each(|picture| assert!(!picture::shrink(picture, 320).unwrap().is_empty())),
            "open" => drop(File::open("/etc/passwd")),
            "create" => drop(std::fs::write("/tmp/wayleave-confined", "x")),
            "connect" => drop(std::net::TcpStream::connect("127.0.0.1:9")),
            "start" => drop(Command::new("/bin/true").status()),
            "thread" => drop(std::thread::Builder::new().spawn(|| ())),
            // it would harm nobody
            "signal" => drop(kill_process(parent, Signal::CONT)),
            "own" => drop(rustix::io::fcntl_dupfd_cloexec(&pictures[0], 0)),
            _ => unreachable!("{what}"),
        }
        std::process::exit(DONE);
    }

    /// Row 46: a decoder that somebody took over reaches nothing.
    #[test]
    fn threat_46_a_process_that_decodes_asks_for_nothing_else() {
        for (what, is_allowed) in [
            ("decode", true),
            ("open", false),
            ("create", false),
            ("connect", false),
            ("start", false),
            ("thread", false),
            ("signal", false),
            ("own", false),
        ] {
            let own = std::env::current_exe().unwrap();
            let name = "gateway::viewer::confinement::tests::attempt";
            let run = Command::new(own).args(["--exact", name, "--nocapture"]).env(ATTEMPT, what).output().unwrap();
            match is_allowed {
                true => assert_eq!(run.status.code(), Some(DONE), "{what}: {run:?}"),
                false => assert_eq!(run.status.signal(), Some(libc::SIGSYS), "{what}: {run:?}"),
            }
        }
    }
}
