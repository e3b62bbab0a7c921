//! Lists of what exists and of what happened: tables, formats, documents.

use super::Line;

pub(super) const PS: &[Line] = &[
    (
        "for n in a b c; do k3c create --name ps-$n -l ps -l nth=$n -v ps-vol:/v $DEMO sleep 100; done > /dev/null; k3c start ps-b ps-c",
        0,
        &["=ps-b\nps-c"],
    ),
    ("k3c ps -f label=none", 0, &["=CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"]),
    (
        "k3c ps -s -f label=none",
        0,
        &["=CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES     SIZE"],
    ),
    // Running containers only, the newest first.
    ("k3c ps -f label=ps --format {{.Names}}", 0, &["=ps-c\nps-b"]),
    ("k3c ps -af label=ps --format {{.Names}}", 0, &["=ps-c\nps-b\nps-a"]),
    (
        "k3c ps -f label=ps | sed 's/[0-9a-f]\\{12\\} /ID /; s/ago .*Up/ago Up/'",
        0,
        &["ID   k3c.local/demo   \"sleep 100\"", " ago Up ", "   ps-c\n"],
    ),
    ("k3c ps -af name=ps-a", 0, &["   Created   ", "ps-a"]),
    ("k3c ps -qf label=ps | wc -c", 0, &["=26"]),
    ("k3c ps -q --no-trunc -f label=ps | wc -c", 0, &["=130"]),
    ("k3c ps -sf name=ps-b", 0, &["SIZE\n", "B (virtual ", "MB)\n"]),
    ("k3c ps -f label=nth=b --format {{.Names}}", 0, &["=ps-b"]),
    ("k3c ps -f label=ps -f label=nth=c --format {{.Names}}", 0, &["=ps-c"]),
    ("k3c ps -f name=ps-b -f name=ps-c --format {{.Names}}", 0, &["=ps-c\nps-b"]),
    ("k3c ps -f name='^/ps-b$' --format {{.Names}}", 0, &["=ps-b"]),
    ("k3c ps -f status=created -f label=ps --format {{.Names}}", 0, &["=ps-a"]),
    ("k3c ps -f status=created -f status=running -f label=ps -q | wc -l", 0, &["=3"]),
    ("k3c ps -af before=ps-c -f label=ps --format {{.Names}}", 0, &["=ps-b\nps-a"]),
    ("k3c ps -af since=ps-a -f label=ps --format {{.Names}}", 0, &["=ps-c\nps-b"]),
    ("k3c ps -af id=$(k3c ps -aqf name=ps-a) --format {{.Names}}", 0, &["=ps-a"]),
    ("k3c ps -f ancestor=$DEMO -f label=ps --format {{.Names}}", 0, &["=ps-c\nps-b"]),
    ("k3c ps -f volume=ps-vol --format {{.Names}}", 0, &["=ps-c\nps-b"]),
    ("k3c ps -f volume=/v -f label=ps --format {{.Names}}", 0, &["=ps-c\nps-b"]),
    ("k3c ps -f ancestor=nope -q", 0, &["="]),
    ("k3c ps -f since=nobody", 1, &["Error response from daemon: No such container: nobody"]),
    ("k3c ps -f what=1", 1, &["Error response from daemon: invalid filter 'what'"]),
    ("k3c ps -f status=foo", 1, &["invalid filter 'status=foo'"]),
    ("k3c ps -f exited=x", 1, &["invalid filter 'exited=x'"]),
    ("k3c ps -f health=foo", 1, &["unrecognized filter value for health: foo"]),
    (
        "k3c ps -f name=ps-b --format '{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Status}} [{{.Ports}}] {{.Labels}} {{.Label \"nth\"}} \
         {{.Mounts}} {{.LocalVolumes}} {{.Networks}}'",
        0,
        &["ps-b k3c.local/demo \"sleep 100\" running Up ", " [] nth=b,ps= b ps-vol 1 bridge\n"],
    ),
    (
        "k3c ps -f name=ps-b --format '{{.RunningFor}}|{{.CreatedAt}}' | grep -cE '^([0-9]+ seconds?|Less than a second) ago\\|2[0-9-]{9} [0-9:]{8} [+-][0-9]{4} [A-Z]+$'",
        0,
        &["=1"],
    ),
    // Commands: words with spaces are in quotes, twenty columns are shown.
    (
        "k3c create --name ps-long $DEMO sh -c 'echo \"é\" and more than fits' > /dev/null; k3c ps -l --format {{.Command}} -f name=ps-long",
        0,
        &["=\"sh -c 'echo \\\"é\\\" and…\""],
    ),
    (
        "k3c ps -a --no-trunc --format {{.Command}} -f name=ps-long",
        0,
        &["=\"sh -c 'echo \\\"é\\\" and more than fits'\""],
    ),
    ("k3c rm ps-long > /dev/null; k3c kill ps-c > /dev/null; k3c wait ps-c", 0, &["=137"]),
    (
        "k3c ps -af name=ps-c --format '{{.State}} {{.Status}}' | grep -cE '^exited Exited \\(137\\) ([0-9]+ seconds?|Less than a second) ago$'",
        0,
        &["=1"],
    ),
    ("k3c ps -f exited=137 -af label=ps --format {{.Names}}", 0, &["=ps-c"]),
    ("k3c ps -f exited=1 -af label=ps --format {{.Names}}", 0, &["="]),
    ("k3c rm -f ps-a ps-b ps-c && k3c volume rm ps-vol", 0, &["=ps-a\nps-b\nps-c\nps-vol"]),
];

/// Formats. Some lines ask for the last container of all: nobody else makes any meanwhile but in `compare`.
pub(super) const FORMATS: &[Line] = &[
    ("k3c create --name fmt -l fmt=1 $DEMO sleep 100 | wc -c", 0, &["=65"]),
    (
        "k3c ps -af label=fmt --format json",
        0,
        &[
            "{\"Command\":\"\\\"sleep 100\\\"\",\"CreatedAt\":\"",
            "\"Names\":\"fmt\"",
            "\"State\":\"created\"",
        ],
    ),
    ("k3c ps -af label=fmt --format '{{json .}}' | wc -l", 0, &["=1"]),
    ("k3c ps -af label=fmt --format table", 0, &["CONTAINER ID   IMAGE", "   fmt\n"]),
    ("k3c ps -af label=fmt --format ''", 0, &["CONTAINER ID   IMAGE", "   fmt\n"]),
    (
        "k3c ps -af label=fmt --format 'table {{.Names}}\\t{{.State}}\\t{{.Label \"fmt\"}}'",
        0,
        &["=NAMES     STATE     fmt\nfmt       created   1"],
    ),
    (
        "k3c ps -af label=fmt --format 'table {{upper .Names}}\\t{{json .State}}\\t{{truncate .Status 3}}'",
        0,
        &["=NAMES     STATE       STATUS\nFMT       \"created\"   Cre"],
    ),
    (
        "k3c ps -af label=fmt --format raw | sed 's/^\\(container_id\\|created_at\\): .*/\\1/'",
        0,
        &[
            "=container_id\nimage: k3c.local/demo\ncommand: \"sleep 100\"\ncreated_at\nstate: created\nstatus: Created\nnames: fmt\nlabels: fmt=1\nports:",
        ],
    ),
    (
        "k3c ps -af label=fmt --format 'a\\tb\\n{{.Names}}' | od -c | head -1 | cut -c9-",
        0,
        &["=a  \\t   b  \\n   f   m   t  \\n"],
    ),
    (
        "k3c ps -af label=fmt --format '{{upper .Names}} {{lower \"AB\"}} {{title \"ab cd\"}} {{pad \"x\" 1 2}}| {{truncate \"abcdef\" 3}} {{join (split \"a,b\" \",\") \"-\"}}'",
        0,
        &["=FMT ab Ab Cd  x  | abc a-b"],
    ),
    (
        "k3c ps -af label=fmt --format '{{if eq .State \"created\"}}new{{else}}old{{end}} {{len .Names}} {{printf \"%.2s\" .Names}} {{.Names | upper}} {{slice .Names 1}} {{and 1 0}}'",
        0,
        &["=new 3 fm FMT mt 0"],
    ),
    ("k3c ps -af label=fmt --format plain", 0, &["=plain"]),
    (
        "k3c ps -af label=fmt -q --format '{{.Names}}' 2>&1 >/dev/null",
        0,
        &["=WARNING: Ignoring custom format, because both --format and --quiet are set."],
    ),
    ("k3c ps -af label=fmt -q --format '{{.Names}}' 2>/dev/null | wc -c", 0, &["=13"]),
    ("k3c ps -af label=fmt --format '{{'", 1, &["template: :1: unclosed action"]),
    ("k3c ps -af label=fmt --format '{{nope}}'", 1, &["template: :1: function \"nope\" not defined"]),
    (
        "k3c ps -af label=fmt --format '{{.Nope}}'",
        1,
        &["executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.ContainerContext"],
    ),
    ("k3c rm fmt", 0, &["=fmt"]),
    ("k3c images --format '{{.Repository}}:{{.Tag}}' k3c.local/demo", 0, &["=k3c.local/demo:latest"]),
    (
        "k3c images --format raw k3c.local/demo",
        0,
        &["repository: k3c.local/demo\ntag: latest\nimage_id: ", "created_at: ", "virtual_size: "],
    ),
    (
        "k3c images --format table k3c.local/demo",
        0,
        &["REPOSITORY       TAG       IMAGE ID       CREATED", "SIZE\nk3c.local/demo   latest"],
    ),
    (
        "k3c volume create raw-vol; k3c volume ls -f name=raw-vol --format raw; k3c volume rm raw-vol",
        0,
        &["name: raw-vol\ndriver: local\n"],
    ),
];

pub(super) const INSPECT: &[Line] = &[
    (
        "k3c run -d --name seen -l a=b -e X=1 -v /anon -t --stop-timeout 3 --stop-signal HUP --restart on-failure:2 $DEMO sleep 100 | wc -c",
        0,
        &["=65"],
    ),
    ("k3c inspect seen | head -3 | cut -c-14", 0, &["=[\n    {\n        \"Id\":"]),
    ("k3c inspect seen | tail -n 2", 0, &["    }\n]\n"]),
    ("k3c inspect -f json seen | cut -c-8", 0, &["=[{\"Id\":\""]),
    ("k3c inspect --format json seen seen | wc -l", 0, &["=1"]),
    ("k3c inspect nobody", 1, &["=[]\nerror: no such object: nobody"]),
    ("k3c inspect nobody 2>/dev/null", 1, &["=[]"]),
    ("k3c inspect seen nobody 2>/dev/null | grep -c '^        \"Id\"'", 0, &["=1"]),
    ("k3c inspect -f {{.Name}} nobody seen", 1, &["=/seen\nerror: no such object: nobody"]),
    ("k3c inspect -f '{{' seen", 64, &["=template parsing error: template: :1: unclosed action"]),
    (
        "k3c inspect -f '{{nope}}' seen",
        64,
        &["template parsing error: template: :1: function \"nope\" not defined"],
    ),
    (
        "k3c inspect -f '{{.Nope}}' seen",
        1,
        &["template parsing error: template: :1", "map has no entry for key \"Nope\""],
    ),
    ("k3c inspect -f '{{.Nope.Nope}}' seen", 1, &["map has no entry for key \"Nope\""]),
    ("k3c container inspect nobody", 1, &["=[]\nError response from daemon: No such container: nobody"]),
    // Verbs and flags for one kind of thing look at no other kind.
    ("k3c container inspect $DEMO", 1, &["No such container: k3c.local/demo"]),
    ("k3c image inspect seen", 1, &["No such image: seen:latest"]),
    ("k3c inspect --type volume seen", 1, &["get seen: no such volume"]),
    ("k3c inspect --type foo seen", 1, &["\"foo\" is not a valid value for --type"]),
    ("k3c inspect -f '{{.RepoTags}}' $DEMO", 0, &["=[k3c.local/demo:latest]"]),
    ("k3c inspect -sf '{{.SizeRw}} {{.SizeRootFs}}' seen | grep -cE '^[0-9]+ [1-9][0-9]+$'", 0, &["=1"]),
    (
        "k3c inspect -f '{{range $k, $v := .Config.Volumes}}{{$k}}{{end}} {{.Config.OpenStdin}} {{.Config.StdinOnce}}|' seen",
        0,
        &["=/anon false false|"],
    ),
    (
        "k3c inspect -f '{{json .Config.Labels}} {{index .Config.Env 0}} {{join .Config.Cmd \" \"}} {{.Config.Tty}} {{.Config.StopSignal}} {{.Config.StopTimeout}} \
         {{.Config.Image}} {{.Config.User}}|' seen",
        0,
        &["={\"a\":\"b\"} X=1 sleep 100 true HUP 3 k3c.local/demo |"],
    ),
    (
        "k3c inspect -f '{{.Path}} {{.Args}} {{.Name}} {{.RestartCount}} {{.Platform}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}} \
         {{.HostConfig.NetworkMode}} {{.HostConfig.AutoRemove}} {{.HostConfig.LogConfig.Type}} {{json .ExecIDs}} {{json .NetworkSettings.Ports}}' seen",
        0,
        &["=sleep [100] /seen 0 linux on-failure 2 bridge false json-file null {}"],
    ),
    (
        "k3c inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.ExitCode}} \
         {{json .State.Error}} {{.State.FinishedAt}} {{gt .State.Pid 1}}' seen",
        0,
        &["=running true false false false false 0 \"\" 0001-01-01T00:00:00Z true"],
    ),
    (
        "k3c inspect -f '{{.Created}} {{.State.StartedAt}}' seen | grep -cE '^(2[0-9-]+T[0-9:]+\\.[0-9]+Z ?){2}$'",
        0,
        &["=1"],
    ),
    (
        "k3c inspect -f '{{range .Mounts}}{{.Type}} {{len .Name}} {{.Destination}} {{.Driver}} {{.RW}}{{end}}' seen",
        0,
        &["=volume 64 /anon local true"],
    ),
    (
        "k3c inspect -f '{{range $n, $v := .NetworkSettings.Networks}}{{$n}} {{$v.IPAddress}}{{end}}' seen | grep -cE '^bridge [0-9]+(\\.[0-9]+){3}$'",
        0,
        &["=1"],
    ),
    (
        "for k in Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform MountLabel \
         ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings; do k3c inspect -f \"{{json .$k}}\" seen > /dev/null || echo $k; done",
        0,
        &["="],
    ),
    (
        "for k in Hostname Domainname User AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce Env Cmd Image Volumes WorkingDir Entrypoint \
         OnBuild Labels; do k3c inspect -f \"{{json .Config.$k}}\" seen > /dev/null || echo $k; done",
        0,
        &["="],
    ),
    (
        "k3c inspect -f '{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}}' seen; k3c inspect -f '{{.Mounts}}' seen | grep -cE '^\\[\\{volume [0-9a-f]{64} /[^ ]+ /anon local  true \\}\\]$'",
        0,
        &["={on-failure 2} {json-file map[]}\n1"],
    ),
    // The network's values are those of the container's kernel.
    (
        "k3c inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}} {{.MacAddress}} {{.IPPrefixLen}} {{.NetworkID}} {{.EndpointID}}{{end}}' seen | grep -cE '^[0-9]+(\\.[0-9]+){3} ([0-9a-f]{2}:){5}[0-9a-f]{2} [1-9][0-9]? [0-9a-f]{64} [0-9a-f]{64}$'",
        0,
        &["=1"],
    ),
    (
        "test $(k3c inspect -f {{.NetworkSettings.MacAddress}} seen) = $(k3c exec seen cat /sys/class/net/eth0/address)",
        0,
        &["="],
    ),
    (
        "hex() { echo $1 | awk -F. '{ printf \"%02X%02X%02X%02X\", $4, $3, $2, $1 }'; }; \
         k3c exec seen cat /proc/net/route | grep -cE \"^eth0.00000000.$(hex $(k3c inspect -f {{.NetworkSettings.Gateway}} seen))\"",
        0,
        &["=1"],
    ),
    (
        "k3c exec seen cat /proc/net/route | awk '$3 == \"00000000\" { print $8 }' | head -1 | grep -ic $(printf %08x $(( (1 << $(k3c inspect -f {{.NetworkSettings.IPPrefixLen}} seen)) - 1 )))",
        0,
        &["=1"],
    ),
    ("k3c rm -fv seen", 0, &["=seen"]),
];

/// Fields that the JSON omits, and fields that Go calls otherwise.
pub(super) const FIELDS: &[Line] = &[
    (
        "k3c create --name plain --cap-add net_admin --cap-add CAP_SYS_TIME --cap-drop mknod $DEMO true | wc -c",
        0,
        &["=65"],
    ),
    ("k3c inspect -f '{{if .State.Health}}x{{else}}none{{end}}' plain", 0, &["=none"]),
    (
        "k3c inspect -f '{{.State.Health}} {{.Config.Healthcheck}} {{.Config.StopTimeout}} {{.Config.ExposedPorts}} {{.Config.Shell}} {{.HostConfig.Mounts}} \
         {{.HostConfig.StorageOpt}} {{.SizeRw}} {{.SizeRootFs}} {{.HostConfig.Init}} {{.HostConfig.Binds}} {{.Config.Volumes}} {{len .Config.OnBuild}}' plain",
        0,
        &["=<nil> <nil> <nil> map[] [] [] map[] <nil> <nil> <nil> [] map[] 0"],
    ),
    (
        "k3c inspect plain | grep -cE '\"(Health|Healthcheck|StopTimeout|ExposedPorts|Shell|StorageOpt|SizeRw|Init)\"'",
        1,
        &["=0"],
    ),
    (
        "for k in ID Config.ArgsEscaped Config.NetworkDisabled HostConfig.NanoCPUs HostConfig.CPUShares HostConfig.CPUPeriod HostConfig.CPUQuota \
         HostConfig.CPURealtimePeriod HostConfig.CPURealtimeRuntime HostConfig.CPUCount HostConfig.CPUPercent HostConfig.DNS HostConfig.DNSOptions \
         HostConfig.DNSSearch HostConfig.MemorySwappiness HostConfig.BlkioDeviceReadIOps HostConfig.IOMaximumIOps HostConfig.Links HostConfig.Isolation \
         HostConfig.Cgroup HostConfig.DeviceRequests HostConfig.MaskedPaths NetworkSettings.EndpointID NetworkSettings.IPPrefixLen; do k3c inspect -f \"{{.$k}}\" plain > /dev/null || echo $k; done",
        0,
        &["="],
    ),
    // Fields by the names that the JSON has.
    (
        "for k in Id HostConfig.NanoCpus HostConfig.CpuShares HostConfig.CpuPeriod HostConfig.CpuQuota HostConfig.CpuCount HostConfig.Dns \
         HostConfig.DnsOptions HostConfig.DnsSearch; do k3c inspect -f \"{{.$k}}\" plain > /dev/null || echo $k; done",
        0,
        &["="],
    ),
    (
        "k3c inspect -f '{{.ID}} {{if .State.Health}}x{{end}}{{.Id}}' plain | tr ' ' '\n' | uniq | wc -l",
        0,
        &["=1"],
    ),
    (
        "k3c inspect -f '{{.State.Health.Status}}' plain",
        1,
        &[
            "template parsing error: template: :1:",
            "at <.State.Health.Status>: map has no entry for key \"Health\"",
        ],
    ),
    ("k3c inspect -f '{{.Config.Nope}}' plain", 1, &["at <.Config.Nope>: map has no entry for key \"Nope\""]),
    (
        "k3c inspect -f '{{.Config.Labels.none}}|{{index .Config.Labels \"none\"}}|' plain",
        0,
        &["=<no value>||"],
    ),
    (
        "k3c inspect -f '{{json .HostConfig.Dns}} {{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}}' plain",
        0,
        &["=[] [\"CAP_NET_ADMIN\",\"CAP_SYS_TIME\"] [\"CAP_MKNOD\"]"],
    ),
    (
        "k3c create --name joins --pid container:plain --ipc container:plain $DEMO true > /dev/null; k3c inspect -f '{{.HostConfig.PidMode}} {{.HostConfig.IpcMode}}' joins | \
         sed \"s/container:$(k3c inspect -f {{.Id}} plain)/by-id/g\"",
        0,
        &["=by-id by-id"],
    ),
    (
        "k3c create --name unchecked --no-healthcheck $DEMO true > /dev/null; k3c inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' unchecked",
        0,
        &["={\"Test\":[\"NONE\"]} null"],
    ),
    ("k3c rm joins unchecked plain", 0, &["=joins\nunchecked\nplain"]),
    (
        "for k in ID Parent Comment Variant OsVersion VirtualSize Manifests Descriptor.MediaType Config.User Config.Labels Config.Entrypoint Config.Volumes Config.ExposedPorts \
         Config.StopSignal Config.OnBuild Config.Shell Config.Healthcheck Config.WorkingDir Config.ArgsEscaped; do k3c image inspect -f \"{{.$k}}\" $DEMO > /dev/null || echo $k; done",
        0,
        &["="],
    ),
    (
        "k3c image inspect -f '{{.Config.Healthcheck}} {{.Config.OnBuild}} {{.Parent}}|' $DEMO",
        0,
        &["=<nil> [] |"],
    ),
    ("k3c image inspect -f '{{.Config.Nope}}' $DEMO", 1, &["map has no entry for key \"Nope\""]),
    (
        "k3c volume create fields; k3c volume inspect -f '{{.Status}} {{.UsageData}} {{.Options}}' fields; k3c volume inspect -f '{{.Nope}}' fields",
        1,
        &["fields\nmap[] <nil> map[]\n", "map has no entry for key \"Nope\""],
    ),
    (
        "k3c volume ls -f name=fields --format '{{.Name}} {{.Availability}} {{.Group}} {{.Status}} {{.Links}}'; k3c volume ls -f name=fields --format '{{.Nope}}'",
        1,
        &["fields N/A N/A N/A N/A\n", "can't evaluate field Nope in type *formatter.volumeContext"],
    ),
    (
        "k3c volume rm fields > /dev/null; k3c events --since 1m --until 0s -f volume=fields -f event=create --format '{{.Status}}|{{.ID}}|{{.From}}|{{.Scope}}|{{.Action}}'",
        0,
        &["=|||local|create"],
    ),
    (
        "k3c info -f '[{{.HTTPProxy}}{{.ProductLicense}}] {{.Swarm.LocalNodeState}} {{.ClientInfo.Debug}}'",
        0,
        &["=[] inactive false"],
    ),
    ("k3c info -f '{{.Swarm.Nope}}'", 1, &["can't evaluate field Nope in type swarm.Info"]),
    (
        "k3c version -f '{{.Server.Experimental}} {{if .Client.DefaultAPIVersion}}x{{end}}{{len .Client.APIVersion}}' | grep -cE '^false x?[0-9]$'",
        0,
        &["=1"],
    ),
    ("k3c version -f '{{.Nope}}'", 1, &["can't evaluate field Nope in type system.versionInfo"]),
    (
        "k3c images --format '{{.Nope}}' $DEMO",
        1,
        &["can't evaluate field Nope in type *formatter.imageContext"],
    ),
    ("k3c system df --format '{{.Nope}}'", 1, &["at <.Nope>: can't evaluate field Nope in type *formatter."]),
];

pub(super) const EVENTS: &[Line] = &[
    ("k3c run --rm --name ev1 -l x=y $DEMO true; sleep 1", 0, &["="]),
    (
        "k3c events --since 1m --until 0s -f container=ev1 -f type=container --format '{{.Action}}' | xargs",
        0,
        &["=create attach start die destroy"],
    ),
    (
        "k3c events --since 1m --until 0s -f container=ev1 -f event=die | sed 's/[0-9a-f]\\{64\\}/ID/; s/execDuration=[0-9]*/execDuration=N/' | cut -d' ' -f2-",
        0,
        &["=container die ID (execDuration=N, exitCode=0, image=k3c.local/demo, name=ev1, x=y)"],
    ),
    (
        "k3c events --since 1m --until 0s -f container=ev1 -f event=start | grep -cE '^2[0-9-]{9}T[0-9:]{8}\\.[0-9]{9}(Z|[+-][0-9:]{5}) container start [0-9a-f]{64} \\('",
        0,
        &["=1"],
    ),
    (
        "k3c events --since 1m --until 0s -f container=ev1 -f event=create --format json",
        0,
        &[
            "{\"status\":\"create\",\"id\":\"",
            "\"from\":\"k3c.local/demo\",\"Type\":\"container\",\"Action\":\"create\",\"Actor\":{\"ID\":\"",
            "\"Attributes\":{\"image\":\"k3c.local/demo\",\"name\":\"ev1\",\"x\":\"y\"}},\"scope\":\"local\",\"time\":",
            "\"timeNano\":",
        ],
    ),
    (
        "k3c events --since 1m --until 0s -f label=x=y -f event=start --format '{{.Type}} {{.Actor.Attributes.name}}'",
        0,
        &["=container ev1"],
    ),
    (
        "k3c events --since 1m --until 0s -f image=$DEMO -f container=ev1 -f event=start --format '{{.Status}}'",
        0,
        &["=start"],
    ),
    ("k3c events --since 1m --until 0s -f type=foo", 0, &["="]),
    (
        "k3c events --since 1m --until 0s -f foo=bar -f container=ev1 -f event=start --format '{{.Action}}'",
        0,
        &["=start"],
    ),
    ("k3c events --since foo", 1, &["failed to parse value as time or duration: \"foo\""]),
    ("k3c events --since 1m --until 0s --format '{{'", 64, &["template: :1: unclosed action"]),
    // Events of a container's other verbs.
    (
        "k3c run -d --name ev2 $DEMO sleep 100 > /dev/null; k3c exec ev2 true; k3c pause ev2; k3c unpause ev2; k3c rename ev2 ev3; \
         k3c update --restart no ev3; k3c stop -t 0 ev3; k3c rm ev3; sleep 1",
        0,
        &["ev2"],
    ),
    (
        "k3c events --since 1m --until 0s -f type=container --format '{{.Action}} {{.Actor.Attributes.name}}' | grep -E ' ev[23]$' | sed 's/ ev.$//; s/: .*//' | xargs",
        0,
        &[
            "=create start exec_create exec_start exec_die pause unpause rename update kill kill die stop destroy",
        ],
    ),
    (
        "k3c events --since 1m --until 0s -f event=kill -f container=ev3 --format '{{.Actor.Attributes.signal}}'",
        0,
        &["=15\n9"],
    ),
];

pub(super) const SYSTEM: &[Line] = &[
    (
        "k3c version --format '{{.Server.APIVersion}} {{.Client.Version}} {{.Server.Os}}' | grep -cE '^[0-9.]+ [0-9][^ ]* linux$'",
        0,
        &["=1"],
    ),
    (
        "k3c version | grep -cE '^(Client:|Server:.*| Version: .*| API version: .*| Git commit: .+| Built: .+| OS/Arch: .*| Context: .*)$'",
        0,
        &[],
    ),
    (
        "k3c version",
        0,
        &[
            "Client:",
            " Version:  ",
            " API version:  ",
            " Git commit:  ",
            " Built:  ",
            " OS/Arch:  ",
            " Context:  ",
            "\nServer:",
        ],
    ),
    ("k3c version --format json | cut -c-20", 0, &["={\"Client\":{\"Version\""]),
    ("k3c version -f '{{'", 64, &["template parsing error: template: ", "unclosed action"]),
    ("k3c version -f '{{.Foo}}'", 1, &["at <.Foo>"]),
    ("k3c info --format '{{json .}}' | cut -c-7", 0, &["={\"ID\":\""]),
    (
        "k3c info --format '{{.OSType}} {{.NCPU}} {{.CgroupVersion}}' | grep -cE '^linux [0-9]+ [12]$'",
        0,
        &["=1"],
    ),
    (
        "k3c info 2>/dev/null",
        0,
        &[
            "Client:",
            "Server:\n Containers: ",
            "\n  Running: ",
            "\n Images: ",
            "\n Server Version: ",
            "\n Storage Driver: ",
            "rootless",
        ],
    ),
    ("k3c info -f '{{'", 64, &["template parsing error: template: :1: unclosed action"]),
    ("k3c info -f '{{.Foo}}'", 1, &["at <.Foo>"]),
    ("k3c --version | grep -ciE '^(k3c|docker) version [^ ]+, build .+$'", 0, &["=1"]),
    ("k3c -v | wc -l", 0, &["=1"]),
    ("k3c system info -f '{{.OSType}}'", 0, &["=linux"]),
];
