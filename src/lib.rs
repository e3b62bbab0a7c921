//! k3c: classic Docker's command line on Kubernetes' own parts (CRI, containerd, BuildKit), rootless, in one binary.
//!
//! # Who lives where
//!
//! ```text
//! k3c run, ps, build …   the command line; a client of the socket like any other
//!    │  gRPC, $XDG_RUNTIME_DIR/k3c/k3c.sock
//! k3c daemon             an ordinary user's process: takes the lock, maps ids, then waits and forwards signals
//! └─ holder              first process in the user namespace: keeps the namespaces and the listening socket,
//!    │                   starts the engine again, is the parent of every long-lived child
//!    ├─ slirp4netns      the containers' way out
//!    ├─ ports            carries what comes to published ports into the containers
//!    ├─ names            the containers' name server
//!    ├─ engine           all the logic, serves the API, may be replaced at any moment
//!    ├─ containerd       with CRI: pods, containers, images
//!    ├─ differ           writes the layers of images into containerd's snapshots
//!    ├─ buildkitd        while something is built
//!    └─ a shim per pod ─ the containers' processes
//! ```
//!
//! A container's streams go past containerd: its shim has a socket for attached clients, and the engine only carries
//! frames between them and the API (`model::attach` has the protocol). So a session goes on when the engine or
//! containerd is replaced, and who starts a container attaches first and sees it from the first byte. The shim also
//! writes the log (CRI's format, at CRI's place) and rotates it; for containers of CRI's other clients containerd does.
//!
//! Containers are made by our own OCI runtime (`shim::oci`), a stage of this program; those that ask for something it does
//! not do by runc, which makes all of them with `K3C_OCI_RUNTIME=runc`. The stage is also an OCI runtime on the command
//! line, `k3c-oci` (`shim::oci::command`), for suites of tests and for other engines.
//!
//! A pod is its shim (`shim::pod`, containerd's sandbox API): no container and no image stands for it. What containerd does
//! not know of such pods, the router of the socket adds to its answers (`server::pods`).
//!
//! Wishes for a container that CRI has words for go to CRI; all others go to the shim in an annotation
//! (`model::amendment`), by which it changes the OCI specification, and it makes execs (`model::exec`) from the result.
//! Files of containers are reached from outside through descriptors only (`sys::tree`): no link in a container leads out
//! of it.
//!
//! Layers are written by the differ, which containerd calls as one of its plugins: three threads inflate, hash and write,
//! straight into a snapshot's folder, where containerd has one thread, and rootless an overlay mount for each layer. It is
//! not in the engine, so that pulls go on when that is replaced. Killed, it is started again; what it wrote halfway
//! containerd takes back, and the pull fails with an error and can be repeated.
//!
//! One file plays all roles. Which one is decided in `main` from the name it was called by or a hidden first argument,
//! before any thread exists, because namespaces are entered by single-threaded processes. As root there is no user
//! namespace and no slirp4netns; the rest is the same.
//!
//! Ports of the host are published by one process for all of them (`network::ports`), which accepts in the host's network
//! namespace and connects inside; a container sees its client's own address. What is published is in the records: killed,
//! the process is told again, and an engine's death changes nothing.
//!
//! Containers are in networks (`engine::networks`), the default one or users': a bridge each, whose addresses the CNI plugin
//! (`network::cni`) reads from the interfaces that are there, so that none is lost. Which networks a pod is in is an
//! annotation of it (`model::attachment`). What containers are called says one process for all networks (`network::dns`),
//! at each gateway; it reads what the engine writes down, and passes other questions on to the host's name servers.
//!
//! Holder, engine, containerd and buildkitd stay in the host's network namespace: pulls go at full speed and a
//! registry on the host's loopback is reachable. Containers live in a namespace of their own, bound inside the
//! holder's mount namespace in the layout of a `RootlessKit` state directory.
//!
//! # What stays true
//!
//! * One store: images, snapshots and containers are in containerd's namespace `k8s.io`. What was built can be run,
//!   and CRI's clients see it. Nothing is copied.
//! * One socket: our API, CRI, BuildKit's and containerd's services, told apart by gRPC path, for unmodified clients.
//! * What should be and what is are kept apart: the engine stores *records* and makes CRI's objects follow them.
//!   A record's ID, name and volumes stay; each start is a fresh *attempt*. Whatever is only in memory can be rebuilt.
//! * Any one process may be killed. Containers go on, what died comes back, `ps` tells the truth. Only a holder takes
//!   its containers along; the daemon tidies up, starts anew, and brings back what should run.
//! * Nothing is left behind by a daemon that ended: no process, mount, cgroup or socket.
//! * What is missing on a host is refused in words with the remedy; what a host cannot apply is warned about.
//! * The command line can do nothing that the API cannot.
//! * Nothing is downloaded to start: containerd, buildkitd, runc and a small image are inside the binary.
//!
//! * An answer does not wait for what nobody sees: a removal is one commit, and the teardown goes on behind it; names are
//!   free at once, what the old pod may still use (a volume's folder) when it is gone.
//! * Who has nothing to do gives its memory back (`sys::memory`): each process of ours, after some seconds of rest, the
//!   pages of its own program and what the allocator holds free. What waits for a client has threads of its own
//!   (`engine::apart`); the pool for short work is small.
//! * A verb that was begun is finished, whoever leaves: each call that changes something runs behind `server::door`, and
//!   what an engine that is killed leaves (`stopping`, `removing`, a frozen container) the next one finishes.
//!
//! # Words
//!
//! | word | is |
//! |---|---|
//! | record | what the engine stores of a container: what was asked for, and what became of it (`store::Record`) |
//! | attempt | the pod and the container in CRI that realise a record for one run |
//! | book | the copy of all records in memory, replaced as a whole by each commit (`engine::records`) |
//! | change, commit | what is written in one transaction of the store, with the events that tell of it |
//! | claim | a creation's hold on its volumes until its record is written |
//! | lifecycle | the pure table of what may be done in which state, and what each event makes of a record |
//! | tombstone | the exit code of a removed container, kept for ten minutes for those who still wait |
//! | place | a container's part in a network: what it wishes for (`EndpointSpec`), and what it has got (`store::Endpoint`) |
//! | attachment | a place as the CNI plugin is told of it, in an annotation of the pod |
//! | directory | what the name server knows: containers that run, their places and names |
//! | burial | the teardown of a removed container, behind the answer: pod, files and anonymous volumes |
//! | foreign | a container that another client of CRI made: shown, touched only by its exact name |
//! | target | a container that is attached to or gets an exec: a record's attempt, or a foreign one |
//! | facts | what an image says of itself, read once and kept by digest |
//! | leftovers | files, leases and pods that an interrupted operation left; removed when an engine starts |
//! | amendment | what CRI has no words for, as an annotation for the shim |
//! | addition | what an exec asks for, laid over the process that really runs |
//! | adapt | what the shim takes out of a specification because the host cannot apply it |
//! | hub | a process's streams in the shim: clients attach to it, the log is written from it |
//! | holder | the process that keeps the namespaces and the socket, and spawns for the engine |
//! | keeper | the thread of a shim that keeps a pod's namespaces, or a process where it must be one (`shim::pod`) |
//! | stage | this program, executed again for one purpose; of the shim: what becomes a container's process (`shim::oci`) |
//! | door | the place where a call is detached from its caller, so that it is finished |
//! | document | Docker's JSON of a noun, with Go's field names for templates (`api::docker`) |
//!
//! # Rooms
//!
//! Imports go down, never up, and never sideways but for the settings, `config`. The user's side imports nothing of the
//! machine's but `sys`; only `main` joins both. The test `rooms` reads the drawing and the table and compares them with
//! the source, so a single word in the last column is a room's name.
//!
//! ```text
//!  5   main
//!  4   cli                         daemon
//!  3   builder                     server
//!  2   client                      engine  network  children  rootless  holder  shim  differ
//!  1   api  config  credentials    store  supervise  telemetry
//!  0   model  proto                sys
//!      └ the user's side           └ the machine's side (Linux)
//! ```
//!
//! | room | is | never imports |
//! |---|---|---|
//! | [`model`] | plain nouns, parsed, checked and shown; neither IO nor async | anything of ours |
//! | [`proto`] | generated code and our own definitions; a crate of its own, because it is slow to compile | anything of ours |
//! | [`sys`] | every `unsafe`, every system call | anything of ours |
//! | [`config`], [`credentials`], `telemetry` | each path, variable and setting, declared once; logins; logs | engine, server, cli |
//! | `store` | the records, one transaction a change | engine |
//! | `supervise` | a child process as a state machine | a child by name |
//! | `children` | containerd and buildkitd: their files and command lines; unpacks the bundle | engine, server |
//! | `rootless` | from an ordinary user to root in a namespace | engine; tokio on the way in |
//! | `holder` | keeps namespaces and socket, starts what it is told; no policy | engine, children |
//! | `network` | the containers' networks: CNI, slirp4netns, the name server, ports and RootlessKit's API | engine |
//! | `shim` | containerd's shim: task service, the processes' streams, attached clients | engine |
//! | `differ` | containerd's differ: writes layers into snapshots, in a process of its own | engine |
//! | `engine` | containers, images, volumes, networks, events; the reconciler | api, server, cli, rootless |
//! | [`api`] | messages to nouns and back, Docker's documents, stable reasons of errors | engine |
//! | `server` | decodes, calls, encodes; the router of the one socket | rootless, children, holder, shim, client |
//! | [`client`] | the API, used; starts a daemon when there is none | engine, server |
//! | [`builder`] | BuildKit's client, where the user's files are | engine, server |
//! | [`cli`] | one file per verb: parse, call, print | engine, server, rootless |
//! | `daemon` | joins the machine's side together | cli, builder, client |
//! | `main` | picks a role before any thread exists | what a role is about |
//!
//! A room that needs a sibling has a trait of its own for it, which `daemon` supplies (`engine::Parts`,
//! `server::Buildkit`, `supervise::Spawner`).

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "unit tests start programs and wait"))]

pub mod api;
pub mod builder;
pub mod cli;
pub mod client;
pub mod config;
pub mod credentials;
pub mod model;
pub use k3c_proto as proto;
pub mod sys;

#[cfg(target_os = "linux")]
pub mod children;
#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod differ;
#[cfg(target_os = "linux")]
pub mod engine;
#[cfg(target_os = "linux")]
pub mod holder;
#[cfg(target_os = "linux")]
pub mod network;
#[cfg(target_os = "linux")]
pub mod rootless;
#[cfg(target_os = "linux")]
pub mod server;
#[cfg(target_os = "linux")]
pub mod shim;
#[cfg(target_os = "linux")]
pub mod store;
#[cfg(target_os = "linux")]
pub mod supervise;
#[cfg(target_os = "linux")]
pub mod telemetry;

/// The build script is no part of the library; its tests run with those of the library.
#[cfg(test)]
#[expect(dead_code, reason = "cargo calls its main")]
#[path = "../build.rs"]
mod build_script;
