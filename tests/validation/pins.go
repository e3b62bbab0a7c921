// Package validation pins the validation programs for OCI runtimes, which the tests build (build.sh).
package validation

import (
	_ "github.com/opencontainers/runtime-tools/validation/util"
	_ "github.com/urfave/cli"
)
