// Package images pins what only the Makefile and the tests read from this module: the CRI definition.
package images

import _ "k8s.io/cri-api/pkg/apis/runtime/v1"
