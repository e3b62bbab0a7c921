// Command mkbundle makes the image of the bundle and the archive itself, the same bytes from the same inputs.
//
// The archive is a tar: manifest.json first, then bin/, images/ and notices/, in order of their names.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// file is one entry of a tar that is made in memory.
type file struct {
	name string
	mode int64
	data []byte
	link string
	dir  bool
}

func main() {
	log.SetFlags(0)
	arch := flag.String("arch", "amd64", "architecture of what goes in")
	out := flag.String("out", "", "folder with bin/; bundle.tar and images/ are written there")
	busybox := flag.String("busybox", "/bin/busybox", "static busybox of that architecture")
	flag.Parse()
	if err := run(*arch, *out, *busybox); err != nil {
		log.Fatalf("mkbundle: %v", err)
	}
}

func run(arch, out, busybox string) error {
	demo, err := demoRoot(busybox)
	if err != nil {
		return err
	}
	images := map[string][]byte{
		"images/demo.tar": ociArchive("k3c.local/demo:latest", arch, demo, map[string]any{
			"Cmd": []string{"sh"},
			"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		}),
	}

	var files []file
	for name, data := range images {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			return err
		}
		files = append(files, file{name: name, mode: 0o644, data: data})
	}
	for folder, mode := range map[string]int64{filepath.Join(out, "bin"): 0o755, "notices": 0o644} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
			if err != nil {
				return err
			}
			files = append(files, file{name: filepath.Base(folder) + "/" + entry.Name(), mode: mode, data: data})
		}
	}
	sort.Slice(files, func(i, j int) bool { return files[i].name < files[j].name })

	manifest, err := manifestOf(arch, files)
	if err != nil {
		return err
	}
	archive := tarOf(append([]file{{name: "manifest.json", mode: 0o644, data: manifest}}, files...))
	return os.WriteFile(filepath.Join(out, "bundle.tar"), archive, 0o644)
}

// manifestOf lists every file with its size, mode and hash, and the versions of the programs.
func manifestOf(arch string, files []file) ([]byte, error) {
	type entry struct {
		Name   string `json:"name"`
		Size   int    `json:"size"`
		Mode   int64  `json:"mode"`
		Sha256 string `json:"sha256"`
	}
	entries := make([]entry, 0, len(files))
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		entries = append(entries, entry{f.name, len(f.data), f.mode, hex.EncodeToString(sum[:])})
	}
	versions := map[string]string{}
	for name, module := range map[string]string{
		"containerd": "github.com/containerd/containerd/v2",
		"buildkit":   "github.com/moby/buildkit",
		"runc":       "github.com/opencontainers/runc",
	} {
		text, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
		if err != nil {
			return nil, fmt.Errorf("version of %s: %w", module, err)
		}
		versions[name] = strings.TrimSpace(string(text))
	}
	return json.MarshalIndent(map[string]any{"arch": arch, "files": entries, "versions": versions}, "", "  ")
}

// demoRoot is the demonstration image's root: busybox under all its names, with its notices.
func demoRoot(busybox string) ([]file, error) {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return nil, fmt.Errorf("%w (Debian's package busybox-static has it)", err)
	}
	list, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("the list of busybox's names: %w", err)
	}
	notice, err := os.ReadFile("notices/busybox")
	if err != nil {
		return nil, err
	}
	files := []file{
		{name: "bin/busybox", mode: 0o755, data: program},
		{name: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")},
		{name: "etc/group", mode: 0o644, data: []byte("root:x:0:\nusers:x:100:\nnobody:x:65534:\n")},
		{name: "usr/share/doc/busybox/copyright", mode: 0o644, data: notice},
		{name: "root", mode: 0o700, dir: true},
		{name: "tmp", mode: 0o1777, dir: true},
	}
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "usr/share", "usr/share/doc", "usr/share/doc/busybox", "var", "var/tmp"} {
		files = append(files, file{name: dir, mode: 0o755, dir: true})
	}
	for _, name := range strings.Fields(string(list)) {
		if name != "busybox" {
			files = append(files, file{name: "bin/" + name, mode: 0o777, link: "busybox"})
		}
	}
	files = append(files, file{name: "usr/bin/env", mode: 0o777, link: "../../bin/busybox"})
	sort.Slice(files, func(i, j int) bool { return files[i].name < files[j].name })
	return files, nil
}

// ociArchive is an OCI image layout in a tar, with one image of one layer.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
func ociArchive(reference, arch string, root []file, config map[string]any) []byte {
	files := []file{{name: "oci-layout", mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	blob := func(mediaType string, data []byte) map[string]any {
		sum := sha256.Sum256(data)
		digest := hex.EncodeToString(sum[:])
		files = append(files, file{name: "blobs/sha256/" + digest, mode: 0o644, data: data})
		return map[string]any{"mediaType": mediaType, "digest": "sha256:" + digest, "size": len(data)}
	}
	layer := blob("application/vnd.oci.image.layer.v1.tar", tarOf(root))
	configuration := blob("application/vnd.oci.image.config.v1+json", marshal(map[string]any{
		"architecture": arch,
		"os":           "linux",
		"created":      "2026-01-01T00:00:00Z",
		"config":       config,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []any{layer["digest"]}},
		"history":      []any{map[string]any{"created": "2026-01-01T00:00:00Z", "created_by": "k3c"}},
	}))
	manifest := blob("application/vnd.oci.image.manifest.v1+json", marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        configuration,
		"layers":        []any{layer},
	}))
	manifest["platform"] = map[string]string{"architecture": arch, "os": "linux"}
	manifest["annotations"] = map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": reference[strings.LastIndex(reference, ":")+1:],
	}
	files = append(files, file{name: "index.json", mode: 0o644, data: marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests":     []any{manifest},
	})})
	return tarOf(files)
}

func marshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		log.Fatalf("mkbundle: %v", err)
	}
	return data
}

// tarOf writes the entries in their order, owned by root, at one fixed time.
func tarOf(files []file) []byte {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(1767225600, 0), Format: tar.FormatUSTAR}
		switch {
		case f.dir:
			header.Typeflag = tar.TypeDir
			header.Name += "/"
		case f.link != "":
			header.Typeflag = tar.TypeSymlink
			header.Linkname = f.link
		default:
			header.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(header); err != nil {
			log.Fatalf("mkbundle: %s: %v", f.name, err)
		}
		if _, err := io.Copy(w, bytes.NewReader(f.data)); err != nil {
			log.Fatalf("mkbundle: %s: %v", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatalf("mkbundle: %v", err)
	}
	return buffer.Bytes()
}
