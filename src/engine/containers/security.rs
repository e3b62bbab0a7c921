//! `--security-opt`, and Docker's seccomp profiles in the runtime's form.

use super::attempt::{MASKED, READ_ONLY};
use crate::engine::error::EngineError;
use crate::engine::images::architecture;
use crate::model::container::ContainerSpec;
use serde_json::{Value, json};

/// Security options of a container, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Security {
    pub(super) seccomp: Seccomp,
    pub(super) no_new_privileges: bool,
    /// /proc and /sys are shown whole.
    pub(super) unmasked: bool,
    /// A profile's name; empty is the default.
    pub(super) apparmor: String,
}

/// Filter of a container's system calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Seccomp {
    /// Docker's own profile.
    #[default]
    Default,
    Unconfined,
    /// A profile in Docker's form.
    Profile(Value),
}

/// Parses `--security-opt` options; `=` and `:` both separate.
pub(super) fn parse(options: &[String]) -> Result<Security, EngineError> {
    let mut security = Security::default();
    for option in options {
        let (name, value) = match option.find(['=', ':']) {
            Some(at) => (&option[..at], Some(&option[at + 1..])),
            None => (option.as_str(), None),
        };
        let invalid = || EngineError::invalid(format!("Invalid --security-opt: {option:?}"));
        match (name, value) {
            ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
            ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
            ("systempaths", Some("unconfined")) => security.unmasked = true,
            ("seccomp", Some("unconfined")) => security.seccomp = Seccomp::Unconfined,
            ("seccomp", Some("builtin")) => security.seccomp = Seccomp::Default,
            ("seccomp", Some(text)) => {
                let profile: Value = serde_json::from_str(text)
                    .map_err(|e| EngineError::invalid(format!("decoding seccomp profile failed: {e}")))?;
                security.seccomp = Seccomp::Profile(profile);
            }
            ("apparmor", Some(profile)) => profile.clone_into(&mut security.apparmor),
            ("label", Some("disable")) => {}
            ("label", Some(_)) => {
                return Err(EngineError::invalid(format!(
                    "--security-opt {option}: SELinux labels are not supported: only label=disable is accepted"
                )));
            }
            _ => return Err(invalid()),
        }
    }
    Ok(security)
}

/// Paths that are hidden from a container, and paths that it cannot write to.
pub(super) fn hidden_paths(spec: &ContainerSpec) -> (Vec<String>, Vec<String>) {
    if spec.privileged || parse(&spec.security_opt).is_ok_and(|security| security.unmasked) {
        return (Vec::new(), Vec::new());
    }
    let owned = |paths: &[&str]| paths.iter().map(ToString::to_string).collect();
    (owned(MASKED), owned(READ_ONLY))
}

/// Capabilities that CRI gives to a container that asks for none.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Translates a profile from Docker's form to the runtime's (config-linux.md, Seccomp): rules that do not apply are
/// left out.
pub(super) fn profile(docker: &Value, add: &[String], drop: &[String]) -> Result<Value, EngineError> {
    let bad = |why: &str| EngineError::invalid(format!("decoding seccomp profile failed: {why}"));
    let action = docker["defaultAction"].as_str().ok_or_else(|| bad("defaultAction is missing"))?;
    let all = |list: &[String]| list.iter().any(|c| c == "ALL");
    let has = |capability: &str| {
        let name = capability.strip_prefix("CAP_").unwrap_or(capability);
        let named = |list: &[String]| list.iter().any(|c| c == name);
        let default = DEFAULT_CAPABILITIES.contains(&name) && !all(drop);
        named(add) || (all(add) || default) && !named(drop)
    };
    let any = |value: &Value, test: &dyn Fn(&str) -> bool| {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).any(test)
    };
    let here = |name: &str| name == architecture();
    let mut result = json!({ "defaultAction": action });
    if let Some(errno) = docker.get("defaultErrnoRet").filter(|e| !e.is_null()) {
        result["defaultErrnoRet"] = errno.clone();
    }
    let own = if architecture() == "arm64" { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    let mut architectures: Vec<Value> = docker["architectures"].as_array().cloned().unwrap_or_default();
    if architectures.is_empty() {
        for entry in docker["archMap"].as_array().into_iter().flatten() {
            if entry["architecture"] == own {
                architectures.push(json!(own));
                architectures.extend(entry["subArchitectures"].as_array().cloned().unwrap_or_default());
            }
        }
    }
    if !architectures.is_empty() {
        result["architectures"] = json!(architectures);
    }
    let mut calls = Vec::new();
    for rule in docker["syscalls"].as_array().into_iter().flatten() {
        let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
        let lists = |value: &Value| value.as_array().is_some_and(|a| !a.is_empty());
        let excluded = any(&excludes["caps"], &has) || any(&excludes["arches"], &here);
        let missing = lists(&includes["caps"])
            && !includes["caps"].as_array().into_iter().flatten().filter_map(Value::as_str).all(has)
            || lists(&includes["arches"]) && !any(&includes["arches"], &here);
        if excluded || missing {
            continue;
        }
        let names = match rule["name"].as_str() {
            Some(name) => json!([name]),
            None => rule["names"].clone(),
        };
        if !names.is_array() {
            return Err(bad("a rule of syscalls has no names"));
        }
        let mut call = json!({ "names": names, "action": rule["action"] });
        for key in ["errnoRet", "args"] {
            if let Some(value) = rule.get(key).filter(|v| !v.is_null()) {
                call[key] = value.clone();
            }
        }
        calls.push(call);
    }
    result["syscalls"] = json!(calls);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[&str]) -> Result<Security, String> {
        let list: Vec<String> = list.iter().map(|s| (*s).to_owned()).collect();
        parse(&list).map_err(|e| e.to_string())
    }

    #[test]
    fn words() {
        let all = options(&["seccomp=unconfined", "no-new-privileges", "systempaths=unconfined"]).unwrap();
        assert_eq!(all.seccomp, Seccomp::Unconfined);
        assert!(all.no_new_privileges && all.unmasked);
        assert!(options(&["seccomp={"]).unwrap_err().contains("decoding seccomp profile failed"));
        assert!(options(&["foo"]).unwrap_err().contains("Invalid --security-opt"));
        assert!(options(&["label=type:x"]).unwrap_err().contains("SELinux"));
    }

    #[test]
    fn profiles() {
        let docker = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            ]
        });
        let names = |add: &[&str], drop: &[&str]| {
            let owned = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let made = profile(&docker, &owned(add), &owned(drop)).unwrap();
            let calls = made["syscalls"].as_array().unwrap();
            calls.iter().map(|c| c["names"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&[], &[]), "read chroot clone");
        assert_eq!(names(&["SYS_ADMIN"], &[]), "read mount chroot");
        assert_eq!(names(&[], &["ALL"]), "read clone");
        assert!(profile(&json!({}), &[], &[]).is_err());
    }
}
