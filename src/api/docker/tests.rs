use super::schema::{Shape, Struct, Typed};
use super::*;
use crate::model::container::{
    ContainerDetail, ContainerFiles, ContainerSpec, ContainerState, Health, HealthLog, Healthcheck, Mount,
    MountKind, MountPoint, Resolved, Status,
};
use crate::model::id::ContainerId;
use crate::model::image::ImageDetail;
use crate::model::port::{Publish, Published};
use crate::model::volume::{Volume as VolumeNoun, VolumeSummary};
use serde_json::{Value, json};

fn detail() -> ContainerDetail {
    ContainerDetail {
        id: ContainerId::from_bytes([0xab; 32]),
        name: "web".into(),
        created: Timestamp::UNIX_EPOCH,
        spec: ContainerSpec { image: "alpine".into(), ..ContainerSpec::default() },
        resolved: Resolved::default(),
        state: ContainerState {
            status: Status::Created,
            pid: 0,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: None,
            finished_at: None,
            attempt: 0,
            restart_count: 0,
            health: None,
        },
        health: HealthLog::default(),
        sizes: None,
        mounts: Vec::new(),
        execs: Vec::new(),
        files: ContainerFiles::default(),
        published: Vec::new(),
        endpoints: Vec::new(),
        namespace: String::new(),
        masked_paths: Vec::new(),
        readonly_paths: Vec::new(),
        driver: "overlayfs".into(),
        runtime: "runc".into(),
        pod: "p".into(),
        container: "c".into(),
        foreign: false,
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn what_docker_omits_is_omitted() {
    let plain = value(&Container::from(detail()));
    let absent = [
        ("/State", "Health"),
        ("", "SizeRw"),
        ("", "SizeRootFs"),
        ("", "ImageManifestDescriptor"),
        ("", "Foreign"),
        ("/Config", "ExposedPorts"),
        ("/Config", "Healthcheck"),
        ("/Config", "StopTimeout"),
        ("/Config", "Shell"),
        ("/HostConfig", "Mounts"),
        ("/HostConfig", "StorageOpt"),
        ("/HostConfig", "Init"),
        ("/HostConfig", "Annotations"),
    ];
    for (part, key) in absent {
        assert!(plain.pointer(part).is_some_and(|part| part.get(key).is_none()), "{part}/{key}");
    }
    assert_eq!(keys(&plain)[..4], ["Id", "Created", "Path", "Args"]);
    for (pointer, expected) in [
        ("/HostConfig/Binds", Value::Null),
        ("/HostConfig/CapAdd", Value::Null),
        ("/HostConfig/PidsLimit", Value::Null),
        ("/HostConfig/Dns", json!([])),
        ("/HostConfig/ShmSize", json!(64 << 20)),
        ("/Config/Entrypoint", Value::Null),
        ("/Config/Volumes", Value::Null),
        ("/State/StartedAt", json!("0001-01-01T00:00:00Z")),
        ("/GraphDriver", json!({"Data": null, "Name": "overlayfs"})),
    ] {
        assert_eq!(plain.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn what_is_there_is_shown() {
    let mut full = detail();
    full.health = HealthLog { status: Some(Health::Starting), ..HealthLog::default() };
    full.resolved.health =
        Some(Healthcheck { test: vec!["CMD".into(), "up".into()], ..Healthcheck::default() });
    full.resolved.exposed = vec!["80/tcp".into()];
    full.state.status = Status::Running;
    full.resolved.exposed.push("53/udp".into());
    full.spec.publish = Publish::parse("127.0.0.1:8080:80").unwrap();
    full.published =
        vec![Published { port: "80/tcp".parse().unwrap(), ip: [127, 0, 0, 1].into(), host: 8080 }];
    full.spec.stop_timeout = Some(0);
    full.sizes = Some((0, 7));
    let named = Mount::new(MountKind::Volume { name: "v".into(), no_copy: false }, "/v");
    let anonymous = Mount::new(MountKind::Volume { name: "0a".into(), no_copy: false }, "/a");
    full.spec.mounts = vec![named.clone()];
    full.resolved.mounts = vec![named.clone(), anonymous];
    full.mounts = vec![MountPoint { mount: named, source: "/data/v".into() }];
    let document = value(&Container::from(full));
    for (pointer, expected) in [
        ("/State/Health", json!({"Status": "starting", "FailingStreak": 0, "Log": []})),
        ("/Config/Healthcheck", json!({"Test": ["CMD", "up"]})),
        ("/Config/ExposedPorts", json!({"80/tcp": {}, "53/udp": {}})),
        ("/Config/StopTimeout", json!(0)),
        ("/Config/Volumes", json!({"/a": {}})),
        ("/HostConfig/Binds", json!(["v:/v"])),
        (
            "/NetworkSettings/Ports",
            json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "53/udp": null}),
        ),
        ("/HostConfig/PortBindings", json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]})),
        ("/SizeRw", json!(0)),
        (
            "/Mounts/0",
            json!({"Type": "volume", "Name": "v", "Source": "/data/v", "Destination": "/v", "Driver": "local",
                   "Mode": "", "RW": true, "Propagation": ""}),
        ),
    ] {
        assert_eq!(document.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn no_checks_are_shown_as_such() {
    let mut unchecked = detail();
    unchecked.spec.health = Some(Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() });
    let document = value(&Container::from(unchecked));
    assert_eq!(document["Config"]["Healthcheck"], json!({"Test": ["NONE"]}));
    assert_eq!(document["State"].get("Health"), None);
}

#[test]
fn images_and_volumes() {
    let image = value(&Image::from(ImageDetail { id: "sha256:1".into(), ..ImageDetail::default() }));
    assert_eq!(image["Config"], json!({}));
    assert_eq!(image.get("Parent"), None);
    assert_eq!(image["Descriptor"]["digest"], "sha256:1");
    let noun = VolumeNoun {
        name: "v".into(),
        created: Timestamp::UNIX_EPOCH,
        labels: BTreeMap::new(),
        anonymous: true,
    };
    let row = VolumeSummary { volume: noun, mountpoint: "/m".into(), size: None, containers: 1 };
    assert_eq!(
        value(&Volume::from(row)),
        json!({"CreatedAt": "1970-01-01T00:00:00Z", "Driver": "local",
               "Labels": {"com.docker.volume.anonymous": ""}, "Mountpoint": "/m", "Name": "v", "Options": null,
               "Scope": "local"})
    );
}

/// Each key of a document is a field of its shape, and the other way round what the shape keeps is in the document.
#[test]
fn shapes_are_the_documents() {
    fn compare(document: &Value, shape: &Shape, at: &str) {
        match (shape, document) {
            (Shape::Struct(Struct { fields, .. }), Value::Object(map)) => {
                for (key, value) in map {
                    let field = fields.iter().find(|f| f.key == key).unwrap_or_else(|| panic!("{at}.{key}"));
                    compare(value, &field.shape, &format!("{at}.{key}"));
                }
            }
            (Shape::Pointer(shape), value) if !value.is_null() => compare(value, shape, at),
            (Shape::List(shape), Value::Array(items)) => {
                items.iter().for_each(|item| compare(item, shape, at));
            }
            (Shape::Map(shape), Value::Object(map)) => map.values().for_each(|v| compare(v, shape, at)),
            (Shape::Text, Value::String(_))
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::List(_) | Shape::Map(_) | Shape::Pointer(_), Value::Null)
            | (Shape::Any, _) => {}
            other => panic!("{at}: {other:?}"),
        }
    }
    compare(&value(&Container::from(detail())), &Container::SHAPE, "container");
    compare(&value(&Image::from(ImageDetail::default())), &Image::SHAPE, "image");
    compare(&value(&Info::from(crate::model::system::Info::default())), &Info::SHAPE, "info");
}

#[test]
fn fields_have_both_names() {
    let Shape::Struct(container) = Container::SHAPE else { panic!("a container is a struct") };
    let Some(Shape::Pointer(Shape::Struct(host))) = container.field("HostConfig").map(|f| f.shape) else {
        panic!("so is its HostConfig")
    };
    for (own, key) in [
        ("NanoCPUs", "NanoCpus"),
        ("CPUShares", "CpuShares"),
        ("CPUPeriod", "CpuPeriod"),
        ("CPUQuota", "CpuQuota"),
        ("CPURealtimePeriod", "CpuRealtimePeriod"),
        ("CPURealtimeRuntime", "CpuRealtimeRuntime"),
        ("CPUCount", "CpuCount"),
        ("CPUPercent", "CpuPercent"),
        ("DNS", "Dns"),
        ("DNSOptions", "DnsOptions"),
        ("DNSSearch", "DnsSearch"),
    ] {
        assert_eq!(host.field(own).map(|f| f.key), Some(key));
        assert_eq!(host.field(key), host.field(own));
    }
    assert_eq!(container.field("ID"), container.field("Id"));
    assert_eq!(host.field("Nope"), None);
}
