//! The flags of `build`.

use super::call::{self, Call, Question};
use super::outputs;
use super::values;
use crate::builder::{Annotation, Network, Options, OutputKind};
use crate::cli::builder::Place;
use crate::cli::options::kinds;
use crate::cli::options::value;
use crate::config::env;
use crate::model::container::Ulimit;
use std::net::IpAddr;

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "strings", value_parser = values::host)]
    add_host: Vec<(String, IpAddr)>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure", "device")
    #[arg(long, value_name = "stringArray", value_parser = values::entitlement)]
    allow: Vec<String>,
    /// Add annotation to the image
    #[arg(long, value_name = "stringArray", value_parser = values::annotations)]
    annotation: Vec<values::Annotations>,
    /// Attestation parameters (format: "type=sbom,generator=image")
    #[arg(long, value_name = "stringArray", value_parser = outputs::attestation)]
    attest: Vec<outputs::Attestation>,
    /// Set build-time variables
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "stringArray", value_parser = values::context)]
    build_context: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) place: Place,
    /// External cache sources (e.g., "user/app:cache", "type=registry,ref=user/app:cache")
    #[arg(long, value_name = "stringArray", value_parser = outputs::caches)]
    cache_from: Vec<outputs::Caches>,
    /// Cache export destinations (e.g., "user/app:cache", "type=inline")
    #[arg(long, value_name = "stringArray", value_parser = outputs::caches)]
    cache_to: Vec<outputs::Caches>,
    /// Set method for evaluating build ("check", "outline", "targets")
    #[arg(long, value_name = "string", default_value = "build", hide_default_value = true, value_parser = call::parse)]
    call: Call,
    /// Set the parent cgroup for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    cgroup_parent: Option<String>,
    /// Shorthand for "--call=check"
    #[arg(long)]
    check: bool,
    /// Accepted, and without meaning: a context is never packed
    #[arg(long, hide = true)]
    compress: bool,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    /// Accepted, and without meaning: there are no intermediate containers
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Write the image ID to a file
    #[arg(long, value_name = "string")]
    pub(super) iidfile: Option<std::path::PathBuf>,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray")]
    label: Vec<String>,
    /// Shorthand for "--output=type=docker"
    #[arg(long)]
    load: bool,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string")]
    pub(super) metadata_file: Option<std::path::PathBuf>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, value_name = "string", default_value = "default", hide_default_value = true, value_parser = values::network)]
    network: Network,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "stringArray")]
    no_cache_filter: Vec<String>,
    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long, value_name = "stringArray")]
    output: Vec<String>,
    /// Set target platform for build
    #[arg(long, value_name = "stringArray")]
    platform: Vec<String>,
    /// Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty")
    #[arg(long, value_name = "string", hide_possible_values = true)]
    pub(super) progress: Option<super::Mode>,
    /// Shorthand for "--attest=type=provenance"
    #[arg(long, value_name = "string")]
    provenance: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Shorthand for "--output=type=registry"
    #[arg(long)]
    push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Accepted, and without meaning: there are no intermediate containers
    #[arg(long, hide = true)]
    rm: bool,
    /// Shorthand for "--attest=type=sbom"
    #[arg(long, value_name = "string")]
    sbom: Option<String>,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "stringArray", value_parser = values::secret)]
    secret: Vec<values::Secret>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    shm_size: Option<i64>,
    /// SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")
    #[arg(long, value_name = "stringArray", value_parser = values::agent)]
    ssh: Vec<values::Agent>,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "stringArray")]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = kinds::ulimit)]
    ulimit: Vec<Ulimit>,
    /// A directory, the address of a git repository or an archive, or - for a Dockerfile or an archive on STDIN
    #[arg(value_name = "PATH | URL | -", required = true)]
    context: String,
}

impl Args {
    /// What is asked instead of building.
    pub(super) fn call(&self) -> Option<Question> {
        match (self.check, &self.call) {
            (true, _) => Some(Question::check()),
            (false, Call(question)) => question.clone(),
        }
    }

    /// What is to be built, here or elsewhere; `variable` is the caller's environment, `proxies` are variables that a build has unless they
    /// are given. A build argument without a value has that of the environment, and is left out if there is none.
    ///
    /// # Errors
    /// A secret or an agent that the environment does not have; outputs that do not go together.
    pub(super) fn options(
        self,
        variable: impl Fn(&str) -> Option<String>,
        proxies: Vec<(String, String)>,
        elsewhere: bool,
        stdout_is_terminal: bool,
    ) -> Result<Options, String> {
        let split =
            |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut build_args: Vec<(String, String)> = self
            .build_arg
            .iter()
            .filter_map(|text| split(text).or_else(|| Some((text.clone(), variable(text)?))))
            .collect();
        let has = |all: &[(String, String)], name: &str| {
            all.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
        };
        if let Some(time) = variable(env::SOURCE_DATE_EPOCH).filter(|time| !time.is_empty())
            && !has(&build_args, env::SOURCE_DATE_EPOCH)
        {
            build_args.push((env::SOURCE_DATE_EPOCH.to_owned(), time));
        }
        let proxies: Vec<_> = proxies.into_iter().filter(|(name, _)| !has(&build_args, name)).collect();
        build_args.extend(proxies);
        let labels =
            self.label.iter().map(|text| split(text).unwrap_or_else(|| (text.clone(), String::new())));
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let platforms = match self.platform.is_empty() {
            true => given(variable(env::DOCKER_DEFAULT_PLATFORM)).into_iter().collect(),
            false => self.platform,
        };
        let secrets = self.secret.into_iter().map(|secret| secret.found(&variable));
        let agents = self.ssh.into_iter().map(|agent| agent.found(&variable));
        let outputs = self.output.iter().filter(|text| !text.is_empty());
        let outputs = outputs.map(|text| outputs::output(text)).collect::<Result<_, _>>()?;
        let outputs = outputs::all(outputs, self.push, self.load, elsewhere, stdout_is_terminal)?;
        let archives = |kind: &OutputKind| matches!(kind, OutputKind::Tar(_) | OutputKind::Directory(_));
        if self.iidfile.is_some() && outputs.iter().any(|output| archives(&output.kind)) {
            return Err("local and tar exporters are incompatible with image ID file".to_owned());
        }
        let mut attestations = self.attest;
        for (kind, text) in [("provenance", self.provenance), ("sbom", self.sbom)] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                attestations.push(outputs::short(kind, &text)?);
            }
        }
        let filled = |cache| outputs::filled(cache, &variable);
        Ok(Options {
            attestations,
            cache_from: self.cache_from.into_iter().flat_map(|all| all.0).map(&filled).collect(),
            cache_to: self.cache_to.into_iter().flat_map(|all| all.0).map(&filled).collect(),
            outputs,
            secrets: secrets.collect::<Result<_, _>>()?,
            agents: agents.collect::<Result<_, _>>()?,
            build_args,
            labels: labels.collect(),
            annotations: self.annotation.into_iter().flat_map(|all| all.0).collect::<Vec<Annotation>>(),
            platforms: values::platforms(&platforms),
            context: self.context,
            contexts: self.build_context,
            file: given(self.file),
            tags: self.tag.into_iter().filter(|tag| !tag.is_empty()).collect(),
            target: given(self.target),
            no_cache: self.no_cache,
            no_cache_filter: self.no_cache_filter.into_iter().filter(|stage| !stage.is_empty()).collect(),
            pull: self.pull,
            network: self.network,
            hosts: self.add_host,
            shm_size: self.shm_size.filter(|bytes| *bytes > 0),
            ulimits: self.ulimit,
            cgroup_parent: given(self.cgroup_parent),
            entitlements: self.allow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{Agent, Cache, Output, Secret, Source};
    use crate::cli::command::parse_as;

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    fn options(line: &str, proxies: &[(String, String)]) -> Options {
        let variable = |name: &str| match name {
            "SET" => Some("from outside".to_owned()),
            "SOURCE_DATE_EPOCH" => Some("7".to_owned()),
            "DOCKER_DEFAULT_PLATFORM" => Some("linux/riscv64".to_owned()),
            _ => None,
        };
        parse_as::<Args>(line).unwrap().options(variable, proxies.to_vec(), false, false).unwrap()
    }

    #[test]
    fn flags() {
        let line = "-t a -t b:1 --build-arg A=1=2 --build-arg SET --build-arg UNSET --label l --label m=n \
                    --no-cache --pull --target t -f x/y --platform linux/amd64,linux/arm64 --platform linux/amd64 \
                    --network none --add-host h:1.2.3.4 --shm-size 64k --ulimit nofile=1:2 --no-cache-filter s \
                    --build-context n=d --cgroup-parent p --allow network.host --annotation index:k=v --rm \
                    --secret id=a,src=/f --secret id=SET --ssh other=/s -o out --push --cache-from c --cache-to type=inline \
                    --provenance mode=max --sbom false --force-rm=false --compress dir";
        let annotation = Annotation {
            place: Some("index".to_owned()),
            platform: None,
            key: "k".to_owned(),
            value: "v".to_owned(),
        };
        let expected = Options {
            context: "dir".into(),
            file: Some("x/y".into()),
            contexts: vec![pair("n", "d")],
            tags: vec!["a".into(), "b:1".into()],
            build_args: vec![pair("A", "1=2"), pair("SET", "from outside"), pair("SOURCE_DATE_EPOCH", "7")],
            labels: vec![pair("l", ""), pair("m", "n")],
            annotations: vec![annotation],
            platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
            target: Some("t".into()),
            no_cache: true,
            no_cache_filter: vec!["s".into()],
            pull: true,
            network: Network::None,
            hosts: vec![("h".into(), "1.2.3.4".parse().unwrap())],
            shm_size: Some(65536),
            ulimits: vec![Ulimit { name: "nofile".into(), soft: 1, hard: 2 }],
            cgroup_parent: Some("p".into()),
            secrets: vec![
                Secret { id: "a".into(), source: Source::File("/f".into()) },
                Secret { id: "SET".into(), source: Source::Value(b"from outside".to_vec()) },
            ],
            agents: vec![Agent { id: "other".into(), paths: vec!["/s".into()] }],
            attestations: vec![("provenance".into(), Some("mode=max".into())), ("sbom".into(), None)],
            cache_from: vec![Cache { kind: "registry".into(), attributes: vec![pair("ref", "c")] }],
            cache_to: vec![Cache { kind: "inline".into(), attributes: vec![] }],
            outputs: vec![
                Output { kind: OutputKind::Directory("out".into()), attributes: vec![] },
                Output { attributes: vec![pair("push", "true")], ..Output::image() },
            ],
            entitlements: vec!["network.host".into()],
        };
        assert_eq!(options(line, &[]), expected);
    }

    #[test]
    fn what_comes_from_outside_gives_way() {
        let proxies = [pair("HTTP_PROXY", "p"), pair("http_proxy", "p"), pair("no_proxy", "n")];
        let given = options("--build-arg Http_Proxy=q --build-arg SOURCE_DATE_EPOCH=1 .", &proxies);
        let expected = [pair("Http_Proxy", "q"), pair("SOURCE_DATE_EPOCH", "1"), pair("no_proxy", "n")];
        assert_eq!(given.build_args, expected);
        assert_eq!(given.platforms, ["linux/riscv64"]);
    }

    #[test]
    fn mistakes() {
        for (line, part) in [
            ("", "requires 1 argument"),
            ("--no-such x .", "unknown flag: --no-such"),
            ("--progress x .", "auto, none, plain, quiet, rawjson, tty"),
            ("--network x .", "network mode \"x\" not supported by buildkit"),
            ("--allow x .", "unknown entitlement"),
            ("--add-host x .", "invalid host x"),
            ("--annotation x .", "expected key=value"),
            ("--build-context x .", "expected key=value"),
            ("--secret x .", "invalid field 'x' must be a key=value pair"),
            ("--secret src=x .", "id is missing"),
            ("--ssh =x .", "id is missing"),
            ("--shm-size x .", "invalid size: 'x'"),
            ("--ulimit x .", "invalid ulimit argument: x"),
        ] {
            let error = parse_as::<Args>(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
