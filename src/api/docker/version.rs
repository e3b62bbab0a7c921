//! The document of `version`: the command line, and the engine where there is one.

use super::schema::document;
use crate::model::system::Version as Noun;
use std::collections::BTreeMap;

document! {
    /// Both sides.
    Version is "system.versionInfo" {
        client: ClientVersion = "Client";
        server: Option<ServerVersion> = "Server", omit;
    }
}

document! {
    /// Name of the product.
    Platform is "system.platformInfo" {
        name: String = "Name";
    }
}

document! {
    /// The command line.
    ClientVersion is "system.clientVersion" {
        platform: Option<Platform> = "Platform", omit;
        version: String = "Version";
        api_version: String = "ApiVersion" / "APIVersion";
        default_api_version: String = "DefaultAPIVersion", omit;
        git_commit: String = "GitCommit";
        go_version: String = "GoVersion", omit;
        os: String = "Os";
        arch: String = "Arch";
        build_time: String = "BuildTime", omit;
        context: String = "Context";
    }
}

document! {
    /// The engine.
    ServerVersion is "types.Version" {
        platform: Platform = "Platform";
        components: Vec<Component> = "Components";
        version: String = "Version";
        api_version: String = "ApiVersion" / "APIVersion";
        min_api_version: String = "MinAPIVersion", omit;
        git_commit: String = "GitCommit";
        go_version: String = "GoVersion", omit;
        os: String = "Os";
        arch: String = "Arch";
        kernel_version: String = "KernelVersion", omit;
        experimental: bool = "Experimental", omit;
        build_time: String = "BuildTime", omit;
    }
}

document! {
    /// A part of the engine.
    Component is "types.ComponentVersion" {
        name: String = "Name";
        version: String = "Version";
        details: BTreeMap<String, String> = "Details", omit;
    }
}

impl From<&Noun> for ServerVersion {
    fn from(server: &Noun) -> Self {
        let details = [
            ("ApiVersion", server.api_version.as_str()),
            ("Arch", arch(&server.arch)),
            ("BuildTime", &server.built),
            ("GitCommit", &server.git_commit),
            ("KernelVersion", &server.kernel_version),
            ("MinAPIVersion", &server.api_version),
            ("Os", &server.os),
        ];
        let engine = Component {
            name: "Engine".to_owned(),
            version: server.version.clone(),
            details: details.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        let part = |(name, version): (&String, &String)| Component {
            name: name.clone(),
            version: version.clone(),
            details: BTreeMap::new(),
        };
        Self {
            platform: Platform { name: "k3c".to_owned() },
            components: std::iter::once(engine).chain(server.components.iter().map(part)).collect(),
            version: server.version.clone(),
            api_version: server.api_version.clone(),
            min_api_version: server.api_version.clone(),
            git_commit: server.git_commit.clone(),
            os: server.os.clone(),
            arch: arch(&server.arch).to_owned(),
            kernel_version: server.kernel_version.clone(),
            build_time: server.built.clone(),
            ..Self::default()
        }
    }
}

/// An architecture in Go's words.
pub fn arch(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// An operating system in Go's words.
pub fn os(name: &str) -> &str {
    if name == "macos" { "darwin" } else { name }
}
