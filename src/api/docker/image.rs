//! The document of an image.

use super::health::HealthConfig;
use super::schema::document;
use super::{Empty, GraphDriver, set, time};
use crate::model::image::{self, ImageDetail};
use std::collections::BTreeMap;

document! {
    /// One image, and what only we know of it (`ConfigDigest`).
    Image is "image.InspectResponse" {
        id: String = "Id" / "ID";
        repo_tags: Vec<String> = "RepoTags";
        repo_digests: Vec<String> = "RepoDigests";
        parent: String = "Parent", omit;
        comment: String = "Comment";
        created: String = "Created", omit;
        docker_version: String = "DockerVersion", omit;
        author: String = "Author";
        config: Option<ImageConfig> = "Config";
        architecture: String = "Architecture";
        variant: String = "Variant", omit;
        os: String = "Os";
        os_version: String = "OsVersion", omit;
        size: i64 = "Size";
        virtual_size: i64 = "VirtualSize", omit;
        graph_driver: GraphDriver = "GraphDriver";
        root_fs: RootFs = "RootFS";
        metadata: Metadata = "Metadata";
        descriptor: Option<Descriptor> = "Descriptor", omit;
        manifests: Vec<serde_json::Value> = "Manifests", omit;
        config_digest: String = "ConfigDigest";
    }
}

document! {
    /// Program of an image's containers and its surroundings.
    ImageConfig is "v1.DockerOCIImageConfig" {
        user: String = "User", omit;
        exposed_ports: BTreeMap<String, Empty> = "ExposedPorts", omit;
        env: Vec<String> = "Env", omit;
        entrypoint: Vec<String> = "Entrypoint", omit;
        cmd: Vec<String> = "Cmd", omit;
        volumes: BTreeMap<String, Empty> = "Volumes", omit;
        working_dir: String = "WorkingDir", omit;
        labels: BTreeMap<String, String> = "Labels", omit;
        stop_signal: String = "StopSignal", omit;
        args_escaped: bool = "ArgsEscaped", omit;
        healthcheck: Option<HealthConfig> = "Healthcheck", omit;
        on_build: Vec<String> = "OnBuild", omit;
        shell: Vec<String> = "Shell", omit;
    }
}

document! {
    /// Layers, bottom first.
    RootFs is "image.RootFS" {
        kind: String = "Type", omit;
        layers: Vec<String> = "Layers", omit;
    }
}

document! {
    /// Facts of an image that are not in its content.
    Metadata is "image.Metadata" {
        last_tag_time: String = "LastTagTime", omit;
    }
}

document! {
    /// The manifest or index that an image's ID names.
    Descriptor is "v1.Descriptor" {
        media_type: String = "mediaType" / "MediaType";
        digest: String = "digest" / "Digest";
        size: i64 = "size" / "Size";
        urls: Vec<String> = "urls" / "URLs", omit;
        annotations: BTreeMap<String, String> = "annotations" / "Annotations", omit;
        data: String = "data" / "Data", omit;
        platform: Option<Platform> = "platform" / "Platform", omit;
        artifact_type: String = "artifactType" / "ArtifactType", omit;
    }
}

document! {
    /// Operating system and architecture of an image.
    Platform is "v1.Platform" {
        architecture: String = "architecture" / "Architecture";
        os: String = "os" / "OS";
        os_version: String = "os.version" / "OSVersion", omit;
        os_features: Vec<String> = "os.features" / "OSFeatures", omit;
        variant: String = "variant" / "Variant", omit;
    }
}

impl From<ImageDetail> for Image {
    fn from(detail: ImageDetail) -> Self {
        Self {
            id: detail.id.clone(),
            repo_tags: detail.tags,
            repo_digests: detail.digests,
            comment: detail.comment,
            created: detail.created,
            author: detail.author,
            config: Some(detail.config.into()),
            architecture: detail.architecture,
            variant: detail.variant,
            os: detail.os,
            size: detail.size,
            graph_driver: GraphDriver { name: detail.driver, ..GraphDriver::default() },
            root_fs: RootFs { kind: "layers".to_owned(), layers: detail.layers },
            metadata: Metadata { last_tag_time: time(Some(detail.tagged)) },
            descriptor: Some(Descriptor {
                media_type: detail.media_type,
                digest: detail.id,
                size: detail.descriptor_size,
                ..Descriptor::default()
            }),
            config_digest: detail.config_digest,
            ..Self::default()
        }
    }
}

impl From<image::ImageConfig> for ImageConfig {
    fn from(config: image::ImageConfig) -> Self {
        Self {
            user: config.user,
            exposed_ports: set(&config.exposed),
            env: config.env,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            volumes: set(&config.volumes),
            working_dir: config.working_dir,
            labels: config.labels,
            stop_signal: config.stop_signal,
            args_escaped: config.args_escaped,
            healthcheck: config.health.map(Into::into),
            on_build: config.on_build,
            shell: config.shell,
        }
    }
}
