//! The wire: generated code, checked in, and the definitions of our own API (`k3c/v1`).
//!
//! `make proto` writes `generated/`; the test `proto` compares it with what the definitions give. Nothing in here is
//! written by hand but this list and how secrets are shown.

#![expect(clippy::allow_attributes, reason = "generated code")]

mod secret;

/// `k3c.v1`: our API.
pub mod k3c {
    /// Version 1.
    pub mod v1 {
        include!("generated/k3c.v1.rs");
    }
}

/// Kubernetes' container runtime interface.
pub mod cri {
    include!("generated/runtime.v1.rs");
}

/// `moby.*`: BuildKit's control and session services.
pub mod moby {
    /// `moby.buildkit`
    pub mod buildkit {
        /// `moby.buildkit.secrets`
        pub mod secrets {
            /// Version 1.
            pub mod v1 {
                include!("generated/moby.buildkit.secrets.v1.rs");
            }
        }
        /// Version 1.
        pub mod v1 {
            include!("generated/moby.buildkit.v1.rs");
            /// Capabilities.
            pub mod apicaps {
                include!("generated/moby.buildkit.v1.apicaps.rs");
            }
            /// Frontends, and those who stand in for one.
            pub mod frontend {
                include!("generated/moby.buildkit.v1.frontend.rs");
            }
            /// Source policies.
            pub mod sourcepolicy {
                include!("generated/moby.buildkit.v1.sourcepolicy.rs");
            }
            /// Workers.
            pub mod types {
                include!("generated/moby.buildkit.v1.types.rs");
            }
        }
    }
    /// `moby.filesync`
    pub mod filesync {
        /// Version 1.
        pub mod v1 {
            include!("generated/moby.filesync.v1.rs");
        }
    }
    /// `moby.sshforward`
    pub mod sshforward {
        /// Version 1.
        pub mod v1 {
            include!("generated/moby.sshforward.v1.rs");
        }
    }
    /// `moby.upload`
    pub mod upload {
        /// Version 1.
        pub mod v1 {
            include!("generated/moby.upload.v1.rs");
        }
    }
}

/// `containerd.services`
pub mod containerd {
    /// `containerd.services.content`
    pub mod content {
        /// Version 1.
        pub mod v1 {
            include!("generated/containerd.services.content.v1.rs");
        }
    }
}

/// `fsutil.types`: what DiffCopy sends.
pub mod fsutil {
    /// Packets and stats.
    pub mod types {
        include!("generated/fsutil.types.rs");
    }
}

/// BuildKit's low-level build definition.
pub mod pb {
    include!("generated/pb.rs");
}

/// `google.rpc`
pub mod google {
    /// Status.
    pub mod rpc {
        include!("generated/google.rpc.rs");
    }
}

/// `grpc.health`
pub mod grpc {
    /// Health checks.
    pub mod health {
        /// Version 1.
        pub mod v1 {
            include!("generated/grpc.health.v1.rs");
        }
    }
}
