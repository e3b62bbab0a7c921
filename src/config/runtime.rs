//! Who makes containers.

use super::{ConfigError, env};

/// The OCI runtime of a daemon: [`env::OCI_RUNTIME`], `k3c` (the default) or `runc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OciRuntime {
    /// Our own (`shim::oci`), and runc for what that does not do.
    Own,
    /// runc for everything.
    Runc,
}

impl OciRuntime {
    /// Reads the variable of this process.
    ///
    /// # Errors
    /// It names another runtime.
    pub fn of_environment() -> Result<Self, ConfigError> {
        let value = std::env::var_os(env::OCI_RUNTIME).unwrap_or_default();
        Self::parse(&value.to_string_lossy())
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "" | "k3c" => Ok(Self::Own),
            "runc" => Ok(Self::Runc),
            other => Err(ConfigError::Value {
                name: env::OCI_RUNTIME.to_owned(),
                message: format!(
                    "there is no runtime {other:?}: it is `k3c`, which is the default, or `runc` for all containers"
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(OciRuntime::parse("").unwrap(), OciRuntime::Own);
        assert_eq!(OciRuntime::parse("k3c").unwrap(), OciRuntime::Own);
        assert_eq!(OciRuntime::parse("runc").unwrap(), OciRuntime::Runc);
        let words = OciRuntime::parse("crun").unwrap_err().to_string();
        assert!(words.starts_with("K3C_OCI_RUNTIME: there is no runtime \"crun\""), "{words}");
    }
}
