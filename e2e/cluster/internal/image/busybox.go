package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// BusyboxImage is the shell for tests; it shares its only layer with the image
// that holds a pod's namespaces open.
const BusyboxImage = "localhost/longshore/busybox:1"

// busyboxProgram comes from Debian's busybox-static.
const busyboxProgram = "/bin/busybox"

type containerConfig struct {
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
}

// WriteBusybox writes an OCI archive with the pause image, which sleeps for
// ever, and the busybox image.
func WriteBusybox(path, pauseName string) error {
	layer, err := busyboxLayer()
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	env := []string{"PATH=/bin"}
	if err := writeArchive(file, layer, map[string]containerConfig{
		pauseName:    {Env: env, Entrypoint: []string{"/bin/busybox", "sleep", "2147483647"}},
		BusyboxImage: {Env: env, Cmd: []string{"/bin/sh"}},
	}); err != nil {
		return err
	}
	return file.Close()
}

func busyboxLayer() ([]byte, error) {
	program, err := os.ReadFile(busyboxProgram)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(busyboxProgram, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its applets: %w", busyboxProgram, err)
	}
	var layer bytes.Buffer
	out := tar.NewWriter(&layer)
	entries := []tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))},
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			entries = append(entries, tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777})
		}
	}
	for _, entry := range entries {
		if err := out.WriteHeader(&entry); err != nil {
			return nil, err
		}
		if entry.Typeflag == tar.TypeReg {
			if _, err := out.Write(program); err != nil {
				return nil, err
			}
		}
	}
	return layer.Bytes(), out.Close()
}

// writeArchive writes images of one shared layer, deterministically.
func writeArchive(to io.Writer, layer []byte, images map[string]containerConfig) error {
	out := tar.NewWriter(to)
	blobs := map[string]bool{}
	add := func(name string, body []byte) error {
		if err := out.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(body))}); err != nil {
			return err
		}
		_, err := out.Write(body)
		return err
	}
	blob := func(media string, body []byte) (map[string]any, error) {
		sum := sha256.Sum256(body)
		digest := hex.EncodeToString(sum[:])
		descriptor := map[string]any{"mediaType": media, "digest": "sha256:" + digest, "size": len(body)}
		if blobs[digest] {
			return descriptor, nil
		}
		blobs[digest] = true
		return descriptor, add("blobs/sha256/"+digest, body)
	}
	document := func(media string, content any) (map[string]any, error) {
		body, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		return blob(media, body)
	}
	layerDescriptor, err := blob("application/vnd.oci.image.layer.v1.tar", layer)
	if err != nil {
		return err
	}
	var manifests []any
	for name, config := range images {
		configDescriptor, err := document("application/vnd.oci.image.config.v1+json", map[string]any{
			"architecture": runtime.GOARCH, "os": "linux", "config": config,
			"rootfs": map[string]any{"type": "layers", "diff_ids": []any{layerDescriptor["digest"]}},
		})
		if err != nil {
			return err
		}
		const media = "application/vnd.oci.image.manifest.v1+json"
		manifest, err := document(media, map[string]any{
			"schemaVersion": 2, "mediaType": media,
			"config": configDescriptor, "layers": []any{layerDescriptor},
		})
		if err != nil {
			return err
		}
		manifest["annotations"] = map[string]string{nameAnnotation: name}
		manifest["platform"] = map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
		manifests = append(manifests, manifest)
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": manifests})
	if err != nil {
		return err
	}
	if err := add("index.json", index); err != nil {
		return err
	}
	if err := add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	return out.Close()
}
