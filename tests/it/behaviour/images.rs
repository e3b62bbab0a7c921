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
    ("k3c load --platform linux/s390x -i all.tar", 1, &["cannot load for linux/s390x: only linux/"]),
    ("k3c load -q -i all.tar --platform linux", 0, &["=Loaded image: saved:1\nLoaded image: saved:2"]),
    ("cat all.tar | xz -0 | k3c image load -q", 0, &["=Loaded image: saved:1\nLoaded image: saved:2"]),
    ("k3c rmi saved:1 saved:2", 0, &["Untagged: saved:1"]),
];
