//! Containers that were made and not run, volumes, and what `prune` makes of them.

use super::Line;

pub(super) const CREATE_AND_START: &[Line] = &[
    (
        "k3c create --name made --cidfile made.id $DEMO sh -c 'cat /new; exit 3'; cat made.id | wc -c",
        0,
        &["64"],
    ),
    ("k3c create --name made $DEMO", 1, &["Conflict. The container name \"/made\" is already in use"]),
    ("k3c create --pull never --name no no.local/no", 1, &["No such image: no.local/no:latest"]),
    ("k3c inspect -f '{{.State.Status}} {{.State.StartedAt}}' made", 0, &["created 0001-01-01T00:00:00Z"]),
    ("echo brought > new; k3c cp new made:/new", 0, &[]),
    ("k3c start -a made", 3, &["brought"]),
    ("k3c logs made", 0, &["brought"]),
    // A fresh start: a copied file is gone, as `cp` has said.
    ("k3c cp new made:/new", 0, &["its next start is fresh"]),
    ("k3c start -a made", 3, &["can't open '/new'"]),
    ("k3c update --restart on-failure:3 made", 0, &["made"]),
    ("k3c inspect -f '{{.HostConfig.RestartPolicy.MaximumRetryCount}}' made", 0, &["3"]),
    ("k3c inspect --cri made | grep -c CONTAINER_EXITED", 0, &["1"]),
    (
        "sleep 1; k3c events --since 5m --until 0s --filter container=made --format '{{.Action}}' | head -4 | xargs",
        0,
        &["create extract-to-dir attach start"],
    ),
    ("k3c inspect -f '{{.ResolvConfPath}} {{.HostnamePath}}' made", 0, &["/resolv.conf ", "/hostname"]),
    ("k3c port made", 0, &[]),
    ("k3c port made 80", 1, &["no public port '80' published for made"]),
    ("k3c container rm made", 0, &["made"]),
];

pub(super) const VOLUMES: &[Line] = &[
    (
        "k3c volume create -o type=nfs none-of-it",
        1,
        &["create none-of-it: option \"type=nfs\": volumes are folders"],
    ),
    ("k3c volume create --label a=1 mine", 0, &["mine"]),
    ("k3c volume create mine", 0, &["mine"]),
    ("k3c volume create x", 1, &["create x: volume name is too short"]),
    ("k3c volume create -d nfs other", 1, &["only the driver local"]),
    ("k3c volume ls --filter name=min", 0, &["DRIVER    VOLUME NAME\nlocal     mine"]),
    ("k3c volume ls -q --filter name=^in", 0, &["="]),
    ("k3c volume ls -q --filter 'name=^m.n(e|x)$'", 0, &["=mine"]),
    ("k3c volume ls -q --filter 'name=m('", 0, &["="]),
    ("k3c volume ls -q --filter label=a=1", 0, &["mine"]),
    ("k3c volume ls --filter what=1", 1, &["invalid filter 'what'"]),
    ("k3c volume inspect -f '{{.Labels.a}} {{.Driver}}' mine", 0, &["1 local"]),
    ("k3c inspect --type volume mine", 0, &["\"Name\": \"mine\""]),
    ("k3c volume inspect no", 1, &["[]", "get no: no such volume"]),
    ("k3c create --name holder -v mine:/m $DEMO", 0, &[]),
    ("k3c volume rm mine", 1, &["volume is in use - ["]),
    ("k3c volume ls -q --filter dangling=true", 0, &["!mine"]),
    ("k3c rm holder && k3c volume rm mine no", 1, &["mine", "get no: no such volume"]),
    ("k3c volume rm -f no", 0, &["no"]),
];

pub(super) const PRUNING: &[Line] = &[
    ("k3c create --name old -l prune=me -v /anon $DEMO > old.id; k3c create --name other $DEMO", 0, &[]),
    ("echo n | k3c container prune --filter label=prune=me", 0, &["Are you sure", "!Deleted"]),
    ("k3c container prune -f --filter label=prune=me | grep -q $(cat old.id)", 0, &[]),
    (
        "k3c run --name idle -l prune=idle $DEMO true && k3c ps -asf name=idle --format '{{.Size}}'",
        0,
        &["0B (virtual "],
    ),
    (
        "k3c container prune -f --filter label=prune=idle",
        0,
        &["Deleted Containers:", "Total reclaimed space: 0B"],
    ),
    ("k3c run --name wrote -l prune=wrote $DEMO sh -c 'head -c 1234 /dev/zero > /f'", 0, &[]),
    ("k3c container prune -f --filter label=prune=wrote", 0, &["Total reclaimed space: 1.234kB"]),
    ("k3c inspect -f '{{.Name}}' other old", 1, &["/other", "no such object: old"]),
    ("k3c container prune -f --filter until=1h --filter label=prune=me", 0, &["Total reclaimed space: 0B"]),
    (
        "k3c container prune -f --filter until=never",
        1,
        &["failed to parse value as time or duration: \"never\""],
    ),
    ("k3c volume create --label prune=me named", 0, &[]),
    ("k3c volume prune -f --filter label=prune=me", 0, &["Total reclaimed space: 0B", "!named"]),
    ("echo y | k3c volume prune -a --filter label=prune=me", 0, &["Deleted Volumes:\nnamed"]),
    ("k3c rm other", 0, &[]),
    ("k3c system df", 0, &["TYPE            TOTAL", "Local Volumes", "Build Cache"]),
    ("k3c info -f '{{len .ID}}'", 0, &["36"]),
    ("k3c system df -v", 0, &["Images space usage:", "CONTAINER ID"]),
    (
        "printf 'FROM $DEMO\\nLABEL prune=me\\n' | sed s,.DEMO,$DEMO, | k3c build -q -t prune:1 -",
        0,
        &["sha256:"],
    ),
    ("k3c image prune -af --filter label=prune=me", 0, &["untagged: prune:1", "Total reclaimed space"]),
    ("echo n | k3c system prune", 0, &["all stopped containers", "!Total"]),
    ("k3c builder prune -f", 0, &["Total reclaimed space"]),
];
