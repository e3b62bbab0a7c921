//! Picks a hidden stage, or the command line, before any thread exists.

use std::process::ExitCode;

/// Content of git's file at the time of the build, or `unknown`.
const COMMIT: &str = include_str!(env!("K3C_COMMIT_FILE"));

#[cfg(target_os = "linux")]
fn stage() -> Option<i32> {
    use k3c::{daemon, differ, holder, network, rootless, shim};
    let mut args = std::env::args_os();
    let program = args.next()?;
    let name = std::path::Path::new(&program).file_name()?.to_string_lossy().into_owned();
    if shim::is_named(&program) {
        return Some(shim::run(&args.collect::<Vec<_>>()));
    }
    if [network::cni::NAME, network::cni::LOOPBACK].contains(&name.as_str()) {
        return Some(network::cni::run(&name));
    }
    if name == shim::oci::command::NAME {
        return Some(shim::oci::command::run(&std::env::args_os().collect::<Vec<_>>()));
    }
    match args.next()?.to_str()? {
        holder::STAGE => {
            Some(holder::run(|instance, daemon| Ok(rootless::enter::namespaces(instance, daemon)?)))
        }
        rootless::netns::STAGE => Some(rootless::netns::stage()),
        k3c::config::env::ENGINE_STAGE => Some(daemon::engine_stage()),
        shim::oci::STAGE => Some(shim::oci::run(&args.collect::<Vec<_>>())),
        shim::pod::STAGE => Some(shim::pod::run(&args.collect::<Vec<_>>())),
        differ::STAGE => Some(differ::stage(&args.collect::<Vec<_>>())),
        network::dns::STAGE => Some(network::dns::stage(&args.collect::<Vec<_>>())),
        network::ports::STAGE => Some(network::ports::stage(&args.collect::<Vec<_>>())),
        daemon::UNPACK_STAGE => Some(daemon::unpack_stage()),
        _ => None,
    }
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    k3c::config::set_commit(COMMIT);
    match stage() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => k3c::cli::main(k3c::daemon::run),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    k3c::config::set_commit(COMMIT);
    k3c::cli::main(|_| {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"k3c: the daemon runs on Linux only for now: point K3C_ADDRESS at one\n",
        );
        ExitCode::FAILURE
    })
}
