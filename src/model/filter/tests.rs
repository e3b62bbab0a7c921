use super::*;
use crate::model::container::{ContainerState, ContainerSummary, Health, Mount, MountKind, Status};
use crate::model::event::Event;
use crate::model::id::ContainerId;
use crate::model::image::ImageSummary;
use crate::model::port::{self, Published};
use crate::model::volume::{Volume, VolumeSummary};
use jiff::Timestamp;

fn raw(text: &str) -> RawFilters {
    let mut all = RawFilters::new();
    for (key, value) in text.split_whitespace().filter_map(|pair| pair.split_once('=')) {
        all.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    all
}

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn container() -> ContainerSummary {
    ContainerSummary {
        id: ContainerId::from_bytes([0xab; 32]),
        names: vec!["web".into()],
        image: "alpine".into(),
        image_id: "sha256:1".into(),
        command: String::new(),
        created: Timestamp::UNIX_EPOCH,
        state: ContainerState {
            status: Status::Exited,
            pid: 0,
            exit_code: 3,
            error: String::new(),
            oom_killed: false,
            started_at: None,
            finished_at: None,
            attempt: 0,
            restart_count: 0,
            health: Some(Health::Healthy),
        },
        labels: labels("a=1 b="),
        mounts: vec![Mount::new(MountKind::Volume { name: "vol".into(), no_copy: false }, "/v")],
        network: "one,two".into(),
        ports: port::shown(
            &["80/tcp".into(), "53/udp".into()],
            &[Published { port: "80/tcp".parse().unwrap(), ip: [0, 0, 0, 0].into(), host: 8080 }],
        ),
        size: None,
        foreign: false,
    }
}

#[test]
fn labels_are_one_filter() {
    for (filter, expected) in [
        ("", true),
        ("label=a", true),
        ("label=a=1", true),
        ("label=a=2", false),
        ("label=a label=b", true),
        ("label=a label=c", false),
        ("label!=a", false),
        ("label!=c", true),
    ] {
        let mut wanted = LabelFilter::default();
        for (key, values) in raw(filter) {
            for value in &values {
                if key == "label!" { wanted.add_unwanted(value) } else { wanted.add(value) }
            }
        }
        assert_eq!(wanted.matches(&labels("a=1 b=")), expected, "{filter}");
    }
}

#[test]
fn names_parts_and_expressions() {
    let cases: [(&[&str], &str, bool); 8] = [
        (&["cache"], "cache", true),
        (&["ach"], "cache", true),
        (&["^ach"], "cache", false),
        (&["^c.*e$"], "cache", true),
        (&["x", "c(a|b)che"], "cache", true),
        (&["a("], "a(", true),
        (&["a("], "aa(", false),
        // Nothing is asked for.
        (&[], "cache", true),
    ];
    for (values, name, expected) in cases {
        let mut wanted = NameFilter::default();
        values.iter().for_each(|value| wanted.add((*value).to_owned()));
        assert_eq!(wanted.matches(name), expected, "{values:?} {name}");
    }
}

#[test]
fn containers() {
    for (filter, expected) in [
        ("", true),
        ("id=abab", true),
        ("id=^ba", false),
        ("id=^ab.*ab$", true),
        ("name=we", true),
        ("name=^/web$", true),
        ("name=^web$ name=x", true),
        ("name=x", false),
        // What is no expression is only a name.
        ("name=[", false),
        ("label=a label=b", true),
        ("label=a=2", false),
        ("status=exited status=running", true),
        ("status=running", false),
        ("exited=3", true),
        ("exited=4", false),
        ("health=healthy", true),
        ("health=none", false),
        ("network=one", true),
        ("network=two", true),
        ("network=one,two", false),
        ("network=tw", false),
        ("volume=vol", true),
        ("volume=/v", true),
        ("volume=/", false),
        ("publish=8080", true),
        ("publish=8000-9000/tcp", true),
        ("publish=80", false),
        ("publish=8080/udp", false),
        ("expose=80", true),
        ("expose=50-60/udp", true),
        ("expose=8080", false),
        ("ancestor=x", true),
        ("name=web status=running", false),
    ] {
        let wanted = ContainerFilter::parse(raw(filter)).unwrap();
        let images = ["docker.io/library/alpine:latest".to_owned()];
        assert_eq!(wanted.matches(&container(), &images), expected, "{filter}");
    }
    let wanted = ContainerFilter::parse(raw("ancestor=x")).unwrap();
    assert!(!wanted.matches(&container(), &["sha256:2".to_owned()]));
    assert!(wanted.matches(&container(), &["sha256:1".to_owned()]));
}

#[test]
fn states_that_are_asked_for() {
    let any_state = |text: &str| ContainerFilter::parse(raw(text)).unwrap().any_state();
    assert!(["status=created", "exited=0", "before=x", "since=x"].into_iter().all(any_state));
    assert!(!any_state("name=x label=y"));
}

#[test]
fn what_is_wrong_is_said_in_dockers_words() {
    let container = |text: &str| ContainerFilter::parse(raw(text)).err().map(|e| e.to_string());
    let volume = |text: &str| VolumeFilter::parse(raw(text)).err().map(|e| e.to_string());
    let image = |text: &str| ImageFilter::parse(raw(text)).err().map(|e| e.to_string());
    let prune = |text: &str| PruneFilter::containers(raw(text)).err().map(|e| e.to_string());
    let cases = [
        (container("what=1"), "invalid filter 'what'"),
        (container("exited=x"), "invalid filter 'exited=x'"),
        (
            container("status=foo"),
            "invalid filter 'status=foo': must be one of 'created', 'restarting', 'running', 'removing', 'paused', \
             'exited', or 'dead'",
        ),
        (container("health=foo"), "unrecognized filter value for health: foo"),
        (volume("dangling=2"), "invalid filter 'dangling=2'"),
        (volume("what=1"), "invalid filter 'what'"),
        (image("dangling=2"), "invalid filter 'dangling=[2]'"),
        (image("what=1"), "invalid filter 'what'"),
        (prune("until=soon"), "invalid filter 'until=soon'"),
        (prune("all=1"), "invalid filter 'all'"),
        (prune("dangling=1"), "invalid filter 'dangling'"),
    ];
    for (got, expected) in cases {
        assert_eq!(got.as_deref(), Some(expected));
    }
    assert_eq!(PruneFilter::volumes(raw("until=2026-01-01T00:00:00Z")), Err(InvalidFilter::key("until")));
    assert_eq!(PruneFilter::volumes(raw("all=2")), Err(InvalidFilter::value("all", "2")));
}

#[test]
fn volumes() {
    let noun = Volume {
        name: "data-1".into(),
        created: Timestamp::UNIX_EPOCH,
        labels: labels("a=1"),
        anonymous: false,
    };
    let row = VolumeSummary { volume: noun, mountpoint: String::new(), size: None, containers: 1 };
    for (filter, expected) in [
        ("name=ata", true),
        ("name=^data-[0-9]$", true),
        ("name=^ata", false),
        ("label=a", true),
        ("driver=local", true),
        ("driver=nfs", false),
        ("dangling=false", true),
        ("dangling=1", false),
        ("dangling=0 dangling=1", true),
    ] {
        assert_eq!(VolumeFilter::parse(raw(filter)).unwrap().matches(&row), expected, "{filter}");
    }
}

#[test]
fn images() {
    let row = || ImageSummary {
        id: "sha256:1".into(),
        repo_tags: vec!["my/app:1".into(), "other:2".into()],
        repo_digests: Vec::new(),
        created: None,
        size: 0,
        labels: labels("a=1"),
        containers: 0,
        config_digest: String::new(),
        content_size: 0,
        manifests: Vec::new(),
    };
    for (filter, expected) in [
        ("reference=my/app", true),
        ("reference=my/*", true),
        ("reference=my/app:2", false),
        ("reference=*", true),
        ("dangling=false", true),
        ("dangling=true", false),
        ("label=a=1", true),
    ] {
        assert_eq!(ImageFilter::parse(raw(filter)).unwrap().matches(&row()), expected, "{filter}");
    }
    let mut narrowed = row();
    ImageFilter::parse(raw("reference=my/*")).unwrap().narrow(&mut narrowed);
    assert_eq!(narrowed.repo_tags, ["my/app:1"]);
}

#[test]
fn pruning() {
    let wanted = PruneFilter::containers(raw("label=a=1 until=2026-01-01T00:00:00Z")).unwrap();
    assert!(wanted.matches(&labels("a=1"), Some(Timestamp::UNIX_EPOCH)));
    assert!(!wanted.matches(&labels("a=1"), Some(Timestamp::MAX)));
    assert!(!wanted.matches(&labels("a=1"), None));
    assert!(!wanted.matches(&labels(""), Some(Timestamp::UNIX_EPOCH)));
    assert!(!PruneFilter::containers(raw("label!=a")).unwrap().matches(&labels("a=1"), None));
    assert!(PruneFilter::volumes(raw("all=1")).unwrap().all);
    assert_eq!(PruneFilter::images(raw("dangling=0")).unwrap().dangling, Some(false));
}

#[test]
fn events() {
    let event = Event {
        sequence: 1,
        time: Timestamp::UNIX_EPOCH,
        kind: "container".into(),
        action: "health_status: healthy".into(),
        actor: "abc".into(),
        attributes: labels("name=web image=alpine x=1"),
    };
    for (filter, expected) in [
        ("", true),
        ("type=container", true),
        ("type=image", false),
        ("event=health_status", true),
        ("event=health", false),
        ("container=ab", true),
        ("container=web", true),
        ("volume=web", false),
        ("image=alpine:latest", true),
        ("image=other", false),
        ("label=x=1", true),
        ("label=y", false),
        ("scope=local", true),
        ("scope=swarm", false),
        ("network=x", false),
        ("what=1", true),
    ] {
        assert_eq!(EventMatch::parse(raw(filter)).matches(&event), expected, "{filter}");
    }
}
