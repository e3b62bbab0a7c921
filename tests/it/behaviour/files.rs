//! Files go in and out of containers, and become images.

use super::Line;

pub(super) const FILES_IN_AND_OUT: &[Line] = &[
    ("mkdir -p cp/d/e cp/out; echo 1 > cp/d/f; ln -s f cp/d/l; chmod 750 cp/d/f", 0, &[]),
    ("k3c run -d --name box -v cpvol:/vol $DEMO sleep 100", 0, &[]),
    ("k3c cp cp/d box:/tmp", 0, &["!Successfully"]),
    ("k3c exec box ls -l /tmp/d; k3c exec box stat -c %a:%u /tmp/d/f | grep -x 750:$(id -u)", 0, &["l -> f"]),
    ("k3c cp cp/d/. box:/tmp/flat && k3c exec box cat /tmp/flat/f", 0, &["1"]),
    ("k3c cp cp/d/f box:/tmp/g && k3c exec box cat /tmp/g", 0, &["1"]),
    ("k3c cp cp/d/f box:/tmp/no/such/", 1, &["no such directory"]),
    ("k3c cp cp/d box:/tmp/g", 1, &["cannot copy directory"]),
    ("k3c cp cp/no box:/tmp", 1, &["lstat /", "cp/no: no such file or directory"]),
    ("k3c cp cp/d/f box:/vol/v && k3c exec box cat /vol/v", 0, &["1"]),
    ("k3c cp box:/tmp/d cp/out && cat cp/out/d/f && readlink cp/out/d/l", 0, &["1\nf"]),
    ("k3c cp box:/tmp/d/. cp/out2 && cat cp/out2/f", 0, &["1"]),
    ("k3c cp box:/tmp/d/l cp/link && readlink cp/link", 0, &["f"]),
    ("k3c cp -L box:/tmp/d/l cp/real && cat cp/real", 0, &["1"]),
    ("k3c cp box:/tmp/d - | tar t", 0, &["d/\n", "d/f"]),
    ("tar c -C cp/d f | k3c cp - box:/var && k3c exec box cat /var/f", 0, &["1"]),
    ("k3c cp box:/no-such cp/out", 1, &["Could not find the file /no-such in container box"]),
    ("k3c cp nobody:/x cp/out", 1, &["No such container: nobody"]),
    ("k3c cp box:/a box:/b", 1, &["copying between containers is not supported"]),
    ("k3c cp cp/d cp/e", 1, &["must specify at least one container source"]),
    // Archives with any compression that k3c knows; a program that is not here is left out.
    (
        "for z in gzip bzip2 xz zstd; do command -v $z > /dev/null || continue; \
         tar c -C cp/d f | $z | k3c cp - box:/usr && k3c exec box sh -c 'cat /usr/f && rm /usr/f'; done | uniq",
        0,
        &["=1"],
    ),
    ("tar c -C cp/d f | gzip | head -c 60 | k3c cp - box:/usr", 1, &["Error response from daemon"]),
    // Hard links, FIFOs and times come along both ways; a socket does not.
    (
        "mkdir cp/k; echo 1 > cp/k/a; ln cp/k/a cp/k/b; mkfifo cp/k/p; cp -a $XDG_RUNTIME_DIR/k3c/k3c.sock cp/k/s; \
         touch -d '2001-02-03 04:05:06.123456789 UTC' cp/k/a",
        0,
        &["="],
    ),
    ("k3c cp cp/k box:/tmp", 0, &["=WARNING: archive: skipping \"k/s\" since it is a socket"]),
    ("k3c exec box sh -c 'ls /tmp/k; stat -c %h /tmp/k/a; test -p /tmp/k/p'", 0, &["=a\nb\np\n2"]),
    (
        "k3c cp box:/tmp/k cp/back && TZ=UTC stat -c '%h %y' cp/back/a && test cp/back/a -ef cp/back/b && test -p cp/back/p",
        0,
        &["=2 2001-02-03 04:05:06.123456789 +0000"],
    ),
    ("k3c rm -f box", 0, &[]),
    // The mount that a path is on says whether it can be written.
    ("k3c run -d --name ro --read-only -v cpvol:/vol -v $PWD/cp/k:/k:ro $DEMO sleep 100", 0, &[]),
    ("k3c cp cp/d/f ro:/vol/w && k3c exec ro cat /vol/w", 0, &["=1"]),
    ("k3c cp cp/d/f ro:/w", 1, &["=Error response from daemon: container rootfs is marked read-only"]),
    ("k3c cp cp/d/f ro:/k/w", 1, &["=Error response from daemon: mounted volume is marked read-only"]),
    ("k3c cp ro:/k cp/out3", 0, &["=WARNING: archive: skipping \"out3/s\" since it is a socket"]),
    ("k3c rm -f ro", 0, &[]),
    // A container that has never run has its volumes, too.
    ("k3c create --name still -v cpvol:/vol $DEMO true && k3c cp still:/vol/v cp/v && cat cp/v", 0, &["1"]),
    ("k3c rm still && k3c volume rm cpvol && rm -r cp", 0, &[]),
];

/// A container's links lead nowhere but into the container.
pub(super) const NOTHING_ESCAPES: &[Line] = &[
    ("mkdir -p esc/out; echo secret > esc/secret; echo x > esc/x", 0, &[]),
    (
        "k3c run -d --name sly $DEMO sh -c \"ln -s / /root-link; ln -s $PWD/esc /here; ln -s ../../../../..$PWD/esc /up; \
         sleep 100\"",
        0,
        &[],
    ),
    ("sleep 1; k3c cp sly:/here/secret esc/out", 1, &["Could not find the file"]),
    ("k3c cp sly:/up/secret esc/out", 1, &["Could not find the file"]),
    ("k3c cp esc/x sly:/here/planted", 1, &[]),
    ("k3c cp esc/x sly:/root-link/planted && k3c exec sly cat /planted", 0, &["x"]),
    ("ls -A esc esc/out", 0, &["!planted"]),
    ("k3c rm -f sly && rm -r esc", 0, &[]),
];

pub(super) const IMAGES_OF_CONTAINERS: &[Line] = &[
    (
        "k3c run --name changed $DEMO sh -c 'echo new > /made; rm /bin/vi; mkdir /dir; chmod 700 /home; cd /dir; \
         echo 1 > a; ln a b; mkfifo p; touch -t 200102030405.06 a; chown 7:8 a; chmod 4751 a; touch -t 200001010000 .'",
        0,
        &[],
    ),
    (
        "k3c diff changed",
        0,
        &["A /made", "D /bin/vi", "C /bin", "A /dir", "C /home", "!/etc/hosts", "!/proc"],
    ),
    ("k3c export changed | tar tv", 0, &["made", "bin/busybox", "!bin/vi"]),
    ("k3c export -o out.tar changed && tar xfO out.tar made", 0, &["new"]),
    (
        "k3c export -o no/such/out.tar changed",
        1,
        &["invalid output path: directory \"no/such\" does not exist"],
    ),
    (
        "k3c commit -a me -m why -c 'CMD [\"cat\", \"/made\"]' -c 'ENV A=1' -c 'LABEL l=2' changed my/changed:1",
        0,
        &["sha256:"],
    ),
    ("k3c run --rm my/changed:1", 0, &["new"]),
    ("k3c run --rm my/changed:1 sh -c 'echo $A; ls /bin/vi'", 1, &["1", "No such file"]),
    // A volume is filled with all that belongs to a file.
    (
        "k3c run --rm -v filled:/dir my/changed:1 sh -c 'cd /dir; stat -c \"%h %a %u:%g %Y\" a; test a -ef b; test -p p; stat -c %Y .'",
        0,
        &["=2 4751 7:8 981173106\n946684800"],
    ),
    ("k3c volume rm filled", 0, &["=filled"]),
    ("k3c inspect -f '{{.Comment}} {{.Author}} {{.Config.Labels.l}}' my/changed:1", 0, &["why me 2"]),
    (
        "printf 'FROM my/changed:1\\nRUN cat /made\\n' | k3c build -t my/changed:2 --progress plain -",
        0,
        &["new"],
    ),
    ("k3c commit changed > id; k3c run --rm $(cat id) cat /made; k3c rmi $(cat id)", 0, &["new", "Deleted"]),
    ("k3c commit -c 'RUN x' changed", 1, &["RUN is not a valid change command"]),
    ("k3c commit changed UPPER", 1, &["must be lowercase"]),
    ("k3c commit nobody", 1, &["No such container: nobody"]),
    ("k3c rm changed && k3c rmi my/changed:1 my/changed:2", 0, &["Untagged: my/changed:1"]),
];
