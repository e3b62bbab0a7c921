//! Images: archives, lists, and what removes them.

use super::Line;

pub(super) const ARCHIVES: &[Line] = &[
    ("k3c tag $DEMO saved:1; k3c tag $DEMO saved:2", 0, &["="]),
    (
        "script -qec 'k3c save saved:1' /dev/null",
        1,
        &["cowardly refusing to save to a terminal. Use the -o flag"],
    ),
    ("k3c save saved:1 no.local/no", 1, &["Error response from daemon: No such image: no.local/no:latest"]),
    (
        "k3c save -o no/such saved",
        1,
        &["failed to save image: invalid output path: directory \"no\" does not exist"],
    ),
    (
        "k3c save -o /dev/null saved",
        1,
        &["\"/dev/null\" must be a directory or a regular file: got a device"],
    ),
    ("k3c save -o . saved", 1, &["\".\" is a directory"]),
    (
        "k3c save --platform linux/s390x saved:1",
        1,
        &["does not provide the specified platform (linux/s390x)"],
    ),
    ("k3c save --platform what/x saved:1", 1, &["invalid platform \"what/x\""]),
    ("k3c save", 1, &["'k3c save' requires at least 1 argument"]),
    (
        "k3c save saved > all.tar; tar -tf all.tar | grep -v sha256/ | xargs",
        0,
        &["=blobs/ index.json manifest.json oci-layout"],
    ),
    ("tar -xOf all.tar manifest.json", 0, &["\"RepoTags\":[\"saved:1\",\"saved:2\"]"]),
    (
        "k3c image save -o one.tar saved:1 && tar -xOf one.tar manifest.json",
        0,
        &["\"RepoTags\":[\"saved:1\"]"],
    ),
    ("k3c save $(k3c images -q saved:1) | tar -xO manifest.json", 0, &["\"RepoTags\":null"]),
    (
        "rm -f pipe; mkfifo pipe; cat pipe > piped & k3c save -o pipe saved && wait && cmp piped all.tar",
        0,
        &["="],
    ),
    ("k3c load -i no.tar", 1, &["open no.tar: no such file or directory"]),
    ("k3c load < /dev/null", 1, &["invalid archive: it has neither oci-layout nor manifest.json"]),
    ("echo text | k3c load", 1, &["invalid archive: it is cut off"]),
    ("script -qec 'k3c load' /dev/null", 1, &["requested load from stdin, but stdin is empty"]),
    ("k3c load --platform linux/s390x -i all.tar", 1, &["the archive has no image for linux/s390x"]),
    ("k3c load -q -i all.tar --platform linux", 0, &["=Loaded image: saved:1\nLoaded image: saved:2"]),
    ("cat all.tar | xz -0 | k3c image load -q", 0, &["=Loaded image: saved:1\nLoaded image: saved:2"]),
    ("k3c rmi saved:1 saved:2", 0, &["Untagged: saved:1"]),
];

pub(super) const HISTORY_AND_IMPORT: &[Line] = &[
    ("mkdir -p rootfs/d && echo imported > rootfs/d/f && tar -C rootfs -cf rootfs.tar .", 0, &["="]),
    ("k3c import rootfs.tar imported:1", 0, &["sha256:"]),
    ("xz -0 < rootfs.tar | k3c import -m why -c 'CMD [\"/d/f\"]' -c 'ENV A=1' - imported:2", 0, &["sha256:"]),
    (
        "k3c image inspect -f '{{.Config.Cmd}} {{.Config.Env}} {{.Comment}}' imported:2",
        0,
        &["=[/d/f] [A=1] why"],
    ),
    ("k3c image inspect -f '{{.Comment}}' imported:1", 0, &["=Imported from -"]),
    ("k3c create --name of-imported imported:2 && k3c cp of-imported:/d/f - | tar -xO", 0, &["imported"]),
    ("k3c rm of-imported", 0, &["of-imported"]),
    ("k3c history imported:2", 0, &["IMAGE          CREATED", "CREATED BY", " why"]),
    ("k3c history -q imported:2 | wc -c", 0, &["=13"]),
    ("k3c history -H=false --format '{{.Size}}' $DEMO | grep -c '^[0-9]*$'", 0, &["=1"]),
    ("k3c history --no-trunc -q imported:2 | cut -c -7", 0, &["=sha256:"]),
    (
        "k3c history --platform linux/s390x imported:2",
        1,
        &["does not provide the specified platform (linux/s390x)"],
    ),
    ("k3c history no.local/no", 1, &["No such image: no.local/no:latest"]),
    ("k3c history --format '{{.Nothing}}' imported:2", 1, &["Nothing"]),
    (
        "k3c import --platform linux/arm64 rootfs.tar && k3c import --platform windows rootfs.tar",
        1,
        &["cannot import for windows/"],
    ),
    ("k3c image prune -f", 0, &["deleted: sha256:"]),
    ("k3c import no.tar", 1, &["open no.tar: no such file or directory"]),
    (
        "python3 -um http.server -b 127.0.0.1 0 > served 2>&1 & server=$!; trap 'kill $server' EXIT; \
            until grep -q http: served; do sleep 0.1; done; \
            url=$(grep -o 'http://127[0-9.:]*' served); k3c import $url/rootfs.tar web:1 2> said && \
            grep -q \"Downloading from $url/rootfs.tar\" said && k3c rmi web:1; k3c import $url/no.tar",
        1,
        &["sha256:", "Untagged: web:1", "no.tar: the server answers 404 Not Found"],
    ),
    ("k3c import http://127.0.0.1:1/x", 1, &["cannot fetch http://127.0.0.1:1/x: "]),
    ("k3c import http://:x/", 1, &["cannot fetch http://:x/: "]),
    ("k3c import - < /dev/null", 1, &["invalid archive: it is empty"]),
    ("echo text | k3c import -", 1, &["invalid archive: it is no tar archive"]),
    ("head -c 700 rootfs.tar | k3c import -", 1, &["invalid archive: it is no tar archive, or is cut off"]),
    ("k3c import -c 'RUN x' rootfs.tar", 1, &["RUN is not a valid change command"]),
    ("k3c import rootfs.tar UPPER", 1, &["must be lowercase"]),
    ("k3c manifest inspect $(k3c images -q imported:1)", 0, &["\"schemaVersion\": 2", "\"layers\": ["]),
    (
        "k3c manifest inspect -v $(k3c images -q --no-trunc imported:1)",
        0,
        &["\"Ref\": \"sha256:", "\"OCIManifest\": {"],
    ),
    ("k3c manifest inspect $DEMO", 0, &["\"schemaVersion\": 2"]),
    ("k3c manifest inspect k3c.local/no", 1, &["No such image: k3c.local/no:latest"]),
    ("k3c manifest inspect localhost:1/no", 1, &["cannot reach the registry localhost:1: "]),
    ("k3c search busybox", 1, &["k3c cannot search for \"busybox\": registries have no search in common"]),
    ("k3c rmi imported:1 imported:2", 0, &["Untagged: imported:1"]),
];

pub(super) const LISTS_AND_SIZES: &[Line] = &[
    ("k3c tag $DEMO listed:1; k3c create --name changed $DEMO && echo x > x && k3c cp x changed:/x", 0, &[]),
    ("k3c commit -c 'LABEL n=1' changed listed:2 && k3c rm changed", 0, &["sha256:", "changed"]),
    ("k3c images -q --filter label=n=1 | wc -l", 0, &["=1"]),
    ("k3c images --filter reference='list*:2' --format '{{.Repository}}:{{.Tag}}'", 0, &["=listed:2"]),
    ("k3c images --filter before=listed:2 --format '{{.Repository}}:{{.Tag}}' listed", 0, &["=listed:1"]),
    ("k3c images --filter since=listed:1 --format '{{.Repository}}:{{.Tag}}' listed", 0, &["=listed:2"]),
    ("k3c images --filter until=1h --format '{{.Repository}}:{{.Tag}}' listed", 0, &["=listed:1"]),
    ("k3c images --filter until=never", 1, &["failed to parse value as time or duration: \"never\""]),
    ("k3c images --filter what=1", 1, &["invalid filter 'what'"]),
    ("k3c images --filter before=no.local/no", 1, &["No such image: no.local/no"]),
    // The layer below is both images', so that nobody has it alone.
    ("k3c system df -v | grep ^REPOSITORY", 0, &["SIZE", "SHARED SIZE   UNIQUE SIZE   CONTAINERS"]),
    ("k3c system df -v | grep ^listed | awk '{print $(NF-2) == \"0B\"}' | sort -u", 0, &["=0"]),
    // With one of them in use, the layer below is not to be reclaimed, and only the other's own layer is.
    ("k3c create --name in-use listed:1", 0, &[]),
    ("k3c system df --format '{{.Type}} {{.Reclaimable}}' | grep -c '^Images 0B'", 1, &["=0"]),
    (
        "test $(k3c system df --format '{{.Reclaimable}}' | head -1 | cut -d'(' -f2 | cut -d% -f1) -lt 50",
        0,
        &["="],
    ),
    ("k3c rm in-use", 0, &["in-use"]),
    ("k3c images --tree listed | head -1", 0, &["IMAGE", "ID             DISK USAGE   CONTENT SIZE   EXTRA"]),
    ("k3c images --tree listed | grep -c '─ linux/'", 0, &["=2"]),
    ("k3c images --tree -q", 1, &["--quiet is not yet supported with --tree"]),
    ("k3c images --tree --digests", 1, &["--show-digests is not yet supported with --tree"]),
    (
        "k3c rmi --platform linux/s390x listed:1",
        1,
        &["does not provide the specified platform (linux/s390x)"],
    ),
    ("k3c rmi --platform what/x listed:1", 1, &["invalid platform \"what/x\""]),
    ("k3c rmi listed", 1, &["No such image: listed:latest"]),
    ("k3c rmi -f listed; echo $?", 0, &["No such image: listed:latest", "0"]),
    (
        "k3c create --name user listed:2 && k3c rmi listed:2",
        1,
        &["conflict: unable to delete listed:2 (must be forced) - image is being used by stopped container"],
    ),
    ("k3c start user >/dev/null; k3c rm -f user", 0, &["user"]),
    ("k3c rmi listed:1 listed:2", 0, &["Untagged: listed:1", "Untagged: listed:2", "Deleted: sha256:"]),
];
