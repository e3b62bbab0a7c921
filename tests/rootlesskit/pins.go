// Package rootlesskit pins RootlessKit, whose programs the tests build (build.sh).
package rootlesskit

import (
	_ "github.com/Masterminds/semver/v3"
	_ "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit/unshare"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/api/client"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/child"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/common"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/copyup/tmpfssymlink"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/network/lxcusernic"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/network/none"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/network/pasta"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/network/slirp4netns"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/network/vpnkit"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/parent"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/port"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/port/builtin"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/port/portutil"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/port/slirp4netns"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/systemd/activation"
	_ "github.com/rootless-containers/rootlesskit/v2/pkg/version"
	_ "github.com/sirupsen/logrus"
	_ "github.com/urfave/cli/v2"
)
